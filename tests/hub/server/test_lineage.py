"""Adapters, fine-tuned, merged and quantized models: tags, relation and counts."""

from __future__ import annotations

import json

import pytest

from solo_hub.hub.server.lineage import relation


@pytest.mark.parametrize(
    ("card", "files", "expected"),
    [
        ({"base_model": "a/b"}, ["config.json", "model.safetensors"], "finetune"),
        ({"base_model": "a/b"}, ["adapter_config.json"], "adapter"),
        ({"base_model": "a/b", "library_name": "peft"}, [], "adapter"),
        ({"base_model": "a/b", "tags": ["LoRA"]}, [], "adapter"),
        ({"base_model": ["a/b", "a/c"]}, ["config.json"], "merge"),
        ({"base_model": ["a/b", "a/b"]}, ["config.json"], "finetune"),
        ({"base_model": "a/b", "tags": ["mergekit"]}, ["config.json"], "merge"),
        ({"base_model": "a/b"}, ["model-q4.gguf"], "quantized"),
        ({"base_model": "a/b", "tags": ["gptq"]}, ["config.json"], "quantized"),
        ({"base_model": "a/b", "tags": "gguf"}, [], "quantized"),
        ({"base_model": ["a/b"], "base_model_relation": "finetune"}, ["adapter_config.json"], "finetune"),
        ({"base_model": ["a/b"], "base_model_relation": "sibling"}, ["adapter_config.json"], "adapter"),
        ({"base_model": ["a/b"], "base_model_relation": ["merge"]}, [], "finetune"),
    ],
)
def test_relation(card, files, expected):
    assert relation(card, files) == expected


def test_a_quantized_config_is_one():
    assert relation({"base_model": "a/b"}, ["config.json"], quantized_config=True) == "quantized"


def card(base):
    return f"---\nbase_model: {json.dumps(base)}\n---\n"


@pytest.fixture(scope="module")
def family(server):
    """A base model and what was made from it, one of them private."""
    for name, files in {
        "base": {"config.json": "{}"},
        "adapter-1": {"adapter_config.json": '{"base_model_name_or_path": "lab/base", "task_type": "CAUSAL_LM"}'},
        "adapter-2": {"adapter_config.json": "{}"},
        "tuned": {"config.json": "{}"},
        "merged": {"config.json": "{}"},
        "four-bits": {"config.json": '{"quantization_config": {"bits": 4}}'},
    }.items():
        bases = {"base": None, "merged": ["lab/base", "else/where"]}.get(name, "lab/base")
        server("POST", "/api/repos/create", body={"name": name, "organization": "lab", "private": name == "adapter-2"})
        added = files if bases is None else {**files, "README.md": card(bases)}
        assert server.add(f"lab/{name}", added).status == 200
    return "lab/base"


def expanded(server, name, *fields, token="token-of-ana"):
    query = "&".join(f"expand[]={field}" for field in fields)
    return server("GET", f"/api/models/{name}?{query}", token=token).json


def test_tags_and_base_models(server, family):
    info = expanded(server, "lab/adapter-1", "tags", "baseModels", "config")
    assert info["tags"][:2] == [f"base_model:{family}", f"base_model:adapter:{family}"]
    assert info["baseModels"] == {
        "relation": "adapter",
        "models": [{"_id": expanded(server, family, "sha")["_id"], "id": family}],
    }
    assert info["config"]["peft"] == {"base_model_name_or_path": family, "task_type": "CAUSAL_LM"}
    merged = expanded(server, "lab/merged", "tags", "baseModels")
    assert [tag for tag in merged["tags"] if tag.startswith("base_model:merge:")] == [
        "base_model:merge:lab/base",
        "base_model:merge:else/where",
    ]
    assert merged["baseModels"]["models"][1] == {"id": "else/where"}  # not here, so known by its name alone
    assert "baseModels" not in expanded(server, family, "baseModels", "sha")


def test_counts_what_the_caller_may_see(server, family):
    counts = expanded(server, family, "childrenModelCount")["childrenModelCount"]
    assert counts == {"adapter": 2, "finetune": 1, "merge": 1, "quantized": 1}
    for token in (None, "token-of-ben"):
        assert expanded(server, family, "childrenModelCount", token=token)["childrenModelCount"]["adapter"] == 1
    assert expanded(server, "lab/tuned", "childrenModelCount")["childrenModelCount"] == {}


def test_official_client_finds_adapters_of_a_base(client, family):
    out = client(
        f"""
from huggingface_hub import HfApi
api = HfApi()
print(sorted(model.id for model in api.list_models(filter="base_model:adapter:{family}")))
print(sorted(model.id for model in api.list_models(filter="base_model:{family}")))
info = api.model_info("{family}", expand=["childrenModelCount"])
print(info.children_model_count["adapter"], api.model_info("lab/adapter-1", expand=["baseModels"]).base_models)
"""
    ).splitlines()
    assert out[0] == "['lab/adapter-1', 'lab/adapter-2']"
    assert out[1].count("lab/") == 5
    assert out[2].startswith("2 {'relation': 'adapter', 'models': [{'_id': ")


def test_page_links_both_ways(server, family):
    page = server("GET", f"/{family}", token=None).body.decode()
    assert "1 adapter</a>" in page  # the private one is not counted
    assert 'href="/models?other=base_model%3Aadapter%3Alab%2Fbase"' in page
    listed = server("GET", "/models?other=base_model%3Aadapter%3Alab%2Fbase", token=None).body.decode()
    assert "adapter-1" in listed
    assert "tuned" not in listed
    assert (
        f'<a href="/{family}">{family}</a> <span class="tag">adapter</span>'
        in server("GET", "/lab/adapter-1", token=None).body.decode()
    )
