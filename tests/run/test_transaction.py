"""Changes to several files at once: killed anywhere, the folder is what it was or what it was to become."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from solo_hub.core.errors import RunError
from solo_hub.run import transaction
from solo_hub.run.folder import RunFolder


class Killed(BaseException):
    """The process is no more: no `except` of the code runs."""


@pytest.fixture
def die_at(monkeypatch):
    """Have the n-th of the calls that change the disk be the last: `die_at(3)`; returns how many there were."""
    calls = []
    real = {name: getattr(Path, name) for name in ("rename", "replace", "unlink")}

    def set_up(last):
        calls.clear()

        def counted(name):
            def call(self, *given, **named):
                calls.append(name)
                if len(calls) == last:
                    raise Killed
                return real[name](self, *given, **named)

            return call

        for name in real:
            monkeypatch.setattr(Path, name, counted(name))
        return calls

    yield set_up
    for name, method in real.items():
        monkeypatch.setattr(Path, name, method)


def content(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_text("utf-8")
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.startswith(".")
    }


MOVES = [("a", "old/a"), ("b", "old/b"), ("new", "a")]
BEFORE = {"a/x": "1", "b": "2", "c": "3", "new/x": "4", "text": "5"}
AFTER = {"a/x": "4", "c": "3", "old/a/x": "1", "old/b": "2", "text": "6"}


def fill(folder):
    for name, text in BEFORE.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    return folder


def test_all_of_it(tmp_path):
    transaction.commit(fill(tmp_path), MOVES, {"text": "6"})
    assert content(tmp_path) == AFTER
    assert not transaction.pending(tmp_path)


def test_killed_at_every_step_and_again_while_it_is_finished(tmp_path, die_at):
    calls = die_at(0)
    transaction.commit(fill(tmp_path / "calm"), MOVES, {"text": "6"})
    count = len(calls)
    assert count >= 6
    for first in range(1, count + 1):
        for second in range(1, count + 1):
            folder = fill(tmp_path / f"{first}-{second}")
            die_at(first)
            with pytest.raises(Killed):
                transaction.commit(folder, MOVES, {"text": "6"})
            begun = transaction.pending(folder)
            assert begun or content(folder) in (BEFORE, AFTER)
            die_at(second)
            try:
                transaction.resume(folder)
            except Killed:
                die_at(0)
                transaction.resume(folder)
            assert content(folder) == (AFTER if begun else BEFORE)
            assert not transaction.pending(folder)


def test_while_it_is_pending_nothing_is_a_result(tmp_path):
    run = RunFolder(tmp_path)
    run.write_json("report", {"n": 1})
    run.write_rows("questions", [{"id": "q"}])
    assert run.has("report")
    (tmp_path / transaction.JOURNAL).write_text(json.dumps({"moves": [], "texts": {}}))
    assert not run.has("report")
    for read in (
        lambda: run.read_json("report"),
        lambda: run.read_rows("questions", dict),
        run.read_config,
    ):
        with pytest.raises(RunError, match="is in progress, or was interrupted"):
            read()
    with run.lock():
        assert run.read_json("report") == {"n": 1}


@pytest.mark.parametrize("text", ["", "{", "[]", '{"moves": 1, "texts": {}}', '{"moves": [["a"]], "texts": {}}'])
def test_a_journal_that_cannot_be_read_is_told(tmp_path, text):
    (tmp_path / transaction.JOURNAL).write_text(text)
    with pytest.raises(RunError, match="cannot be read"):
        transaction.resume(tmp_path)


def test_what_cannot_be_removed_stops_the_next_change_before_it_begins(tmp_path, monkeypatch):
    fill(tmp_path)
    (tmp_path / transaction.DISCARDED).mkdir()
    monkeypatch.setattr(transaction.shutil, "rmtree", lambda *_, **__: None)
    with pytest.raises(RunError, match="cannot be removed"):
        transaction.commit(tmp_path, MOVES, {})
    assert content(tmp_path) == BEFORE
