"""Labelling: what a label holds, when it is asked for again, and how little a killed run loses."""

from __future__ import annotations

import dataclasses
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny import FakeEngine, shares_words

from solo_hub.core.records import Passage, Question, Retrieval
from solo_hub.core.settings import TeacherSettings
from solo_hub.models.prompts import PromptBuilder
from solo_hub.run.resolved import TeacherSetup
from solo_hub.teacher import labelling
from solo_hub.teacher.labelling import Teacher, label_key

BUILDER = PromptBuilder()
QUESTIONS = [Question(f"q{i}", f"What makes river {i} rise?", ("melting snow", "a bear")) for i in range(10)]
FOUND = [
    Retrieval(q.id, (Passage(f"p{q.id}", "Rivers rise from melting snow.", 0.9), Passage("far", "Far away.", 0.1)))
    for q in QUESTIONS
]
OPEN = Question("open", "Why?")


def teacher(engine, builder=BUILDER, *, batch_size=4, max_new_tokens=48, identity="me", **setup):
    settings = TeacherSettings(batch_size=batch_size, max_new_tokens=max_new_tokens)
    return Teacher(engine, builder, TeacherSetup(**{"style": "text", **setup}), settings, identity)


def test_a_label_holds_what_was_said_and_seen():
    (label,) = teacher(FakeEngine(shares_words)).label(QUESTIONS[:1], FOUND[:1])
    assert (label.question_id, label.option, label.text, label.style) == ("q0", 0, "melting snow", "text")
    assert label.confidence == label.probabilities[0] == max(label.probabilities)
    assert sum(label.probabilities) == pytest.approx(1)
    assert set(label.passages) == {"pq0", "far"}
    assert label.passages_dropped == 0
    assert label.explanation is None
    assert label.key == label_key(QUESTIONS[0], FOUND[0], "me")


def test_no_questions():
    assert teacher(FakeEngine(shares_words)).label([], []) == []


def test_passages_that_do_not_fit_are_counted():
    (label,) = teacher(FakeEngine(shares_words, context_length=24), max_new_tokens=1).label(QUESTIONS[:1], FOUND[:1])
    assert (label.passages, label.passages_dropped) == (("pq0",), 1)


def test_without_log_probabilities_the_answer_is_written_and_confidence_is_unknown():
    said = {"river 0": "A bear.", "river 1": "melting  Snow", "river 2": "the moon"}
    engine = FakeEngine(None, says=lambda prompt: next(text for river, text in said.items() if river in prompt))
    labels = teacher(engine).label(QUESTIONS[:3], FOUND[:3])
    assert [(row.option, row.text) for row in labels] == [(1, "a bear"), (0, "melting snow"), (None, "the moon")]
    assert {(row.confidence, row.probabilities, row.style) for row in labels} == {(None, None, "text")}


def test_without_log_probabilities_a_letter_names_its_option():
    (label,) = teacher(FakeEngine(None, says=lambda prompt: "B."), style="letter").label(QUESTIONS[:1], FOUND[:1])
    assert (label.option, label.text) == (1, "a bear")


@pytest.mark.parametrize(("log_p", "confidence"), [(None, None), (2 * math.log(0.5), 0.5)])
def test_free_text(log_p, confidence):
    """Two tokens of probability 1/2: the confidence is their geometric mean."""
    engine = FakeEngine(says=lambda prompt: "melting snow", log_probability=log_p)
    (label,) = teacher(engine).label([OPEN], [Retrieval("open", ())])
    assert (label.option, label.probabilities, label.text, label.style) == (None, None, "melting snow", "generate")
    assert label.confidence == (None if confidence is None else pytest.approx(confidence))


def test_free_text_and_options_in_one_batch_keep_their_order():
    questions = [OPEN, QUESTIONS[0], dataclasses.replace(OPEN, id="other"), QUESTIONS[1]]
    labels = teacher(FakeEngine(shares_words)).label(questions, [Retrieval(q.id, ()) for q in questions])
    assert [row.question_id for row in labels] == ["open", "q0", "other", "q1"]
    assert [row.style for row in labels] == ["generate", "text", "generate", "text"]


@pytest.mark.parametrize(
    "changed",
    [
        (dataclasses.replace(QUESTIONS[0], text="Other?"), FOUND[0], "me"),
        (dataclasses.replace(QUESTIONS[0], options=("a bear", "melting snow")), FOUND[0], "me"),
        (QUESTIONS[0], Retrieval("q0", FOUND[0].passages[::-1]), "me"),
        (QUESTIONS[0], Retrieval("q0", FOUND[0].passages[:1]), "me"),
        (QUESTIONS[0], Retrieval("q0", (Passage("pq0", "Changed.", 0.9), FOUND[0].passages[1])), "me"),
        (QUESTIONS[0], FOUND[0], "another model"),
    ],
)
def test_the_key_changes_with_whatever_the_label_depends_on(changed):
    assert label_key(*changed) != label_key(QUESTIONS[0], FOUND[0], "me")


def test_the_key_does_not_change_with_the_score():
    again = Retrieval("q0", tuple(dataclasses.replace(p, score=0.0) for p in FOUND[0].passages))
    assert label_key(QUESTIONS[0], again, "me") == label_key(QUESTIONS[0], FOUND[0], "me")


def test_known_labels_are_not_paid_for_again():
    labels = teacher(FakeEngine(shares_words)).label(QUESTIONS, FOUND)
    engine, saved = FakeEngine(shares_words), []
    again = teacher(engine).label(QUESTIONS, FOUND, known={row.key: row for row in labels}, save=saved.append)
    assert again == labels
    assert engine.calls == saved == []


