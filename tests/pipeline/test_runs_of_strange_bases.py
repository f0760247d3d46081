"""What a base's repo brings besides weights: pinned for a run and those who repeat it, or refused before any work."""

from __future__ import annotations

import json
import shutil

import pytest
import tiny
import yaml
from noise import LIBRARIES_WARN
from small_hub import run_here, write_rows

from solo_hub import pipeline
from solo_hub.core.errors import ModelError
from solo_hub.core.records import PseudoLabel
from solo_hub.models import prompts
from solo_hub.run.resolved import Resolved
from solo_hub.teacher.labelling import label_key

pytestmark = LIBRARIES_WARN
DATED = "Today: {{ strftime_now('%d %b %Y') }}\n" + tiny.CHAT
THEIR_DAY = "2020-02-03"


@pytest.fixture
def base(context, tiny_model, tmp_path, settings):
    """Publishes the tiny model with another template or other settings; returns settings of a run on it."""

    def make(name, template=tiny.CHAT, prompt="chat", **generation):
        folder = tmp_path / name
        shutil.copytree(tiny_model, folder)
        (folder / "chat_template.jinja").write_text(template)
        path = folder / "generation_config.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **generation}))
        (folder / "README.md").write_text("---\nlicense: apache-2.0\n---\nA random model.\n")
        door = context(settings, tmp_path / "door").client
        door.push(folder, f"tests/{name}", "model", message="for a test", next_version_tag=False)
        return {
            **settings,
            "base": f"tests/{name}",
            "task": {**settings["task"], "train_limit": 16, "evaluation_limit": 8},
            "teacher": {**settings["teacher"], "prompt": prompt, "style": "letter", "calibrate": False},
        }

    return make


def on(day, made):
    """Let a run have begun on that day."""
    made.record(created=f"{day}T09:00:00+00:00")
    made.save()
    return made


def label(made):
    questions = pipeline.load_questions(made)
    return questions, pipeline.label(made, questions, pipeline.find_passages(made, questions))


def test_a_run_that_is_resumed_on_another_day_asks_as_it_began(context, base, tmp_path):
    settings = base("dated", DATED)
    made = on(THEIR_DAY, context(settings))
    questions, labels = label(made)
    assert made.resolved.chat_date.isoformat() == THEIR_DAY
    assert made.builder.ask(questions[0], "letter").text.startswith("Today: 03 Feb 2020\n")
    whole = made.run.file("labels").read_bytes()
    made.run.file("labels").write_bytes(b"".join(whole.splitlines(keepends=True)[:8]))
    resumed = context(settings)
    assert label(resumed)[1] == labels
    assert resumed.run.file("labels").read_bytes() == whole
    # the same questions on another day are other prompts, and so are their keys
    other = on("2021-11-28", context(settings, tmp_path / "other"))
    assert not {row.key for row in label(other)[1]} & {row.key for row in labels}


def test_who_repeats_a_published_run_asks_on_its_day(context, base, hub, tmp_path, monkeypatch, capfd):
    settings = base("dated-again", DATED)
    settings["publish"] |= {"namespace": "tests", "dataset": "dated-labels", "adapter": "dated-adapter"}
    theirs = on(THEIR_DAY, context(settings, tmp_path / "theirs"))
    pipeline.distill(theirs, push=True)
    exact = ("--run", tmp_path / "mine", "--agreement", "1", "--tolerance", "0")
    home = tmp_path / "stranger"
    code, out, err = run_here(hub, monkeypatch, capfd, "reproduce", "tests/dated-adapter", *exact, home=home)
    assert code == 0, out + err
    assert yaml.safe_load((tmp_path / "mine" / "config.yaml").read_text())["resolved"]["chat_date"] == THEIR_DAY
    assert (tmp_path / "mine" / "3-labels.jsonl").read_bytes() == theirs.run.file("labels").read_bytes()


def old_identity(made, style="letter"):
    """What a label's key was made of before a base's own files were looked at."""
    prompt = made.config.teacher.prompt
    return " | ".join((
        made.resolved.engine.identity,
        f"prompt {prompt} {prompts.identity(prompt)}",
        f"style {style}",
        f"explains False max_new_tokens {made.config.teacher.max_new_tokens}",
        f"orders {made.config.teacher.orders}",
    ))  # fmt: skip


@pytest.mark.parametrize("generation", [{}, {"repetition_penalty": 1.2, "top_p": 0.8}])
def test_labels_that_none_of_this_concerns_keep_their_keys(context, base, generation):
    """Scores of listed options know no decoding settings; a template without a date is what it was."""
    made = context(base(f"plain{len(generation)}", **generation))
    questions, labels = label(made)
    passages = pipeline.find_passages(made, questions)
    assert made.resolved.chat_date is None
    assert "base_format" not in made.resolved.to_row()["teacher"]
    details = old_identity(made)
    expected = {label_key(q, r, details) for q, r in zip(questions, passages, strict=True)}
    assert {row.key for row in labels} == expected


def test_an_older_runs_labels_with_an_unknown_date(context, base):
    """Whole they stay, for nothing is asked again; else all are made with one date, under keys that say so."""
    settings = base("dated-old", DATED)
    made = context(settings)
    questions, labels = label(made)
    passages = pipeline.find_passages(made, questions)
    old = [
        json.dumps(row.to_row() | {"key": label_key(q, r, old_identity(made))}) + "\n"
        for row, q, r in zip(labels, questions, passages, strict=True)
    ]
    made.run.write_rows("labels", [PseudoLabel.from_row(json.loads(line)) for line in old])
    earlier = made.resolved.to_row()
    del earlier["teacher"]["base_format"], earlier["chat_date"]
    made.resolved = Resolved.read(earlier)
    made.save()
    assert [row.key for row in label(context(settings))[1]] == [json.loads(line)["key"] for line in old]
    made.run.file("labels").write_text("".join(old[:8]))
    made = context(settings)
    again = label(made)[1]
    assert [row.key for row in again] == [row.key for row in labels]
    assert made.resolved.chat_date.isoformat() == made.resolved.created[:10]


def test_written_labels_depend_on_the_decoding(context, base, tmp_path):
    settings = base("penalised", prompt="plain", repetition_penalty=1.5)
    settings["task"] = {
        "name": "open_qa",
        "questions": write(tmp_path / "q.jsonl", "q"),
        "evaluation_questions": write(tmp_path / "h.jsonl", "h", answer="rain"),
    }
    settings["teacher"]["style"] = "auto"
    settings["knowledge"] = {"passages": 0}
    made = context(settings)
    label(made)
    assert made.resolved.setups["teacher"].base_format == ("decoding plain",)


def write(path, name, **more):
    return write_rows(path, [{"id": f"{name}{n}", "question": f"What falls {name} {n}?", **more} for n in range(4)])


@pytest.mark.parametrize(
    ("name", "template", "message"),
    [
        ("thinks", tiny.CHAT.replace("assistant\n{% endif", "assistant\n<think>\n{% endif"), "opens a thinking block"),
        ("refuses", "{{ raise_exception('no') }}", "cannot be rendered"),
    ],
)
def test_a_base_that_cannot_be_used_is_refused_before_any_work(context, base, name, template, message):
    made = context(base(name, template))
    with pytest.raises(ModelError, match=message):
        pipeline.distill(made)
    assert not made.run.has("questions")
    with pytest.raises(ModelError, match=message):
        label(made)
    assert not made.run.has("labels")
