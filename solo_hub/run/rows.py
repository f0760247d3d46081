"""Reads related rows of a run folder and checks that they match.

Files of one run have the same questions in the same order. For a file that was edited, or copied from another run, the
error names the first row that does not match, and the other file.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from solo_hub.core.errors import RunError
from solo_hub.core.records import Gold, Prediction, Preference, PseudoLabel, Question, Retrieval, Verdict
from solo_hub.run.folder import RunFolder


def read_questions(run: RunFolder, name: str = "questions") -> list[Question]:
    """The questions of a run, `questions` or `held_out`.

    Raises:
        InputError: There are none, or an id is duplicated.
    """
    questions = run.read_rows(name, Question)
    if not questions:
        raise run.row_error(name, None, "no rows.")
    seen: set[str] = set()
    for index, question in enumerate(questions):
        if question.id in seen:
            raise run.row_error(name, index, f"duplicate id '{question.id}'.", "id")
        seen.add(question.id)
    return questions


def read_passages(run: RunFolder, questions: Sequence[Question]) -> list[Retrieval]:
    """The passages of a run's questions, in the same order.

    Raises:
        InputError: A row belongs to another question.
    """
    passages = run.read_rows("passages", Retrieval)
    run.check_ids(
        "passages", [row.question_id for row in passages], "questions", [question.id for question in questions]
    )
    return passages


def read_labels(run: RunFolder, questions: Sequence[Question]) -> list[PseudoLabel]:
    """The final labels of a run's questions, in the same order.

    Raises:
        InputError: A row belongs to another question, or is not a valid label.
    """
    labels = run.read_rows("labels", PseudoLabel)
    run.check_ids("labels", [row.question_id for row in labels], "questions", [question.id for question in questions])
    for index, (label, question) in enumerate(zip(labels, questions, strict=True)):
        if problem := label_problem(label, question):
            raise run.row_error("labels", index, problem)
    return labels


def label_problem(label: PseudoLabel, question: Question) -> str | None:
    """Why a label is invalid for a question; None if it is valid."""
    options, wrong = (
        len(question.options),
        [name for name in ("confidence", "agreement") if not _is_share(getattr(label, name))],
    )
    problem = None
    if label.question_id != question.id:
        problem = f"the label of question '{question.id}' has the question_id '{label.question_id}'."
    elif label.option is not None and not 0 <= label.option < options:
        problem = f"option {label.option} of question '{question.id}', which has {options} in 1-questions.jsonl."
    elif label.probabilities is not None and len(label.probabilities) != options:
        given = f"{len(label.probabilities)} probabilities of question '{question.id}'"
        problem = f"{given}, which has {options} options in 1-questions.jsonl."
    elif label.probabilities is not None and label.confidence is None:
        problem = f"the label of question '{question.id}' has probabilities but no confidence."
    elif wrong:
        problem = f"{wrong[0]} {getattr(label, wrong[0])} of question '{question.id}' is not between 0 and 1."
    elif not all(_is_share(p) for p in label.probabilities or ()):
        problem = f"the probabilities of question '{question.id}' are not all between 0 and 1."
    return problem


def _is_share(value: float | None) -> bool:
    """Whether a value is between 0 and 1 (allowing for rounding); None is accepted, NaN is not."""
    return value is None or 0 <= value <= 1 + 1e-6


def read_feedback(run: RunFolder, questions: Sequence[Question]) -> list[Preference]:
    """The teacher's rankings of answers to a run's questions, at most one a question.

    Raises:
        InputError: A row belongs to no question or to one that has another, or names an option that it does not have.
    """
    counts, seen = {question.id: len(question.options) for question in questions}, set()
    rows = run.read_rows("feedback", Preference)
    for index, row in enumerate(rows):
        if row.question_id not in counts or row.question_id in seen:
            raise run.row_error("feedback", index, f"question '{row.question_id}' is unknown or here twice.")
        seen.add(row.question_id)
        for option in (row.chosen_option, row.rejected_option):
            if option is not None and not 0 <= option < counts[row.question_id]:
                raise run.row_error("feedback", index, f"question '{row.question_id}' has no option {option}.")
        if not row.rejected_probability <= row.chosen_probability <= 1 + 1e-6 or row.rejected_probability < 0:
            raise run.row_error("feedback", index, f"invalid probabilities of question '{row.question_id}'.")
    return rows


def read_verdicts(run: RunFolder, labels: Sequence[PseudoLabel]) -> list[Verdict]:
    """The selection's verdict on each label, in the labels' order.

    Raises:
        InputError: A label has no verdict or two, or a verdict belongs to another question or is in the wrong file.
    """
    known = {label.question_id for label in labels}
    verdicts: dict[str, Verdict] = {}
    for name in ("selected", "dropped"):
        for index, verdict in enumerate(run.read_rows(name, Verdict)):
            if verdict.question_id not in known:
                problem = f"{run.file('labels').name} has no label of question '{verdict.question_id}'."
                raise run.row_error(name, index, problem, "question_id")
            if verdict.question_id in verdicts:
                problem = f"question '{verdict.question_id}' has a second verdict."
                raise run.row_error(name, index, problem, "question_id")
            if verdict.kept != (name == "selected"):
                raise run.row_error(name, index, f"{verdict.kept} in {run.file(name).name}.", "kept")
            verdicts[verdict.question_id] = verdict
    for index, label in enumerate(labels):
        if label.question_id not in verdicts:
            names = f"{run.file('selected').name} and {run.file('dropped').name}"
            problem = f"the label of question '{label.question_id}' has no verdict in {names}."
            raise run.row_error("labels", index, problem)
    return [verdicts[label.question_id] for label in labels]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The stored evaluation of a run.

    Attributes:
        questions: The held-out questions.
        golds: Their gold answers, aligned.
        passages: The teacher's passages, aligned.
        predictions: By arm, aligned.
    """

    questions: list[Question]
    golds: list[Gold]
    passages: list[Retrieval]
    predictions: dict[str, list[Prediction]]


