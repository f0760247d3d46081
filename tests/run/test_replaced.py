"""Results that changed settings put out of date: nothing goes before what can fail, and they can be had back."""

from __future__ import annotations

import copy
import shutil

import pytest
import yaml
from test_transaction import Killed, die_at  # noqa: F401 - a fixture

from solo_hub.core.config import build
from solo_hub.core.console import Console
from solo_hub.core.errors import HubError, RunError
from solo_hub.hub.repos import Pinned
from solo_hub.run import replaced, resolution, transaction
from solo_hub.run.folder import LAYOUT, RunFolder

QUIET = Console("quiet")
SETTINGS = {"base": "me/base", "task": {"questions": "me/questions"}, "evaluation": {"arms": []}}
LATE = {
    "questions": [item.path for item in LAYOUT if item.step and item.name != "labels"],
    "labels": [
        i.path
        for i in LAYOUT
        if i.step in ("labels", "selection", "adapter", "report", "published") and i.name != "labels"
    ],
    "selection": [i.path for i in LAYOUT if i.step in ("selection", "adapter", "report", "published")],
    "adapter": [i.path for i in LAYOUT if i.step in ("adapter", "report", "published")],
    "report": [i.path for i in LAYOUT if i.step in ("report", "published")],
}
CHANGES = [
    ({"task": {"questions": "me/others"}}, "questions"),
    ({"seed": 3}, "questions"),
    ({"base": "me/larger"}, "labels"),
    ({"teacher": {"orders": 2}}, "labels"),
    ({"filters": {"leakage": False}}, "selection"),
    ({"selection": {"method": "confidence"}}, "selection"),
    ({"student": {"epochs": 9}}, "adapter"),
    ({"evaluation": {"arms": ["theirs=me/adapter"]}}, "report"),
    ({"evaluation": {"arms": [], "few_shot": 2}}, "report"),
    ({"task": {"questions": "me/questions", "evaluation_limit": 5}}, "report"),
]


def words(value):
    """Every text in settings."""
    if isinstance(value, dict | list):
        return {word for part in (value.values() if isinstance(value, dict) else value) for word in words(part)}
    return {value} if isinstance(value, str) else set()


class HubClient:
    """Pins everything; an arm is a model."""

    endpoint = "http://127.0.0.1:1"

    def __init__(self):
        self.pinned = []

    def pin(self, reference, kind):
        self.pinned.append(reference)
        return Pinned(reference, kind, "main", f"{len(self.pinned):040d}", None, self.endpoint)

    def file_sizes(self, pinned):
        return {"model.safetensors": 1}


class Down(HubClient):
    def pin(self, reference, kind):
        raise HubError("Cannot reach the Hub.", hint="Wait.")


def open_run(run, settings, door=None, *, update=True):
    """As a command does: under the lock, and `config.yaml` is written at the end."""
    config, made = build(settings), door or HubClient()
    with run.lock():
        if run.has("config"):
            resolved = resolution.reopen(run, config, lambda: made, QUIET, update=update)
        else:
            resolved = resolution.resolve(config, lambda: made)
        resolution.save(run, resolution.document(config, resolved))
        replaced.sweep(run)
    return resolved


def make(run, step="questions", text="first"):
    """Everything of a run from a step on."""
    for item in LAYOUT:
        if item.path not in LATE[step]:
            continue
        if "." in item.path:
            run.write_json(item.name, {"made": text}) if item.path.endswith(".json") else run.file(
                item.name
            ).write_text(f"{text} {item.path}\n", "utf-8")
        else:
            run.file(item.name).mkdir()
            (run.file(item.name) / "x").write_text(text, "utf-8")


@pytest.fixture(autouse=True)
def _no_plugins(monkeypatch):
    """Whether they are there has tests of its own; loading them takes seconds."""
    monkeypatch.setattr(resolution.settings_checks, "check", lambda config: None)


@pytest.fixture
def run(tmp_path):
    made = RunFolder(tmp_path / "run")
    open_run(made, SETTINGS)
    make(made)
    made.file("labels").write_text("labels\n", "utf-8")
    return made


def content(run):
    return {
        path.relative_to(run.path).as_posix(): path.read_bytes()
        for path in sorted(run.path.rglob("*"))
        if path.is_file() and path.name != ".lock"
    }


def results(run):
    return {name: data for name, data in content(run).items() if not name.startswith(".") and name != "config.yaml"}


