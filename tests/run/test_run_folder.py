"""The run folder: files are there whole or not at all, and two processes never write to one."""

from __future__ import annotations

import errno
import gc
import json
import os
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from solo_hub.core.errors import InputError, RunError
from solo_hub.core.files import Appender, read_jsonl, write_text
from solo_hub.core.records import PseudoLabel, Question
from solo_hub.core.redaction import register_secret
from solo_hub.run import folder as run_folder
from solo_hub.run.folder import LAYOUT, STEPS, RunFolder

QUESTIONS = [Question("a", "Warum ist der Himmel blau? ✓", ("ja", "nein")), Question("b", "line\nbreak\u2028here")]


@pytest.fixture
def run(tmp_path):
    return RunFolder(tmp_path / "runs" / "demo")


def test_every_file_belongs_to_a_step_and_has_a_name_of_its_own():
    assert {item.step for item in LAYOUT} == {"", *STEPS}
    assert len({item.name for item in LAYOUT}) == len({item.path for item in LAYOUT}) == len(LAYOUT)


def test_rows_are_read_back_as_written(run):
    run.write_rows("questions", QUESTIONS)
    assert run.has("questions")
    assert not run.has("questions", "labels")
    assert run.read_rows("questions", Question) == QUESTIONS


def test_rows_empty(run):
    run.write_rows("questions", [])
    assert run.has("questions")
    assert run.read_rows("questions", Question) == []


def test_the_same_rows_are_the_same_bytes(run):
    run.write_rows("questions", QUESTIONS)
    first = run.file("questions").read_bytes()
    run.write_rows("questions", list(run.read_rows("questions", Question)))
    assert run.file("questions").read_bytes() == first


def test_a_failed_write_leaves_the_old_file_and_nothing_beside_it(tmp_path, monkeypatch):
    path = tmp_path / "file.json"
    write_text(path, "old")

    def full(handle):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=r"No space left on device: '.*/file\.json'"):
        write_text(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_not_a_number_is_refused_before_it_reaches_a_file(run):
    with pytest.raises(ValueError, match="not JSON compliant"):
        run.write_json("report", {"value": float("nan")})
    assert not run.has("report")


@pytest.mark.parametrize(
    ("text", "said"),
    [("{broken", "cannot be read"), ("[1]", "is not a JSON object"), (None, "does not exist yet")],
)
def test_a_document_that_is_not_one_says_what_to_do(run, text, said):
    run.path.mkdir(parents=True, exist_ok=True)
    if text is not None:
        run.file("report").write_text(text)
    with pytest.raises(RunError, match=said) as caught:
        run.read_json("report")
    assert caught.value.hint


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b"{broken\n", "not valid JSON"),
        (b"[1, 2]\n", "a JSON list, not an object"),
        (b'"\xff"\n', "not valid JSON"),
        (b"[" * 100_000 + b"\n", "not valid JSON"),
        (b'{"id": "x"}\n', "has no 'text'"),
    ],
)
def test_a_bad_line_is_named_by_file_and_row(run, line, said):
    run.path.mkdir(parents=True, exist_ok=True)
    run.file("questions").write_bytes(b'{"id": "a", "text": "A?"}\n\n' + line)
    with pytest.raises(InputError, match=said) as caught:
        run.read_rows("questions", Question)
    assert (caught.value.row, caught.value.file) == (3, str(run.file("questions")))