def read_evaluation(run: RunFolder, arms: Iterable[str] = ()) -> Evaluation:
    """Read the stored evaluation of a run.

    Args:
        run: The run.
        arms: Names of arms that must have answers.

    Raises:
        RunError: The run has not been evaluated.
        InputError: The files do not match; names file and row.
    """
    if lacking := next((name for name in ("held_out", "golds", "predictions") if not run.has(name)), None):
        first = f"Delete its {run.file('report').name}, then complete it" if run.has("report") else "Complete it"
        raise RunError(
            f"The run '{run}' has not been evaluated: {run.file(lacking).name} is missing.",
            hint=f"{first} with `solo-hub distill --run {run}`.",
        )
    questions = read_questions(run, "held_out")
    ids = [question.id for question in questions]
    # runs without passages by earlier versions have no such file
    passages = run.read_rows("held_out_passages", Retrieval) if run.has("held_out_passages") else []
    if passages:
        run.check_ids("held_out_passages", [row.question_id for row in passages], "held_out", ids)
    golds = run.read_rows("golds", Gold)
    run.check_ids("golds", [row.question_id for row in golds], "held_out", ids)
    for index, (gold, question) in enumerate(zip(golds, questions, strict=True)):
        _check_option(run, "golds", index, gold.option, question)
    passages = passages or [Retrieval(question.id, ()) for question in questions]
    predictions = _read_predictions(run, questions)
    if lacking := next((arm for arm in arms if arm not in predictions), None):
        raise run.row_error(
            "predictions", None, f"no answers of the arm '{lacking}', which is in {run.file('report').name}."
        )
    return Evaluation(questions, golds, passages, predictions)


def _read_predictions(run: RunFolder, questions: Sequence[Question]) -> dict[str, list[Prediction]]:
    rows = run.read_rows("predictions", Prediction)
    if not rows:
        raise run.row_error("predictions", None, "no rows.")
    counts = Counter(row.arm for row in rows)
    by_arm: dict[str, list[Prediction]] = {}
    # the arm with the fewest answers first: it is most likely the edited one
    for index, row in sorted(enumerate(rows), key=lambda place: (counts[place[1].arm], place[0])):
        answered = by_arm.setdefault(row.arm, [])
        held_out = run.file("held_out").name
        if counts[row.arm] != len(questions):
            problem = f"one of {counts[row.arm]} answers of the arm '{row.arm}' to the {len(questions)} of {held_out}."
            raise run.row_error("predictions", index, problem, "arm")
        question = questions[len(answered)]
        if row.question_id != question.id:
            problem = f"the arm '{row.arm}' answers '{row.question_id}' where {held_out} has '{question.id}'."
            raise run.row_error("predictions", index, problem, "question_id")
        _check_option(run, "predictions", index, row.option, question)
        answered.append(row)
    return by_arm


def _check_option(run: RunFolder, name: str, index: int, option: int | None, question: Question) -> None:
    """Check the option index of an answer to a held-out question."""
    if option is not None and not 0 <= option < len(question.options):
        given = f"{len(question.options)} in {run.file('held_out').name}"
        problem = f"option {option} of question '{question.id}', which has {given}."
        raise run.row_error(name, index, problem, "option")
