"""Rows of a run folder that belong together, read with a check that they do.

Files of one run name the same questions in the same order. A file that was edited, or taken from another run, is told
with the row where it no longer fits and the file it does not fit to, wherever it is read.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from solo_hub.core.errors import RunError
from solo_hub.core.records import Gold, Prediction, PseudoLabel, Question, Retrieval, Verdict
from solo_hub.run.folder import RunFolder


def read_questions(run: RunFolder, name: str = "questions") -> list[Question]:
    """The questions of a run, `questions` or `held_out`.

    Raises:
        InputError: There is none, or two have one id.
    """
    questions = run.read_rows(name, Question)
    if not questions:
        raise run.refuse(name, None, "no rows.")
    seen: set[str] = set()
    for index, question in enumerate(questions):
        if question.id in seen:
            raise run.refuse(name, index, f"the id '{question.id}' is there twice.", "id")
        seen.add(question.id)
    return questions


def read_passages(run: RunFolder, questions: Sequence[Question]) -> list[Retrieval]:
    """The passages of a run's questions, in their order.

    Raises:
        InputError: A row is of another question.
    """
    found = run.read_rows("passages", Retrieval)
    run.check_ids("passages", [row.question_id for row in found], "questions", [question.id for question in questions])
    return found


def read_labels(run: RunFolder, questions: Sequence[Question]) -> list[PseudoLabel]:
    """The finished labels of a run's questions, in their order.

    Raises:
        InputError: A row is of another question, or cannot be a label of its own.
    """
    labels = run.read_rows("labels", PseudoLabel)
    run.check_ids("labels", [row.question_id for row in labels], "questions", [question.id for question in questions])
    for index, (label, question) in enumerate(zip(labels, questions, strict=True)):
        if problem := label_problem(label, question):
            raise run.refuse("labels", index, problem)
    return labels


def label_problem(label: PseudoLabel, question: Question) -> str | None:
    """What keeps a label from being one of a question; None where nothing does."""
    options, wrong = (
        len(question.options),
        [name for name in ("confidence", "agreement") if not _is_share(getattr(label, name))],
    )
    problem = None
    if label.question_id != question.id:
        problem = f"the label of question '{question.id}' says it is of '{label.question_id}'."
    elif label.option is not None and not 0 <= label.option < options:
        problem = f"option {label.option} of question '{question.id}', which has {options} in 1-questions.jsonl."
    elif label.probabilities is not None and len(label.probabilities) != options:
        told = f"{len(label.probabilities)} probabilities of question '{question.id}'"
        problem = f"{told}, which has {options} options in 1-questions.jsonl."
    elif label.probabilities is not None and label.confidence is None:
        problem = f"the label of question '{question.id}' has probabilities and no confidence."
    elif wrong:
        problem = f"{wrong[0]} {getattr(label, wrong[0])} of question '{question.id}': it is between 0 and 1."
    elif not all(_is_share(p) for p in label.probabilities or ()):
        problem = f"the probabilities of question '{question.id}' are not all between 0 and 1."
    return problem


def _is_share(value: float | None) -> bool:
    """Whether it can be a probability; a little above 1 is rounding, "not a number" is none."""
    return value is None or 0 <= value <= 1 + 1e-6


def read_verdicts(run: RunFolder, labels: Sequence[PseudoLabel]) -> list[Verdict]:
    """Selection's verdict on each label, in the order of the labels.

    Raises:
        InputError: A label has none or two, or a verdict is of another question or in the wrong file.
    """
    known = {label.question_id for label in labels}
    found: dict[str, Verdict] = {}
    for name in ("selected", "dropped"):
        for index, verdict in enumerate(run.read_rows(name, Verdict)):
            if verdict.question_id not in known:
                said = f"{run.file('labels').name} has no label of question '{verdict.question_id}'."
                raise run.refuse(name, index, said, "question_id")
            if verdict.question_id in found:
                said = f"question '{verdict.question_id}' has a second verdict."
                raise run.refuse(name, index, said, "question_id")
            if verdict.kept != (name == "selected"):
                raise run.refuse(name, index, f"{verdict.kept} in {run.file(name).name}.", "kept")
            found[verdict.question_id] = verdict
    for index, label in enumerate(labels):
        if label.question_id not in found:
            names = f"{run.file('selected').name} and {run.file('dropped').name}"
            said = f"the label of question '{label.question_id}' has no verdict in {names}."
            raise run.refuse("labels", index, said)
    return [found[label.question_id] for label in labels]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What the evaluation of a run left.

    Attributes:
        questions: The held-out questions.
        golds: Their answers, one a question, in the same order.
        passages: What the teacher read, in the same order.
        predictions: By arm, one a question, in the same order.
    """

    questions: list[Question]
    golds: list[Gold]
    passages: list[Retrieval]
    predictions: dict[str, list[Prediction]]