@pytest.mark.parametrize(("change", "step"), CHANGES)
def test_what_a_change_touches_goes_aside_and_the_rest_stays(run, change, step):
    before = results(run)
    open_run(run, {**SETTINGS, **change})
    gone = {name for name in before if name.split("/")[0] in LATE[step]}
    assert results(run) == {name: data for name, data in before.items() if name not in gone}
    kept = content(run)
    assert all(kept[f".replaced/1/{name}"] == before[name] for name in gone)


@pytest.mark.parametrize(
    "change", [change for change, _ in CHANGES if {"me/others", "me/larger", "theirs=me/adapter"} & words(change)]
)
def test_a_hub_that_is_down_changes_nothing(run, change):
    before = content(run)
    settings = {**SETTINGS, **change}
    with pytest.raises(HubError):
        open_run(run, settings, Down())
    assert content(run) == before


@pytest.mark.parametrize(("change", "step"), CHANGES)
def test_who_goes_back_has_everything_back(run, change, step):
    before = content(run)
    open_run(run, {**SETTINGS, **change})
    open_run(run, SETTINGS, Down())  # the commits of before are known
    after = content(run)
    assert after.pop(".sums.json")
    before.pop(".sums.json")
    assert after == before
    assert run.read_json("report") == {"made": "first"}


def test_through_three_changes_and_back(run):
    """Each way back to any of the settings, with what had been made by then."""
    second, third = {**SETTINGS, "student": {"epochs": 9}}, {**SETTINGS, "student": {"epochs": 9}, "seed": 3}
    first = results(run)
    open_run(run, second)
    make(run, "adapter", "second")
    run.file("report").unlink()  # not evaluated yet, so the first stays
    halfway = results(run)
    open_run(run, third)
    run.file("questions").write_text("third\n", "utf-8")
    spare = run.path.with_name("spare")
    shutil.copytree(run.path, spare)
    open_run(run, second, Down())
    assert results(run) == halfway
    open_run(run, SETTINGS, Down())
    assert results(run) == first
    open_run(RunFolder(spare), SETTINGS, Down())
    assert results(RunFolder(spare)) == first


def test_other_labels_keep_the_earlier_results_from_coming_back(run):
    open_run(run, {**SETTINGS, "student": {"epochs": 9}})
    run.file("labels").write_text("others\n", "utf-8")
    open_run(run, SETTINGS)
    assert not run.has("adapter")


def test_settings_edited_by_hand_are_not_taken_for_those_the_results_were_made_with(run):
    document = yaml.safe_load(run.file("config").read_text("utf-8"))
    edited = copy.deepcopy(document)
    edited["settings"]["student"]["epochs"] = 9
    run.file("config").write_text(yaml.safe_dump(edited), "utf-8")
    settings = {**SETTINGS, "student": {"epochs": 9}}
    with pytest.raises(RunError, match="was edited"):
        open_run(run, settings, update=False)
    open_run(run, settings)
    assert not run.has("adapter")
    open_run(run, {**SETTINGS, "student": {"epochs": 8}})
    open_run(run, settings)
    assert not run.has("adapter")


@pytest.mark.parametrize("text", ["", "{}", '{"step": "none"}', None])
def test_what_somebody_changed_in_there_is_left_alone(run, text):
    settings = {**SETTINGS, "student": {"epochs": 9}}
    open_run(run, settings)
    was = run.path / replaced.FOLDER / "1" / "was.json"
    was.unlink() if text is None else was.write_text(text)
    open_run(run, SETTINGS)
    assert not run.has("adapter")
    make(run, "adapter", "second")
    open_run(run, SETTINGS)
    assert (run.path / replaced.FOLDER / "1" / "5-adapter" / "x").read_text() == "first"


def test_they_stay_until_all_that_replaces_them_is_whole(run):
    settings = {**SETTINGS, "student": {"epochs": 9}}
    open_run(run, settings)
    make(run, "adapter", "second")
    report = run.file("report").read_bytes()
    run.file("report").unlink()
    open_run(run, settings)
    assert (run.path / replaced.FOLDER / "1" / "5-adapter" / "x").read_text() == "first"
    run.file("report").write_bytes(report)
    open_run(run, settings)
    assert not (run.path / replaced.FOLDER).exists()


