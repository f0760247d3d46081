"""What a run's files and folders are known by."""

from __future__ import annotations

import hashlib

import pytest

from solo_hub.core.errors import InputError
from solo_hub.run import references


@pytest.fixture
def adapter(tmp_path):
    for name, text in (
        ("adapter_model.safetensors", "weights"),
        ("adapter_config.json", '{"r": 4, "lora_alpha": 8}'),
        ("training.json", '{"seconds": 3}'),
        ("README.md", "A card."),
    ):
        (tmp_path / name).write_text(text, "utf-8")
    return tmp_path


@pytest.mark.parametrize(
    ("name", "text", "other"),
    [
        ("adapter_config.json", '{"r": 4, "lora_alpha": 16}', True),
        ("adapter_model.safetensors", "others", True),
        ("tokenizer.json", "{}", True),
        ("chat_template.jinja", "{{ messages }}", True),
        ("training.json", '{"seconds": 4}', False),
        ("README.md", "Another card.", False),
        ("optimizer.pt", "a pickle", False),
    ],
)
def test_a_models_folder_is_all_that_loading_it_reads(adapter, name, text, other):
    """`lora_alpha` scales what the adapter does: the same weights with another one answer otherwise."""
    before = references.sha256(adapter)
    (adapter / name).write_text(text, "utf-8")
    assert (references.sha256(adapter) != before) == other


def test_files_that_swap_names_are_another_model(adapter):
    before = references.sha256(adapter)
    one, two = (adapter / "config.json"), (adapter / "generation_config.json")
    one.write_text("1")
    two.write_text("2")
    first = references.sha256(adapter)
    one.write_text("2")
    two.write_text("1")
    assert len({before, first, references.sha256(adapter)}) == 3


def test_a_run_that_knows_a_folder_by_its_weights_alone_still_opens_it(adapter):
    """As runs did before the configuration counted."""
    weights = hashlib.sha256((adapter / "adapter_model.safetensors").read_bytes()).hexdigest()
    known = hashlib.sha256(weights.encode()).hexdigest()
    assert references.is_unchanged(adapter, known)
    (adapter / "adapter_model.safetensors").write_text("others")
    assert not references.is_unchanged(adapter, known)


def test_a_run_of_now_sees_another_configuration(adapter):
    known = references.sha256(adapter)
    assert references.is_unchanged(adapter, known)
    (adapter / "adapter_config.json").write_text("{}")
    assert not references.is_unchanged(adapter, known)
    assert not references.is_unchanged(adapter / "gone", known)


def test_a_folder_of_documents_by_any_of_its_names(tmp_path, monkeypatch):
    (tmp_path / "docs").mkdir()
    monkeypatch.chdir(tmp_path)
    for name in ("docs", "docs/", "./docs", str(tmp_path / "docs")):
        assert references.local("knowledge", name, "dataset").is_dir()
    assert references.local("knowledge", "me/docs", "dataset") is None
    for name in ("nowhere/", "./nowhere", "/nowhere"):
        with pytest.raises(InputError, match="no such"):
            references.local("knowledge", name, "dataset")
