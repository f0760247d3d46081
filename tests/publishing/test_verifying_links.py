"""What verification says of the Space and the Collection an adapter was published with."""

from __future__ import annotations

import dataclasses

import pytest

from publishing.conftest import make_config
from solo_hub.checks.repo_contents import verify
from solo_hub.core.settings import TaskSettings
from solo_hub.publishing.adapter import fill_adapter_folder
from solo_hub.publishing.adapter_card import AdapterVersion
from solo_hub.publishing.naming import repo_names

NAMES = repo_names("ada", "town", "acme/tiny-instruct", space=True, collection="Our town")
ALL = (("model", NAMES.adapter), ("dataset", NAMES.dataset), ("space", NAMES.space))


@pytest.fixture
def folder(documents, tmp_path):
    fill_adapter_folder(tmp_path / "adapter", documents, NAMES, AdapterVersion("v3", "1" * 40, "v2"))
    return tmp_path / "adapter"


def found(folder, **asked):
    return {check.name: (check.state, check.detail) for check in verify(folder, **asked)}


def test_the_space_is_a_link_at_the_adapters_version(folder):
    asked = []

    def exists(repo_id, kind, revision):
        asked.append((repo_id, kind, revision))
        return kind != "space"

    assert found(folder, exists=exists)["linked space"] == ("fail", f"{NAMES.space} at v3 does not exist")
    assert (NAMES.space, "space", "v3") in asked


@pytest.mark.parametrize(
    ("held", "expected"),
    [
        (ALL, ("pass", "'Our town' of ada contains 3 repos")),
        ((*ALL, ("model", "acme/other")), ("pass", "'Our town' of ada contains 4 repos")),
        (ALL[:2], ("fail", f"'Our town' of ada lacks {NAMES.space}")),
        ((), ("fail", f"'Our town' of ada lacks {', '.join(repo_id for _, repo_id in ALL)}")),
        (None, ("fail", "there is no Collection 'Our town' of ada")),
    ],
)
def test_the_collection_holds_all_that_was_published(folder, held, expected):
    assert found(folder, collection=lambda owner, title: held)["collection"] == expected


def test_without_a_hub_neither_is_looked_at(folder):
    assert found(folder)["collection"] == ("skipped", "'Our town' of ada: not looked up on the Hub")
    assert found(folder)["linked space"][0] == "skipped"


def test_a_run_without_space_and_collection_has_no_such_checks_empty(documents, tmp_path, names):
    fill_adapter_folder(tmp_path / "adapter", documents, names, AdapterVersion("v1", "1" * 40, "v1"))
    assert {"collection", "linked space"}.isdisjoint(found(tmp_path / "adapter"))
    assert "/spaces/" not in (tmp_path / "adapter" / "README.md").read_text()


EVALUATED = {"repo_id": "acme/town", "type": "dataset", "revision": "main", "commit": "b" * 40, "license": "cc-by-4.0"}


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("", "", ("pass", "1 files as in report.json")),
        ("0.44816", "0.5", ("fail", "town.yaml says 0.5, the report 0.44816")),
        ("b" * 40, "e" * 40, ("fail", "town.yaml names acme/town, which is not the evaluation data of the run")),
        ("value:", "worth:", None),
        ("- dataset", "- [", None),
    ],
)
def test_results_for_the_hub_are_those_of_the_report(documents, names, tmp_path, old, new, said):
    from solo_hub.evaluation import hub_results

    config = make_config(evaluation_questions=EVALUATED)
    run = dataclasses.replace(documents, config=config)
    files = hub_results.documents(run.report, TaskSettings(), run.resolved)
    changed = {path: text.replace(old, new) if old else text for path, text in files.items()}
    run = dataclasses.replace(run, adapter_files=changed)
    fill_adapter_folder(tmp_path / "adapter", run, names, AdapterVersion("v1", "1" * 40, "v1"))
    result = found(tmp_path / "adapter")["results for the Hub"]
    assert result == said if said else result[0] == "fail"
