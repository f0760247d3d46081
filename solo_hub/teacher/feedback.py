"""Feedback: the base answers closed book, as the student would, and the teacher ranks its answer against its own.

    chosen, rejected = argmax, argmin over {teacher's answer, student's answer} of p_T(answer | passages, question)

With options p_T is the calibrated probability in the labels, so only the student is asked. A written answer is scored
by the teacher with its passages: exp of the mean log-probability a token, normalised over the two answers. Questions
on which both give the same answer have nothing to rank. No gold answer is read.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np

from solo_hub.core.errors import ConfigError, InputError
from solo_hub.core.plugins import find
from solo_hub.core.records import Passage, Prediction, Preference, PseudoLabel, Question, Retrieval
from solo_hub.models.answering import fit, softmax
from solo_hub.models.asking import ask
from solo_hub.models.experts import Recipe
from solo_hub.run import rows as run_rows
from solo_hub.run.context import RunContext
from solo_hub.teacher import decision

STUDENT, TEACHER = "student", "teacher"


def is_wanted(context: RunContext) -> bool:
    """Whether the student's objective learns from feedback."""
    settings = context.config.student
    objective = None if settings.objective == "sft" else find("objectives", settings.objective)
    reads = getattr(objective, "reads_feedback", None)
    return reads is not None and bool(reads(settings.objective_options))


def rank(
    context: RunContext, questions: Sequence[Question], passages: Sequence[Retrieval], labels: Sequence[PseudoLabel]
) -> list[Preference]:
    """The rankings of a run, from its folder or made now (see `collect`); none if the objective learns from none.

    Raises:
        InputError: There are none, or the file was edited.
    """
    if not is_wanted(context):
        return []
    if context.run.has("feedback"):
        found = run_rows.read_feedback(context.run, questions)
    else:
        found = collect(context, questions, labels, {row.question_id: row.passages for row in passages})
        context.run.write_rows("feedback", found)
        differ = f"{len(found):,} of {len(labels):,}"
        context.console.note(f"feedback: the student's answer to {differ} questions is another")
    if not found:
        raise InputError(
            "teacher and student give the same answer to every question, so there is nothing to prefer.",
            file=str(context.run.file("feedback")),
            hint="Set student.objective_options.pairs=labels, or student.objective=sft.",
        )
    return found


def collect(
    context: RunContext,
    questions: Sequence[Question],
    labels: Sequence[PseudoLabel],
    passages: Mapping[str, Sequence[Passage]],
) -> list[Preference]:
    """Ask the base every question closed book, and rank.

    Args:
        context: The run.
        questions: The questions, aligned with the labels.
        labels: The teacher's answers.
        passages: The teacher's passages by question id; read for written answers only.

    Raises:
        ConfigError: A label with options has no probabilities, or the teacher's engine returns no log-probabilities.
    """
    bare = next((label.question_id for label in labels if label.option is not None and not label.probabilities), None)
    if bare is not None:
        raise ConfigError(
            f"The teacher ranks answers by the probabilities of its labels, and the label of question '{bare}' has "
            "none.",
            hint="Set student.objective=sft.",
        )
    answers = _closed_book(context, questions)
    listed = [
        _ranked(label, answer, label.probabilities)
        for label, answer in zip(labels, answers, strict=True)
        if label.probabilities is not None and label.option is not None and answer.option is not None
    ]
    written = [
        (question, label, answer)
        for question, label, answer in zip(questions, labels, answers, strict=True)
        if label.option is None and label.text.strip() and answer.text.strip()
    ]
    ranked = [*listed, *_rank_written(context, [row for row in written if not _same(row[1], row[2])], passages)]
    by_id = {row.question_id: row for row in ranked if row.chosen_probability > row.rejected_probability}
    options = {question.id: question.options for question in questions}
    return [_with_texts(by_id[q.id], options[q.id]) for q in questions if q.id in by_id]


def summarise(rows: Sequence[Preference], kept: Collection[str]) -> dict[str, int]:
    """The report's `feedback`: number of pairs, of those trained on, and how often the student's answer was chosen.

    Args:
        rows: The rankings.
        kept: Ids of the questions that the selection kept.
    """
    return {
        "pairs": len(rows),
        "learnt": sum(row.question_id in kept for row in rows),
        "student_chosen": sum(row.chosen_by == STUDENT for row in rows),
    }


def _closed_book(context: RunContext, questions: Sequence[Question]) -> list[Prediction]:
    size = context.config.teacher.batch_size
    answers: list[Prediction] = []
    with (
        context.engine.adapter(False),
        context.console.progress("asking the student closed book", len(questions)) as progress,
    ):
        for start in range(0, len(questions), size):
            batch = questions[start : start + size]
            asked = ask(
                context.engine,
                context.builder,
                batch,
                [()] * len(batch),
                Recipe(context.resolved.style),
                context.config.evaluation,
                arm=STUDENT,
                generate=False,
            )
            answers += [answer.prediction for answer in asked]
            progress(len(batch))
    return answers


def _rank_written(
    context: RunContext,
    rows: Sequence[tuple[Question, PseudoLabel, Prediction]],
    passages: Mapping[str, Sequence[Passage]],
) -> list[Preference]:
    if not rows:
        return []
    if len(context.teachers) > 1:
        raise ConfigError(
            "Written answers are ranked by one teacher, and teacher.base names several.",
            hint="Name one teacher, or set student.objective_options.pairs=labels or student.objective=sft.",
        )
    teacher, setup = context.teacher, decision.require_setup(context)
    ranked = []
    with teacher.weights(), context.console.progress("ranking answers", len(rows)) as progress:
        engine, builder = teacher.engine, setup.builder(teacher.builder)
        for question, label, answer in rows:
            texts = [builder.continuation(text) for text in (label.text, answer.text)]
            prompt = fit(engine, builder, question, passages.get(question.id, ()), setup.recipe.style).prompt
            (scores,) = engine.score([prompt], [texts])
            if scores is None:
                raise ConfigError(
                    "The teacher's engine returns no log-probabilities, so it cannot rank answers.",
                    hint="Set student.objective=sft.",
                )
            means = np.asarray(scores) / np.maximum(engine.count_tokens(texts), 1)
            probabilities = softmax(means)
            ranked.append(_ranked(label, answer, tuple(float(p) for p in probabilities)))
            progress(1)
    return ranked


def _ranked(label: PseudoLabel, answer: Prediction, probabilities: Sequence[float]) -> Preference:
    """Both answers, the more probable one first; of written ones the probabilities are (teacher's, student's)."""
    places = (0, 1) if label.option is None else (label.option, answer.option or 0)
    own = (label.text, label.option, float(probabilities[places[0]]), TEACHER)
    other = (answer.text, answer.option, float(probabilities[places[1]]), STUDENT)
    (chosen, option, p, by), (rejected, rejected_option, q, _) = (own, other) if own[2] >= other[2] else (other, own)
    return Preference(label.question_id, chosen, rejected, option, rejected_option, p, q, by)


def _same(label: PseudoLabel, answer: Prediction) -> bool:
    return " ".join(label.text.casefold().split()) == " ".join(answer.text.casefold().split())


def _with_texts(row: Preference, options: Sequence[str]) -> Preference:
    """The same, with the options' own texts."""
    if row.chosen_option is None or row.rejected_option is None:
        return row
    values = {**row.to_row(), "chosen": options[row.chosen_option], "rejected": options[row.rejected_option]}
    return Preference(**values)