def read_evaluation(run: RunFolder, arms: Iterable[str] = ()) -> Evaluation:
    """Read what the evaluation of a run left.

    Args:
        run: The run.
        arms: Names of arms that must have answers.

    Raises:
        RunError: The run has not been evaluated.
        InputError: The files do not fit together: names file and row.
    """
    if lacking := next((name for name in ("held_out", "golds", "predictions") if not run.has(name)), None):
        first = f"Delete {run.file('report').name} there, and finish it" if run.has("report") else "Finish it"
        raise RunError(
            f"The run '{run}' has not been evaluated: {run.file(lacking).name} is not there.",
            hint=f"{first} with `solo-hub distill --run {run}`.",
        )
    questions = read_questions(run, "held_out")
    ids = [question.id for question in questions]
    # where a run without passages was made by another version there is no such file
    passages = run.read_rows("held_out_passages", Retrieval) if run.has("held_out_passages") else []
    if passages:
        run.check_ids("held_out_passages", [row.question_id for row in passages], "held_out", ids)
    golds = run.read_rows("golds", Gold)
    run.check_ids("golds", [row.question_id for row in golds], "held_out", ids)
    for index, (gold, question) in enumerate(zip(golds, questions, strict=True)):
        _check_option(run, "golds", index, gold.option, question)
    passages = passages or [Retrieval(question.id, ()) for question in questions]
    predictions = _read_predictions(run, questions)
    if silent := next((arm for arm in arms if arm not in predictions), None):
        raise run.refuse("predictions", None, f"no answers of the arm '{silent}', which {run.file('report').name} has.")
    return Evaluation(questions, golds, passages, predictions)


def _read_predictions(run: RunFolder, questions: Sequence[Question]) -> dict[str, list[Prediction]]:
    rows = run.read_rows("predictions", Prediction)
    if not rows:
        raise run.refuse("predictions", None, "no rows.")
    there = Counter(row.arm for row in rows)
    by_arm: dict[str, list[Prediction]] = {}
    # an arm of few answers first: it is more likely the one that somebody has made
    for index, row in sorted(enumerate(rows), key=lambda place: (there[place[1].arm], place[0])):
        answered = by_arm.setdefault(row.arm, [])
        held_out = run.file("held_out").name
        if there[row.arm] != len(questions):
            said = f"one of {there[row.arm]} answers of the arm '{row.arm}' to the {len(questions)} of {held_out}."
            raise run.refuse("predictions", index, said, "arm")
        question = questions[len(answered)]
        if row.question_id != question.id:
            said = f"the arm '{row.arm}' answers '{row.question_id}' where {held_out} has '{question.id}'."
            raise run.refuse("predictions", index, said, "question_id")
        _check_option(run, "predictions", index, row.option, question)
        answered.append(row)
    return by_arm


def _check_option(run: RunFolder, name: str, index: int, option: int | None, question: Question) -> None:
    """Of an answer to a held-out question."""
    if option is not None and not 0 <= option < len(question.options):
        there = f"{len(question.options)} in {run.file('held_out').name}"
        said = f"option {option} of question '{question.id}', which has {there}."
        raise run.refuse(name, index, said, "option")
