"""Errors: one tree, one sentence each, and the standard library's kind besides."""

from __future__ import annotations

import pytest

from solo_hub.core import errors
from solo_hub.core.errors import DependencyError, InputError, SoloHubError, nearest

KINDS = [k for k in vars(errors).values() if isinstance(k, type) and issubclass(k, SoloHubError)]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_the_tree_in_the_documentation_is_the_tree(kind):
    assert kind.__name__ in errors.__doc__
    assert kind.exit_code == (2 if issubclass(kind, errors.UsageError) else 1)


@pytest.mark.parametrize(
    ("kind", "also"),
    [
        (errors.UsageError, ValueError),
        (errors.ConfigError, ValueError),
        (errors.InputError, ValueError),
        (errors.HubError, OSError),
        (errors.ModelError, RuntimeError),
        (errors.RunError, RuntimeError),
        (errors.DependencyError, ImportError),
    ],
)
def test_every_error_is_also_the_standard_kind(kind, also):
    assert issubclass(kind, also)


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ({}, "empty."),
        ({"file": "q.jsonl"}, "q.jsonl: empty."),
        ({"file": "q.jsonl", "row": 0}, "q.jsonl, row 0: empty."),
        ({"file": "q.jsonl", "row": 3, "field": "text"}, "q.jsonl, row 3, field 'text': empty."),
        ({"field": "text"}, "field 'text': empty."),
    ],
)
def test_bad_input_is_told_with_its_place(place, said):
    error = InputError("empty.", **place, hint="Write it.")
    assert error.message == said
    assert str(error) == f"{said} Write it."
    assert error.reason == "empty."


def test_a_hint_may_be_missing():
    assert str(SoloHubError("It failed.")) == "It failed."


def test_a_missing_package_comes_with_its_command():
    error = DependencyError("faiss-cpu", extra="knowledge", purpose="Searching")
    assert str(error) == "Searching needs the package 'faiss-cpu'. Install it with: pip install 'solo-hub[knowledge]'"


@pytest.mark.parametrize(
    ("word", "known", "said"),
    [
        ("epoch", ["rank", "epochs"], "Did you mean 'epochs'? Known: epochs, rank."),
        ("zzz", ["rank", "epochs"], "Known: epochs, rank."),
        ("zzz", [], "None are available."),
        ("", ["a"], "Known: a."),
    ],
)
def test_nearest(word, known, said):
    assert nearest(word, known) == said
