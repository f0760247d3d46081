"""YAML and JSON of strangers that unfold without end, or make their parsers stumble."""

from __future__ import annotations

import re
import time

import pytest

from solo_hub.core.errors import ConfigError, InputError, ModelError
from solo_hub.run.resolved import LocalFile

LAUGHS = "a0: &a0 [x, x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]\n" for n in range(1, 40))
"""Forty lines that are a million million texts."""
ITSELF = "a: &a [*a]\n"


@pytest.mark.parametrize("bomb", [LAUGHS, ITSELF, "a: " + "[" * 100_000, "a: " + "x" * (1 << 23)])
def test_yaml_that_unfolds_without_end(tmp_path, bomb):
    """In a configuration, a dataset's card, and a published run."""
    from solo_hub.checks.reproduction import parse_yaml
    from solo_hub.core.config import override, read_file
    from solo_hub.hub.layouts import splits_of
    from solo_hub.publishing import frontmatter

    begun = time.process_time()
    (tmp_path / "config.yaml").write_text(bomb)
    with pytest.raises(ConfigError, match="not valid YAML"):
        read_file(tmp_path / "config.yaml")
    with pytest.raises(ConfigError, match="cannot read the value"):
        override({}, [f"task.columns={bomb}"])
    card = f"---\n{bomb}\n---\n"
    (tmp_path / "README.md").write_text(card)
    (tmp_path / "train.jsonl").write_text("{}\n")
    with pytest.raises(InputError, match="not valid YAML"):
        splits_of(tmp_path)
    with pytest.raises(InputError, match="cannot be read"):
        frontmatter.split(card)
    import yaml

    with pytest.raises(yaml.YAMLError):
        parse_yaml(bomb)
    assert time.process_time() - begun < 30


@pytest.fixture(params=["libyaml", "without"])
def untrusted(request, monkeypatch):
    """The module as it is with and without libyaml."""
    import yaml

    if request.param == "without":
        monkeypatch.delattr(yaml, "CSafeLoader", raising=False)
    elif not hasattr(yaml, "CSafeLoader"):
        pytest.skip("PyYAML has no libyaml here")
    return loaded_anew()


def loaded_anew():
    """The module, loaded with the libyaml that is there now."""
    import importlib.util

    from solo_hub.core import parsing

    spec = importlib.util.spec_from_file_location("parsing_anew", parsing.__file__)
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


@pytest.mark.parametrize(("version", "used"), [((0, 2, 5), False), ((0, 2, 6), True)])
def test_an_older_libyaml_which_ends_no_nesting_is_not_used(monkeypatch, version, used):
    import yaml

    if not hasattr(yaml, "CSafeLoader"):
        pytest.skip("PyYAML has no libyaml here")
    monkeypatch.setattr(yaml._yaml, "get_version", lambda: version)
    assert (loaded_anew().PlainLoader.__mro__[1] is yaml.CSafeLoader) is used


@pytest.mark.parametrize(
    ("text", "said", "line"),
    [
        (LAUGHS, "aliases expand", 0),
        (ITSELF, "aliases expand", 0),
        ("a: " + "[" * 100_000, "nest", None),
        ("? " * 100_000, "nest", None),
        ("- " * 100_000, "nest", None),
        ("a: 1\nb: c: d", "mapping values are not allowed", 1),
        ("a: 1\nb: *none", "undefined alias", 1),
        ("a: 1\nb: [", "expected the node content|did not find expected node content", None),
        ("a: !!python/object/apply:os.system ['true']", "could not determine a constructor", 0),
        ("a: 2024-13-45", "month must be", None),
        ("a: \0", "character", None),
        ("a: \ud800", "character", None),
    ],
    ids=lambda value: ascii(value)[:30],
)
def test_yaml_is_refused_alike_with_and_without_libyaml(untrusted, text, said, line):
    import yaml

    with pytest.raises(yaml.YAMLError) as refused:
        untrusted.parse_yaml(text)
    assert re.search(said, getattr(refused.value, "problem", None) or str(refused.value))
    if line is not None:
        assert refused.value.problem_mark.line == line


def test_yaml_is_read_alike_with_and_without_libyaml(untrusted):
    text = "a: &a [1, 2.5, True, yes, ~, 2024-01-02, ä😀]\nb: *a\nc: {<<: {d: 3}, e: 'http://x:1'}\nf: |\n  x\n  y\n"
    from datetime import date

    items = [1, 2.5, True, "yes", None, date(2024, 1, 2), "ä😀"]
    assert untrusted.parse_yaml(text) == {"a": items, "b": items, "c": {"d": 3, "e": "http://x:1"}, "f": "x\ny\n"}


def test_yaml_that_repeats_a_little_is_read():
    from solo_hub.core.parsing import parse_yaml

    assert parse_yaml("a: &a [1, 2]\nb: *a\nc: {<<: {d: 3}}\n") == {"a": [1, 2], "b": [1, 2], "c": {"d": 3}}


@pytest.mark.parametrize("deep", ["[" * 100_000, '{"a":' * 100_000])
def test_json_that_nests_without_end(tmp_path, deep):
    from solo_hub.checks.repo_contents import verify
    from solo_hub.knowledge.embedding import SentenceTransformerEmbedder
    from solo_hub.knowledge.published import Description
    from solo_hub.run.arm_bases import _base_of

    (tmp_path / "adapter_model.safetensors").touch()
    for name in ("adapter_config.json", "modules.json", "manifest.json", "provenance.json"):
        (tmp_path / name).write_text(deep)
    with pytest.raises(ModelError, match="cannot be read"):
        _base_of(LocalFile(file=str(tmp_path), sha256="0"), lambda: None)
    with pytest.raises(ModelError, match="cannot be read"):
        SentenceTransformerEmbedder(tmp_path, "x").embed(["a"])
    assert Description.read(tmp_path) is None
    assert verify(tmp_path)[0].detail == "there is no readable provenance.json"


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        "[]",
        "{}",
        '{"format_version": 1, "sources": ["x"], "embedder": {}, "chunking": {}}',
        '{"format_version": 1, "sources": [{"file": "x"}], "embedder": {}, "chunking": {}}',
        '{"format_version": 1, "sources": [], "embedder": {}, "chunking": 7}',
        '{"format_version": 1, "sources": [], "embedder": "x", "chunking": {}}',
    ],
    ids=lambda text: text[:80],
)
def test_a_folder_whose_base_is_none(tmp_path, text):
    from solo_hub.core.config import build
    from solo_hub.core.console import Console
    from solo_hub.core.errors import RunError
    from solo_hub.knowledge.folder import KnowledgeFolder, read_about

    (tmp_path / "base.json").write_text(text)
    with pytest.raises(RunError, match=r"There is no knowledge base in|has another format"):
        _ = KnowledgeFolder(tmp_path, build({}), lambda: None, Console("quiet")).about
    assert read_about(tmp_path) is None or '"embedder": "x"' in text  # which a run does not read