def test_where_nothing_was_made_settings_may_change_without_update(tmp_path):
    run = RunFolder(tmp_path / "run")
    open_run(run, SETTINGS)
    run.file("questions").write_text("{}\n", "utf-8")
    open_run(run, {**SETTINGS, "student": {"epochs": 9}, "knowledge": {"passages": 2}}, update=False)
    with pytest.raises(RunError, match="seed is 0 there and 3 here"):
        open_run(run, {**SETTINGS, "seed": 3, "student": {"epochs": 9}, "knowledge": {"passages": 2}}, update=False)
    run.training.mkdir()  # checkpoints are work, too
    with pytest.raises(RunError, match=r"student\.epochs is 9\.0 there and 7\.0 here"):
        open_run(run, {**SETTINGS, "student": {"epochs": 7}, "knowledge": {"passages": 2}}, update=False)


def test_a_file_may_be_corrected_where_nothing_was_made_of_it(tmp_path):
    file = tmp_path / "held-out.jsonl"
    file.write_text("{}\n")
    settings = {**SETTINGS, "task": {"questions": "me/questions", "evaluation_questions": str(file)}}
    run = RunFolder(tmp_path / "run")
    before = open_run(run, settings).repos["evaluation_questions"].sha256
    file.write_text('{"corrected": 1}\n')
    after = open_run(run, settings, update=False).repos["evaluation_questions"].sha256
    assert after != before
    run.file("questions").write_text("{}\n", "utf-8")
    file.write_text('{"corrected": 2}\n')
    assert open_run(run, settings, update=False).repos["evaluation_questions"].sha256 == after
    open_run(run, settings)
    assert not run.has("questions")


@pytest.mark.parametrize("back", [False, True])
def test_killed_between_any_two_writes(run, tmp_path, die_at, back):  # noqa: F811
    """What is in place is of the settings that stand in `config.yaml`, and nothing is lost."""
    other = {**SETTINGS, "student": {"epochs": 9}, "evaluation": {"arms": []}}
    if back:
        open_run(run, other)
        (run.file("adapter")).mkdir()
        (run.file("adapter") / "x").write_text("second", "utf-8")
    start, goal = (other, SETTINGS) if back else (SETTINGS, other)
    first = b"first"
    last = 0
    while True:
        last += 1
        here = RunFolder(tmp_path / f"killed-{last}")
        shutil.copytree(run.path, here.path)
        calls = die_at(last)
        try:
            open_run(here, goal)
        except Killed:
            pass
        else:
            break
        die_at(0)
        with here.lock():
            settings = build(here.read_config()["settings"])
        adapter = here.file("adapter") / "x"
        at_start = settings == build(start)
        expected = (b"second" if back else b"first") if at_start else (b"first" if back else None)
        assert (adapter.read_bytes() if adapter.exists() else None) == expected
        if not at_start:
            assert settings == build(goal)
        assert first in content(here).values(), "the first adapter is somewhere"
        open_run(here, goal)
        assert here.has("report") == back
        assert here.has("selected")
    assert last > 6
    assert len(calls) == last - 1
    die_at(0)
    assert not transaction.pending(run.path)


def test_only_settings_that_a_finished_step_depends_on_need_update(tmp_path):
    """The questions are there: what later steps read, or nothing reads, may change; the message names what may not."""
    run = RunFolder(tmp_path / "run")
    run.create()
    settings = {**SETTINGS, "knowledge": {"source": "me/corpus"}}
    open_run(run, settings)
    run.file("questions").write_text("{}\n")
    later = {"curation": {"limit": 5}, "student": {"epochs": 9}, "teacher": {"orders": 2}, "name": "another"}
    open_run(run, {**settings, **later}, update=False)
    with pytest.raises(RunError, match=r"task\.train_limit is None there and 3 here"):
        open_run(
            run, {**settings, "student": {"epochs": 2}, "task": {**SETTINGS["task"], "train_limit": 3}}, update=False
        )


def test_what_became_of_the_documents_is_kept_where_their_questions_are(tmp_path):
    """The report and the cards say it, and it is recorded only when the questions are written."""
    run = RunFolder(tmp_path / "run")
    run.create()
    resolved = open_run(run, SETTINGS).model_copy(update={"curated": {"learnt": 3}})
    resolution.save(run, resolution.document(build(SETTINGS), resolved))
    make(run, "report")
    assert open_run(run, {**SETTINGS, "evaluation": {"resamples": 300}}).curated == {"learnt": 3}
