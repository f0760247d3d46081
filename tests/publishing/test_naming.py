from __future__ import annotations

import pytest
from huggingface_hub.utils import validate_repo_id
from hypothesis import given, settings
from hypothesis import strategies as st

from solo_hub.core.errors import ConfigError
from solo_hub.hub.repos import MAX_REPO_ID
from solo_hub.publishing.naming import is_repo_id, repo_names


def test_names_say_task_and_base():
    names = repo_names("ada", "qasc", "HuggingFaceTB/SmolLM2-135M-Instruct@v1.0")
    assert names.dataset == "ada/qasc-SmolLM2-135M-Instruct-pseudo-labels"
    assert names.adapter == "ada/qasc-SmolLM2-135M-Instruct-solo-adapter"


namespaces = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_]{0,38}[A-Za-z0-9]", fullmatch=True)


@settings(deadline=None, max_examples=60)
@given(namespaces, st.text(max_size=120), st.text(max_size=120))
def test_any_task_and_base_give_valid_names_and_the_same_ones_again(namespace, task, base):
    names = repo_names(namespace, task, base)
    assert names == repo_names(namespace, task, base)
    for name in (names.dataset, names.adapter):
        assert is_repo_id(name)
        assert len(name) <= MAX_REPO_ID
        validate_repo_id(name)  # the Hub client's own check raises


def test_long_names_that_differ_only_at_the_end_stay_apart():
    one = repo_names("ada", "task", "acme/" + "m" * 90 + "1")
    two = repo_names("ada", "task", "acme/" + "m" * 90 + "2")
    assert one.dataset != two.dataset
    assert len(one.dataset) <= MAX_REPO_ID


def test_chosen_names_win_with_and_without_a_namespace():
    names = repo_names("ada", "qasc", "acme/m", dataset="labels", adapter="team/student")
    assert (names.dataset, names.adapter) == ("ada/labels", "team/student")


@pytest.mark.parametrize("name", ["-labels", "a--b", "a..b", "sp ace", "labels.git", "x/y/z", "é", "a" * 97])
def test_a_chosen_name_the_hub_refuses_is_refused_before_the_push(name):
    with pytest.raises(ConfigError, match=r"publish\.dataset"):
        repo_names("ada", "qasc", "acme/m", dataset=name)


def test_both_repos_cannot_have_one_name():
    with pytest.raises(ConfigError, match="have the same name"):
        repo_names("ada", "qasc", "acme/m", dataset="same", adapter="SAME")


def test_a_namespace_the_hub_refuses():
    with pytest.raises(ConfigError, match="not a user"):
        repo_names("a/b", "qasc", "acme/m")


def test_empty_task_and_base_still_give_a_name():
    assert repo_names("ada", "", "").dataset == "ada/run-pseudo-labels"


def test_the_space_is_called_after_the_adapter_or_as_chosen():
    assert repo_names("me", "town", "a/tiny").space is None
    assert repo_names("me", "town", "a/tiny", space=True).space == "me/town-tiny-solo-adapter-compare"
    assert repo_names("me", "town", "a/tiny", space="shown").space == "me/shown"
    long = repo_names("me", "town", "a/" + "x" * 200, space=True)
    assert len(long.space) <= MAX_REPO_ID
    assert is_repo_id(long.space)
    with pytest.raises(ConfigError, match=r"publish\.space"):
        repo_names("me", "town", "a/tiny", space="no good")


def test_the_collection_has_a_title_the_hub_takes():
    assert repo_names("me", "town", "a/tiny").collection is None
    assert repo_names("me", "town", "a/tiny", collection=True).collection == "town: tiny that taught itself"
    assert repo_names("me", "town", "a/tiny", collection="Ours").collection == "Ours"
    assert len(repo_names("me", "town", "a/" + "x" * 90, collection=True).collection) <= 60