def test_stale_labels_are_not_taken():
    labels = teacher(FakeEngine(shares_words)).label(QUESTIONS, FOUND)
    engine = FakeEngine(shares_words)
    again = teacher(engine, identity="new model").label(QUESTIONS, FOUND, known={row.key: row for row in labels})
    assert len(engine.calls) == 3
    assert not {row.key for row in again} & {row.key for row in labels}


class Killed(Exception):  # noqa: N818 - stands for a killed process
    pass


@given(survives=st.integers(0, 2), batch=st.integers(1, 12))
def test_a_killed_run_loses_one_batch_at_most_and_ends_the_same(survives, batch):
    """The engine dies in some batch; what was saved is enough to go on, and the end is as if nothing had happened."""
    whole = teacher(FakeEngine(shares_words), batch_size=batch).label(QUESTIONS, FOUND)
    engine, saved = FakeEngine(shares_words), []
    scoring = engine.score

    def score(prompts, continuations):
        if len(engine.calls) == survives:
            raise Killed
        return scoring(prompts, continuations)

    engine.score = score
    try:
        teacher(engine, batch_size=batch).label(QUESTIONS, FOUND, save=saved.extend)
    except Killed:
        assert len(saved) == min(survives * batch, 10)
    rest, counted = FakeEngine(shares_words), []
    known = {row.key: row for row in saved}
    again = teacher(rest, batch_size=batch).label(
        QUESTIONS, FOUND, known=known, save=saved.extend, progress=counted.append
    )
    assert again == whole
    assert saved == whole  # each paid for once
    assert sum(counted) == 10
    assert len(rest.calls) == math.ceil(10 / batch) - len(engine.calls)


# -- samples and examples ----------------------------------------------------------------------------------------------


class Drawing(FakeEngine):
    """Draws by the seed: two in three samples say what is said greedily, in other letters."""

    def sample(self, prompts, max_new_tokens, *, seed):
        self.seeds = [*getattr(self, "seeds", ()), seed]
        said = ["Melting snow!", "the  melting snow", "a bear"]
        return [dataclasses.replace(g, text=said[seed % 3]) for g in self.generate(prompts, max_new_tokens)]


def test_the_share_of_samples_that_say_the_same():
    """Of three seeds in a row one draws "Melting snow!", which is what was said; the others say other words."""
    engine = Drawing(says=lambda prompt: "melting snow")
    (label,) = teacher(engine, samples=3).label([OPEN], [Retrieval("open", ())])
    assert (label.agreement, label.confidence) == (pytest.approx(1 / 3), pytest.approx(1 / 3))
    assert engine.seeds == list(range(engine.seeds[0], engine.seeds[0] + 3))
    again = Drawing(says=lambda prompt: "melting snow")
    assert teacher(again, samples=3).label([OPEN], [Retrieval("open", ())]) == [label]
    assert again.seeds == engine.seeds


@pytest.mark.parametrize(
    ("said", "drawn", "same"),
    [
        ("café", "Cafe\u0301.", True),  # composed or not
        ("की", "के", False),  # vowel signs tell words apart
        ("+", "-", False),
        ("水 蒸氣", "水蒸氣", True),
    ],
)
def test_what_says_the_same(said, drawn, same):
    assert (labelling._normalised(said) == labelling._normalised(drawn)) is same


def test_samples_leave_a_told_confidence_alone():
    engine = Drawing(says=lambda prompt: "melting snow", log_probability=2 * math.log(0.5))
    (label,) = teacher(engine, samples=3).label([OPEN], [Retrieval("open", ())])
    assert (label.agreement, label.confidence) == (pytest.approx(1 / 3), pytest.approx(0.5))


def test_scored_options_are_not_drawn():
    engine = Drawing(shares_words)
    assert teacher(engine, samples=3).label(QUESTIONS[:1], FOUND[:1])[0].agreement is None
    assert not hasattr(engine, "seeds")


def test_nobody_is_shown_the_answer_that_is_asked_for():
    examples = ((QUESTIONS[0], "melting snow"), (Question("other", "What is fog?"), "water"))
    engine = FakeEngine(shares_words)
    teacher(engine, PromptBuilder(examples=examples)).label(QUESTIONS[:2], FOUND[:2])
    first, second = engine.calls[0]
    assert first.count("What makes river 0 rise?") == 1
    assert "What is fog?" in first
    assert second.count("What makes river 0 rise?") == 1


def test_examples_are_left_out_before_the_question_is_refused():
    examples = tuple((Question(f"e{i}", "What is fog made of?"), "water") for i in range(3))
    engine = FakeEngine(shares_words, context_length=34)
    (label,) = teacher(engine, PromptBuilder(examples=examples), max_new_tokens=1).label(QUESTIONS[:1], FOUND[:1])
    assert label.passages_dropped == 2
    assert 1 <= engine.calls[0][0].count("What is fog") < 3


def test_what_retrieval_says_is_in_the_key_and_in_the_label():
    from solo_hub.models.experts import Recipe

    told = dataclasses.replace(FOUND[0], option_support=(math.log(0.001), math.log(0.999)))
    assert label_key(QUESTIONS[0], told, "me") != label_key(QUESTIONS[0], FOUND[0], "me")
    recipe = Recipe("text", support_weight=1.0)
    (label,) = teacher(FakeEngine(shares_words), recipe=recipe).label(QUESTIONS[:1], [told])
    (alone,) = teacher(FakeEngine(shares_words)).label(QUESTIONS[:1], [told])
    assert (alone.text, label.text) == ("melting snow", "a bear")
