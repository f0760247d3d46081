"""The unmodified default clients, in their own processes, on both transports."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

both = pytest.mark.parametrize("xet", [True, False], ids=["xet", "lfs"])


@both
def test_hf_api(client, xet):
    out = client(
        """
import array, hashlib, json, os, pathlib
from huggingface_hub import CommitOperationAdd, CommitOperationCopy, CommitOperationDelete, HfApi, HfFileSystem
from huggingface_hub import snapshot_download
api = HfApi()
kind = "lfs" if os.environ.get("HF_HUB_DISABLE_XET") else "xet"
repo = api.create_repo(f"lab/api-{kind}").repo_id
folder = pathlib.Path("folder"); (folder / "sub").mkdir(parents=True)
floats = array.array("f", [i / 1000 for i in range(300_000)]).tobytes()  # compresses by byte groups
weights = os.urandom(2_000_000) + bytes(500_000) + floats
(folder / "weights.bin").write_bytes(weights)
(folder / "sub" / "a.txt").write_text("hello")
(folder / "README.md").write_text("---\\nlicense: mit\\n---\\n# card")
first = api.upload_folder(repo_id=repo, folder_path=folder)
assert api.upload_folder(repo_id=repo, folder_path=folder).oid == first.oid
api.create_tag(repo, tag="v1")
api.create_commit(repo, commit_message="change", operations=[
    CommitOperationCopy("weights.bin", "copy.bin"), CommitOperationDelete("sub/"), CommitOperationAdd("b.txt", b"b")])
assert api.list_repo_files(repo) == [".gitattributes", "README.md", "b.txt", "copy.bin", "weights.bin"]
got = pathlib.Path(snapshot_download(repo, revision="v1"))
assert (got / "weights.bin").read_bytes() == weights
assert (got / "sub" / "a.txt").read_text() == "hello"
if kind == "xet":  # across repos the client copies only what has a Xet hash
    other = api.create_repo(f"lab/other-{kind}").repo_id
    api.create_commit(other, commit_message="copy", operations=[
        CommitOperationCopy("weights.bin", "w.bin", src_repo_id=repo, src_repo_type="model")])
    assert api.get_paths_info(other, "w.bin")[0].size == len(weights)
refs = api.list_repo_refs(repo)
assert [(r.name, r.target_commit) for r in refs.tags] == [("v1", first.oid)]
fs = HfFileSystem()
with fs.open(f"{repo}/weights.bin", "rb") as file:
    file.seek(1_999_000); assert file.read(4000) == weights[1_999_000:2_003_000]
with fs.open(f"{repo}/new.txt", "w") as file: file.write("by fsspec")
assert fs.cat(f"{repo}/new.txt") == b"by fsspec"
(entry,) = api.get_paths_info(repo, "weights.bin", expand=True)
assert entry.lfs.sha256 == hashlib.sha256(weights).hexdigest()
print(json.dumps({"xet": entry.xet_hash, "last": entry.last_commit.oid == first.oid}))
""",
        xet=xet,
    )
    facts = json.loads(out.splitlines()[-1])
    assert bool(facts["xet"]) == xet
    assert facts["last"]


@both
def test_datasets(client, xet):
    client(
        """
import os
from datasets import Dataset, DatasetDict, get_dataset_config_names, load_dataset
kind = "lfs" if os.environ.get("HF_HUB_DISABLE_XET") else "xet"
name = f"ana/data-{kind}"
rows = Dataset.from_dict({"n": list(range(500)), "t": ["x" * (i % 50) for i in range(500)]})
rows.push_to_hub(name)
DatasetDict({"train": rows, "test": rows.select(range(10))}).push_to_hub(name, config_name="second")
assert load_dataset(name, split="train")["n"][:] == rows["n"][:]
assert sorted(get_dataset_config_names(name)) == ["default", "second"]
assert load_dataset(name, "second", split="test").num_rows == 10
streamed = list(load_dataset(name, "second", split="train", streaming=True))  # one cut short may abort at its end
assert (len(streamed), streamed[0]) == (500, {"n": 0, "t": ""})
""",
        xet=xet,
    )


@both
def test_transformers_and_peft(client, xet):
    pytest.importorskip("peft")
    client(
        """
import os, torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM
kind = "lfs" if os.environ.get("HF_HUB_DISABLE_XET") else "xet"
config = LlamaConfig(vocab_size=64, hidden_size=32, intermediate_size=64, num_hidden_layers=1, num_attention_heads=2)
base = LlamaForCausalLM(config)
base.push_to_hub(f"ana/base-{kind}")
again = AutoModelForCausalLM.from_pretrained(f"ana/base-{kind}")
assert torch.equal(again.lm_head.weight, base.lm_head.weight)
adapted = get_peft_model(again, LoraConfig(r=2, target_modules=["q_proj"], task_type="CAUSAL_LM"))
torch.nn.init.normal_(adapted.base_model.model.model.layers[0].self_attn.q_proj.lora_B["default"].weight)
adapted.push_to_hub(f"ana/adapter-{kind}")
loaded = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(f"ana/base-{kind}"), f"ana/adapter-{kind}")
ids = torch.arange(8)[None]
assert torch.allclose(loaded(ids).logits, adapted(ids).logits, atol=1e-5)
""",
        xet=xet,
    )


@both
def test_cards_and_space(client, xet):
    client(
        """
import os, pathlib
from huggingface_hub import HfApi, ModelCard
kind = "lfs" if os.environ.get("HF_HUB_DISABLE_XET") else "xet"
api = HfApi()
repo = api.create_repo(f"ana/card-{kind}").repo_id
ModelCard("---\\nlicense: mit\\ntags:\\n- solo\\n---\\n# A card\\n").push_to_hub(repo)
assert "# A card" in ModelCard.load(repo).content
assert "solo" in api.model_info(repo).tags
space = api.create_repo(f"ana/space-{kind}", repo_type="space", space_sdk="gradio").repo_id
folder = pathlib.Path("app"); folder.mkdir()
(folder / "app.py").write_text("import gradio"); (folder / "logo.png").write_bytes(bytes(range(256)))
api.upload_folder(repo_id=space, repo_type="space", folder_path=folder)
assert set(api.list_repo_files(space, repo_type="space")) == {".gitattributes", "README.md", "app.py", "logo.png"}
""",
        xet=xet,
    )


@both
def test_command_line(server, tmp_path, xet):
    hf = Path(sys.executable).with_name("hf")
    if not hf.exists():
        pytest.skip("the hf command is not installed beside this Python")
    import os

    env = {**os.environ, **server.hub.env(), "HF_HOME": str(tmp_path / "hf")}
    if not xet:
        env["HF_HUB_DISABLE_XET"] = "1"

    def run(*words: str) -> str:
        done = subprocess.run(
            [hf, *words], env=env, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    name = f"ana/cli-{'xet' if xet else 'lfs'}"
    (tmp_path / "up").mkdir()
    (tmp_path / "up" / "data.bin").write_bytes(bytes(range(256)) * 1000)
    assert "ana" in run("auth", "whoami")
    run("repos", "create", name)
    run("upload", name, "up")
    run("download", name, "--local-dir", "down")
    assert (tmp_path / "down" / "data.bin").read_bytes() == (tmp_path / "up" / "data.bin").read_bytes()