def test_only_the_end_of_a_file_may_be_torn(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text('{"id": 1}\n{"id": 2')
    assert list(read_jsonl(path, torn_tail=True)) == [(1, {"id": 1})]
    with pytest.raises(InputError, match="row 2"):
        list(read_jsonl(path))
    path.write_text('{"id"\n{"id": 2}\n')
    with pytest.raises(InputError, match="row 1"):
        list(read_jsonl(path, torn_tail=True))


@given(whole=st.lists(st.integers(0, 200_000), max_size=3), torn=st.integers(0, 200_000))
def test_appending_goes_on_after_the_last_whole_row(tmp_path_factory, whole, torn):
    """Whatever a killed process left: whole rows stay, byte for byte, and the torn one is gone."""
    path = tmp_path_factory.mktemp("torn") / "rows.jsonl"
    kept = b"".join(b"x" * size + b"\n" for size in whole)
    path.write_bytes(kept + b"y" * torn)
    with Appender(path) as file:
        file.append([QUESTIONS[0]])
    assert path.read_bytes() == kept + run_folder.dumps(QUESTIONS[0]).encode() + b"\n"


def test_what_was_appended_is_on_disk_before_the_next_batch(tmp_path):
    path = tmp_path / "folder" / "rows.jsonl"
    with Appender(path) as file:
        file.append(QUESTIONS[:1])
        assert [row["id"] for _, row in read_jsonl(path)] == ["a"]
        file.append([])
        file.append(QUESTIONS[1:])
    assert [row["id"] for _, row in read_jsonl(path)] == ["a", "b"]


def test_a_folder_in_use_names_who_uses_it(run):
    with run.lock():
        script = (
            "import sys, pathlib; from solo_hub.run.folder import RunFolder\n"
            f"with RunFolder(pathlib.Path({str(run.path)!r})).lock(): print('got it')"
        )
        child = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
        assert child.returncode == 1
        assert f"in use by process {os.getpid()} on " in child.stderr
        with pytest.raises(RunError, match=f"in use by process {os.getpid()}"), run.lock():
            pass
    with run.lock():  # free again
        assert (run.path / ".holder").exists()
    assert not (run.path / ".holder").exists()


def test_the_lock_falls_with_its_process(run):
    script = (
        "import os, sys, pathlib; from solo_hub.run.folder import RunFolder\n"
        f"with RunFolder(pathlib.Path({str(run.path)!r})).lock(): os._exit(9)"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 9
    with run.lock():
        pass


def test_a_run_folder_that_cannot_be_made_says_so(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    with (
        pytest.raises(RunError, match="Cannot write to the run folder") as caught,
        RunFolder(tmp_path / "file" / "run").lock(),
    ):
        pass
    assert "--run" in caught.value.hint


def test_a_row_of_another_kind_is_named(run):
    run.write_rows("labels", QUESTIONS)
    with pytest.raises(InputError, match="row 1: a PseudoLabel row has no 'question_id'"):
        run.read_rows("labels", PseudoLabel)


def test_documents_are_read_back(run):
    run.write_json("report", {"a": [1, None, "✓"]})
    assert run.read_json("report") == {"a": [1, None, "✓"]}
    assert json.loads(run.file("report").read_text("utf-8")) == {"a": [1, None, "✓"]}


def test_what_a_killed_process_left_is_swept(tmp_path):
    left, ours = tmp_path / ".config.yaml.wc3v2xe5", tmp_path / ".6-answers.jsonl"
    left.write_text("half")
    ours.write_text("{}")
    with RunFolder(tmp_path).lock():
        assert not left.exists()
        assert ours.exists()


def test_a_batch_is_in_the_file_at_once_and_its_flush_is_waited_for(tmp_path, monkeypatch):
    """A disk that fills while a batch is flushed is told at the next batch or at the end; what is written stays."""
    path = tmp_path / "labels.jsonl"

    def full(handle):
        raise OSError(errno.ENOSPC, "No space left on device")

    file = Appender(path)
    monkeypatch.setattr(os, "fsync", full)
    file.append([{"n": 1}])
    assert [row for _, row in read_jsonl(path)] == [{"n": 1}]
    with pytest.raises(OSError, match=r"No space left on device: '.*/labels\.jsonl'"):
        file.append([{"n": 2}])
    file.append([{"n": 3}])
    with pytest.raises(OSError, match="No space left"):
        file.close()
    assert [row for _, row in read_jsonl(path)] == [{"n": 1}, {"n": 3}]


def test_reading_rows_leaves_the_collector_as_it_was(tmp_path):
    run = RunFolder(tmp_path)
    run.write_rows("questions", [{"id": "a", "text": "b"}, {"id": 1}])
    assert gc.isenabled()
    with pytest.raises(InputError, match="row 2"):
        run.read_rows("questions", Question)
    assert gc.isenabled()


def test_no_secret_reaches_a_document(tmp_path):
    """Whatever an error that was noted says, and whoever made it."""
    run = RunFolder(tmp_path / "run")
    run.path.mkdir(parents=True, exist_ok=True)
    register_secret("tulips-of-no-known-shape")
    run.write_json("report", {"notes": ["refused tulips-of-no-known-shape", "at http://ada:hunter22@host/"], "n": 1.5})
    assert run.read_json("report") == {"notes": ["refused ***", "at http://***@host/"], "n": 1.5}
