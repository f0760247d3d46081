"""Killed at any moment, the same command finishes the run, and it ends like one that was left alone."""

from __future__ import annotations

import signal
import time

import pytest
from small_hub import rows

pytestmark = [pytest.mark.filterwarnings("ignore::ResourceWarning")]
"""(name of the file whose appearance or growth triggers the kill)."""
MOMENTS = ("1-questions.jsonl", "3-labels.jsonl", ".5-training/checkpoint-2", ".6-predictions.partial.jsonl")


def wait_for(path, process, seconds=120.0):
    """Wait until a file is there and has something in it, or the process has ended."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and process.poll() is None:
        if path.is_dir() or (path.exists() and path.stat().st_size > 0):
            return
        time.sleep(0.02)


def same(folder):
    """What must not depend on being killed."""
    names = ("1-questions.jsonl", "2-passages.jsonl", "3-labels.jsonl", "4-selected.jsonl", "4-dropped.jsonl")
    return {name: (folder / name).read_bytes() for name in names}


def answers(folder):
    """Every arm's choice on every held-out question."""
    return {(row["arm"], row["question_id"]): row["option"] for row in rows(folder / "6-predictions.jsonl")}


def test_killed_four_times_and_resumed(command, settings, tmp_path):
    undisturbed, killed = tmp_path / "undisturbed", tmp_path / "killed"
    home = tmp_path / "home"
    done = command("distill", "--run", undisturbed, home=home, **settings)
    assert done.code == 0, done.err[-2000:]
    kills = 0
    for moment in MOMENTS:
        process = command("distill", "--run", killed, wait=False, home=home, **settings)
        wait_for(killed / moment, process)
        if process.poll() is None:
            process.signal(signal.SIGKILL)
            kills += 1
        process.wait()
    done = command("distill", "--run", killed, home=home, **settings)
    assert done.code == 0, done.err[-2000:]
    assert kills >= 3, "the run was over before it could be killed"
    assert same(killed) == same(undisturbed)
    assert answers(killed) == answers(undisturbed)
    ids = [row["question_id"] for row in rows(killed / "3-labels.jsonl")]
    assert len(ids) == len(set(ids)) == len(rows(killed / "1-questions.jsonl"))


def test_at_most_one_batch_of_labels_is_computed_again(context, settings, monkeypatch):
    """Stopped after the third batch was computed and before it was saved: that batch alone is computed twice."""
    from solo_hub import pipeline
    from solo_hub.core.files import Appender
    from solo_hub.teacher.labelling import Teacher

    made = context(settings)
    asked = pipeline.load_questions(made)
    passages = pipeline.find_passages(made, asked)
    computed = []
    whole = Teacher._label_batch
    monkeypatch.setattr(
        Teacher,
        "_label_batch",
        lambda self, some, *rest: (computed.extend(q.id for q in some), whole(self, some, *rest))[1],
    )
    append = Appender.append
    saved = []

    def die(self, batch):
        if len(saved) == 2:
            raise KeyboardInterrupt
        saved.append(len(batch))
        append(self, batch)

    monkeypatch.setattr(Appender, "append", die)
    with pytest.raises(KeyboardInterrupt):
        pipeline.label(made, asked, passages)
    monkeypatch.setattr(Appender, "append", append)
    labels = pipeline.label(context(settings), asked, passages)
    assert [row.question_id for row in labels] == [q.id for q in asked]
    assert len(computed) == len(asked) + settings["teacher"]["batch_size"]
