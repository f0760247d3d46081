"""Labelling by several processes at once, and by one that is killed again and again."""

from __future__ import annotations

import json
import random
import time

import pytest
from small_hub import rows
from tiny import FakeEngine, shares_words

from solo_hub.core.files import Appender, dumps, read_jsonl
from solo_hub.core.records import Passage, PseudoLabel, Question, Retrieval
from solo_hub.core.settings import TeacherSettings
from solo_hub.models.prompts import PromptBuilder
from solo_hub.run.resolved import TeacherSetup
from solo_hub.teacher.labelling import Teacher

pytestmark = [pytest.mark.filterwarnings("ignore::ResourceWarning")]


def test_two_processes_label_as_one_does(command, fork_server, settings, hub, tmp_path):
    """Gloo on the CPU: the same bytes as one process, and no share left behind."""
    settings["teacher"]["batch_size"] = 4
    one, two, home = tmp_path / "one", tmp_path / "two", tmp_path / "home"
    done = command("label", "--run", one, home=home, **settings)
    assert done.code == 0, done.err[-2000:]
    line = ("label", tmp_path / "config.yaml", "--run", two, "--hub", hub.endpoint, "--format", "json")
    commands = fork_server.together(2, *line, env={"SOLO_HUB_HOME": str(home)})
    assert [done.code for done in commands] == [0, 0], commands[0].err[-3000:]
    assert json.loads("".join(done.out for done in commands))["run"] == str(two)  # one document, from one of them
    assert (two / "3-labels.jsonl").read_bytes() == (one / "3-labels.jsonl").read_bytes()
    assert not list(two.glob(".3-labels.*"))


QUESTIONS = [Question(f"q{i}", f"What makes river {i} rise?", ("melting snow", "a bear", "fog")) for i in range(1000)]
FOUND = [Retrieval(q.id, (Passage(f"p{q.id}", f"River {q.id} has snow.", 0.9),)) for q in QUESTIONS]


@pytest.mark.parametrize("seed", range(3))
def test_a_thousand_labels_killed_ten_times_at_random(tmp_path, seed):
    """A kill leaves any number of whole rows and a piece of the next; the end is that of an uninterrupted run."""
    rng = random.Random(seed)
    settings = TeacherSettings(batch_size=16)
    teacher = Teacher(FakeEngine(shares_words), PromptBuilder(), TeacherSetup(style="text"), settings, "me")
    whole = teacher.label(QUESTIONS, FOUND)
    path = tmp_path / "3-labels.jsonl"

    class Killed(Exception):  # noqa: N818
        pass

    def known():
        if not path.exists():
            return {}
        return {row["key"]: PseudoLabel.from_row(row) for _, row in read_jsonl(path, torn_tail=True)}

    for _ in range(10):
        paid = known()
        with Appender(path) as file:
            left = rng.randrange(1, 7)

            def save(batch, file=file):
                nonlocal left
                left -= 1
                if not left:
                    raise Killed
                file.append(batch)

            with pytest.raises(Killed):
                teacher.label(QUESTIONS, FOUND, known=paid, save=save)
        size = path.stat().st_size
        with path.open("ab") as file:  # the write the kill cut short
            file.write(dumps(whole[len(paid)]).encode()[: rng.randrange(1, 200)])
        assert path.stat().st_size > size
    with Appender(path) as file:
        labels = teacher.label(QUESTIONS, FOUND, known=known(), save=file.append)
    assert labels == whole
    # the appended file itself holds each question once, in order: the same bytes
    assert path.read_bytes() == "".join(dumps(row) + "\n" for row in whole).encode()


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_a_process_killed_ten_times_while_it_labels_a_thousand(command, settings, tmp_path):
    """The real command, SIGKILL at a random moment of labelling."""
    questions = tmp_path / "questions.jsonl"
    held_out = tmp_path / "held-out.jsonl"

    def line(i, text):
        return json.dumps({"id": f"q{i}", "question": text, "options": ["snow", "a bear", "fog"], "answer": 0})

    questions.write_text("".join(line(i, f"What makes river {i} rise?") + "\n" for i in range(1000)))
    held_out.write_text(line("h", "Who sleeps all winter?") + "\n")
    settings = {
        **settings,
        "task": {"name": "multiple_choice", "questions": str(questions), "evaluation_questions": str(held_out)},
        "teacher": {**settings["teacher"], "style": "text", "batch_size": 4, "calibrate": False},
    }
    undisturbed, killed, home = tmp_path / "undisturbed", tmp_path / "killed", tmp_path / "home"
    assert command("label", "--run", undisturbed, home=home, **settings).code == 0
    rng, kills, labels = random.Random(0), 0, killed / "3-labels.jsonl"
    while kills < 10:
        before = labels.stat().st_size if labels.exists() else 0
        process = command("label", "--run", killed, wait=False, home=home, **settings)
        while process.poll() is None and (labels.stat().st_size if labels.exists() else 0) <= before:
            time.sleep(0.01)
        time.sleep(rng.random() * 0.4)
        assert process.poll() is None, "the run was over before it was killed ten times"
        process.kill()
        process.wait()
        kills += 1
    assert command("label", "--run", killed, home=home, **settings).code == 0
    assert labels.read_bytes() == (undisturbed / "3-labels.jsonl").read_bytes()
    ids = [row["question_id"] for row in rows(labels)]
    assert len(ids) == len(set(ids)) == 1000
