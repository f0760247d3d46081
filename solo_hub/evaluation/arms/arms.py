"""The arms of the evaluation: what each is made of and reads, all asked in the same way.

| arm                    | weights | reads before the question               |
|------------------------|---------|------------------------------------------|
| base                   | base    | nothing                                  |
| teacher                | teacher | retrieved passages, as for the labels (`decision`) |
| student                | student | nothing                                  |
| base_few_shot          | base    | examples: the run's own pseudo-labels    |
| student_with_passages  | student | retrieved passages                       |
| teacher_zero_shot      | teacher, if it is not the base | nothing             |
| oracle                 | base    | the gold facts: what perfect retrieval would give; evaluation only |
| gold_student, random_student, shuffled_student | their own (`controls`) | nothing                 |
| NAME=REPO or FOLDER    | its own | nothing                                  |
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from solo_hub.core.errors import InputError
from solo_hub.core.plugins import Progress
from solo_hub.core.records import Gold, Passage, Prediction, Question, Retrieval
from solo_hub.curation.step import RunCuration
from solo_hub.evaluation import trust
from solo_hub.evaluation.arms import weights as arm_weights
from solo_hub.evaluation.external_answers import left_out
from solo_hub.evaluation.golds import golds as golds_of
from solo_hub.evaluation.golds import missing_column
from solo_hub.evaluation.learnt import Learnt
from solo_hub.evaluation.report.format import arm_label
from solo_hub.knowledge.chunking import estimate_tokens
from solo_hub.knowledge.step import retrieve, warn_of_empty
from solo_hub.models import prompts
from solo_hub.models.asking import ask
from solo_hub.models.experts import Recipe
from solo_hub.models.prompts import PromptBuilder
from solo_hub.run.context import RunContext
from solo_hub.run.row_cache import RowCache
from solo_hub.run.teachers import RunTeacher
from solo_hub.student import controls
from solo_hub.student.control_labels import CONTROLS
from solo_hub.tasks import loading
from solo_hub.tasks import step as task_step
from solo_hub.teacher import decision, several

ARMS = ("base", "teacher", "student")
TEACHER, WITH_PASSAGES = "teacher", "student_with_passages"
ANSWERS = ".6-answers.jsonl"
"""Cache of the arms' answers."""
BATCH_TOKENS = 8000  # of passages in a batch: twenty seconds of a core with a base of 135 million parameters
Reads = Literal["question", "passages", "examples", "facts"]


@dataclass(frozen=True, slots=True)
class Arm:
    """One way to answer.

    Attributes:
        name: Its name in predictions and report.
        weights: `base`, `student`, the role of a teacher, a control student, or the role of a repo or folder (see
            `arm_weights`).
        reads: What stands before the question.
    """

    name: str
    weights: str
    reads: Reads = "question"


BUILT_IN = (
    Arm("base", "base"),
    Arm("teacher", "teacher", "passages"),
    Arm("student", "student"),
    Arm("base_few_shot", "base", "examples"),
    Arm("student_with_passages", "student", "passages"),
    Arm("teacher_zero_shot", "teacher"),
    Arm("oracle", "base", "facts"),
    *(Arm(name, name) for name in CONTROLS),
)


@dataclass(frozen=True, slots=True)
class EvaluationSet:
    """The questions of an evaluation.

    Attributes:
        questions: The held-out questions.
        passages: The teacher's passages for them, aligned.
        golds: Their answers, any order; only the oracle reads of them, and only the facts.
    """

    questions: Sequence[Question]
    passages: Sequence[Retrieval]
    golds: Sequence[Gold]

    def given(self, arm: Arm) -> list[tuple[Passage, ...]]:
        """What an arm reads besides the question, best first, one a question."""
        if arm.reads == "passages":
            return [retrieval.passages for retrieval in self.passages]
        if arm.reads == "facts":
            facts = {gold.question_id: gold.facts for gold in self.golds}
            return [
                tuple(Passage(f"fact-{n}", fact, 1.0, "gold") for n, fact in enumerate(facts.get(q.id, ()), start=1))
                for q in self.questions
            ]
        return [()] * len(self.questions)


def chosen(context: RunContext, golds: Sequence[Gold]) -> list[Arm]:
    """The arms of a run; the oracle only where the task has gold facts."""
    imported = context.config.teacher.labels is not None  # there is no teacher to ask
    arms = [arm for arm in BUILT_IN if arm.name in ARMS and not (imported and arm.reads == "passages")]
    if together := context.resolved.teachers:  # each alone; what they say together is worked out of that
        alone = [Arm(f"{TEACHER}_{number}", role, "passages") for number, role in enumerate(together.roles, start=1)]
        arms = [one for arm in arms for one in (alone if arm.name == TEACHER else [arm])]
    for entry in context.config.evaluation.arms:
        name, given, _ = entry.partition("=")
        if given:
            arms.append(Arm(name, f"arm_{name}"))
        elif name == "oracle" and not any(gold.facts for gold in golds):
            context.console.note("the task has no gold facts: the oracle is skipped")
        elif name == "base_few_shot" and context.classifies:
            context.console.note("an encoder takes no examples: the few-shot arm is skipped")
        elif name == "teacher_zero_shot" and (imported or together or context.teacher.source == "base"):
            context.console.note("not one other model than the base teaches: the teacher without passages is skipped")
        elif context.classifies and next(arm.reads for arm in BUILT_IN if arm.name == name) in ("passages", "facts"):
            context.console.note(f"an encoder reads no passages: {name.replace('_', ' ')} is skipped")
        elif name == "student_with_passages" and not context.config.knowledge.passages:
            context.console.note("there are no passages: the student is asked without")
        elif name in CONTROLS and not controls.folder(context, name).exists():
            continue  # there were no labels to train it on, which was said
        else:
            arms.append(next(arm for arm in BUILT_IN if arm.name == name))
    return arms


def held_out(context: RunContext) -> EvaluationSet:
    """Held-out questions, their passages and answers, written into the run folder.

    Raises:
        InputError: See `read_held_out`.
    """
    questions, golds = read_held_out(context)
    context.run.write_rows("held_out", questions)
    context.run.write_rows("golds", golds)
    passages = _passages_for(context, questions)
    warn_of_empty(context, passages, "held-out questions")
    return EvaluationSet(questions, passages, golds)


def read_held_out(context: RunContext) -> tuple[list[Question], list[Gold]]:
    """Held-out questions and their answers; those without a gold answer are left out and counted.

    Raises:
        InputError: No question has a known answer, or one has an answer that is not among its options.
    """
    own = "evaluation_questions" in context.resolved.repos
    if own:
        everything = task_step.questions(context, "evaluation_questions")
        if context.config.task.unusable_rows == "leave_out":
            everything = _answered(context, everything)
        golds = golds_of(context, "evaluation_questions", everything)
    else:
        everything, golds = context.shared(RunCuration).held_out()
    answered = {gold.question_id for gold in golds}
    if own and not golds and (column := missing_column(context, "evaluation_questions")):
        raise InputError(
            f"the held-out questions have no column '{column}' with gold answers.",
            file=context.place("evaluation_questions"),
            hint="Set task.evaluation_questions or task.evaluation_split to questions that have answers.",
        )
    questions = [question for question in everything if question.id in answered]
    if not questions:
        raise InputError(
            "no held-out question has a gold answer.",
            file=context.place("evaluation_questions" if own else "knowledge"),
            hint="Set task.evaluation_questions or task.evaluation_split to questions that have answers.",
        )
    if len(questions) < len(everything):
        message = left_out(len(everything) - len(questions), len(everything))
        context.console.note(f"{context.place('evaluation_questions')}: {message}")
    questions = loading.sample(questions, context.config.task.evaluation_limit, context.config.seed)
    asked = {question.id for question in questions}
    golds = [gold for gold in golds if gold.question_id in asked]
    return questions, golds


def known_answers(context: RunContext, questions: Sequence[Question]) -> list[Gold]:
    """Known answers of the training questions, for the analysis of labels and for control students.

    Of a written question that is what its document says, where the teacher was asked as well; where the document's
    words are the label, there is nothing to hold it against.
    """
    own = golds_of(context, "questions", questions) if "questions" in context.resolved.repos else []
    asked = context.config.curation.check == "teacher"
    return own + (context.shared(RunCuration).answers() if asked else [])


def _answered(context: RunContext, questions: list[Question]) -> list[Question]:
    """The held-out questions whose answers are known and can be used; the others are listed and named."""
    known = {gold.question_id for gold in golds_of(context, "evaluation_questions", questions, required=True)}
    if not known:  # not a matter of single rows
        return questions
    context.report_left_out("held_out_left_out", context.left_out("evaluation_questions"), "held-out question")
    return [question for question in questions if question.id in known]


def _passages_for(context: RunContext, questions: Sequence[Question]) -> list[Retrieval]:
    """The teacher's passages for the held-out questions, found once."""
    if context.run.has("held_out_passages"):
        found = context.run.read_rows("held_out_passages", Retrieval)
        if [r.question_id for r in found] == [q.id for q in questions]:
            return found
    found = retrieve(context, questions)
    context.run.write_rows("held_out_passages", found)
    return found


def unanswerable(context: RunContext, asked: EvaluationSet, learnt: Learnt) -> list[str]:
    """Ids of held-out questions whose documents the student has not studied.

    Of questions generated from documents: those about facts held out. Of a user's: see `trust`.
    """
    if "evaluation_questions" not in context.resolved.repos:
        return context.shared(RunCuration).parts()["unseen"]
    studied = {name for _, label in learnt.kept for name in label.passages}
    return trust.without_their_documents(asked.questions, asked.golds, asked.passages, studied) if studied else []


def predict(context: RunContext, asking: EvaluationSet, learnt: Learnt) -> dict[str, list[Prediction]]:
    """Compute the missing answers of all arms; an interrupted evaluation resumes at its batch."""
    arm_weights.pin_bases(context)
    arms = chosen(context, asking.golds)
    examples = _examples(context, learnt) if any(arm.reads == "examples" for arm in arms) else ()
    keys = {arm.name: _keys(context, arm, asking, examples) for arm in arms}
    with RowCache(Prediction, context.run.path / ANSWERS) as known:
        for arm in arms:
            with context.console.progress(
                f"evaluating {arm_label(arm.name)}", len(asking.questions), saved=True
            ) as progress:
                _ask_arm(context, arm, asking, keys[arm.name], examples, known, progress)
        known.keep({key for batch in keys.values() for key in batch})
        answers = {arm.name: [known[key] for key in keys[arm.name]] for arm in arms}
    if row := context.resolved.teachers:
        alone = [answers[name] for name in answers if _is_alone(name)]
        answers[TEACHER] = several.join_predictions(alone, TEACHER, row.temperature)
    context.run.write_rows("predictions", [row for rows in answers.values() for row in rows])
    return answers


def _ask_arm(
    context: RunContext,
    arm: Arm,
    asking: EvaluationSet,
    keys: Sequence[str],
    examples: tuple[tuple[Question, str], ...],
    known: RowCache[Prediction],
    progress: Progress,
) -> None:
    """Ask an arm what it has not answered yet, batch by batch."""
    if all(key in known for key in keys):
        progress(len(keys))
        return
    settings, given = context.config.evaluation, asking.given(arm)
    teacher, teaches = context.teacher_of(arm.weights), _teacher(context, arm) is not None
    decided = decision.require_setup(context, teacher)
    recipe = decided.recipe if teaches else Recipe(decided.recipe.style if teacher else decided.style)
    with arm_weights.arm_model(context, arm.weights) as (engine, plain):
        builder = dataclasses.replace(plain, examples=examples if arm.reads == "examples" else ())
        if teaches:
            builder = decided.builder(plain)
        for batch in batches(given, settings.batch_size):  # always the same, so answers are the same whenever given
            if not all(key in known for key in keys[batch]):
                fresh = ask(
                    engine,
                    builder,
                    asking.questions[batch],
                    given[batch],
                    recipe,
                    settings,
                    arm=arm.name,
                    generate=settings.generate,
                    supports=decision.supports(asking.passages[batch]) if teaches else (),
                )
                known.add({key: asked.prediction for key, asked in zip(keys[batch], fresh, strict=True)})
            progress(len(keys[batch]))


def batches(given: Sequence[Sequence[Passage]], most: int) -> Iterator[slice]:
    """Slices of at most so many questions each, and no more than have `BATCH_TOKENS` tokens of passages in all.

    A batch is what is saved and shown as progress: of long passages 32 questions would take minutes on a CPU.

    >>> long = (Passage("p", "word " * 3000, 1.0),)
    >>> [(batch.start, batch.stop) for batch in batches([(), (), (), long, long, long, long], 2)]
    [(0, 2), (2, 4), (4, 6), (6, 7)]
    >>> [(batch.start, batch.stop) for batch in batches([long] * 5, 32)]
    [(0, 2), (2, 4), (4, 5)]
    """
    tokens = [sum(estimate_tokens([passage.text for passage in passages])) for passages in given]
    start = total = 0
    for place, count in enumerate(tokens):
        if place > start and (place - start == most or total + count > BATCH_TOKENS):
            yield slice(start, place)
            start, total = place, 0
        total += count
    if start < len(tokens):
        yield slice(start, len(tokens))


def _teacher(context: RunContext, arm: Arm) -> RunTeacher | None:
    """The teacher that answers in this arm as it answered for the labels; None in the other arms."""
    return context.teacher_of(arm.weights) if arm.reads == "passages" else None


def _is_alone(name: str) -> bool:
    """Whether an arm is one of several teachers alone."""
    return name.removeprefix(f"{TEACHER}_").isdecimal()


def _examples(context: RunContext, learnt: Learnt) -> tuple[tuple[Question, str], ...]:
    """Examples for the few-shot arm: pseudo-labels that were kept, drawn by the seed. No gold answer is among them."""
    count = min(context.config.evaluation.few_shot, len(learnt.kept))
    drawn = random.Random(context.config.seed).sample(learnt.kept, count)  # noqa: S311 - a sample, not a secret
    style, builder = context.resolved.style, PromptBuilder()
    return tuple(
        (question, label.text if label.option is None else builder.answers(question, style)[label.option])
        for question, label in drawn
    )


def _keys(context: RunContext, arm: Arm, asking: EvaluationSet, examples: Sequence[tuple[Question, str]]) -> list[str]:
    """Hash of all each answer of an arm depends on."""
    settings = context.config.evaluation
    shared = [
        arm.name,
        context.name_of("base"),
        arm_weights.identity(context, arm.weights),
        context.resolved.style,
        prompts.identity(context.config.teacher.prompt),
        settings.model_dump_json(include={"generate", "max_new_tokens", "batch_size", "dtype"}),
        str(context.resolved.engine and context.resolved.engine.identity),
        json.dumps([[q.asked(), answer] for q, answer in examples] if arm.reads == "examples" else []),
    ]
    shared += context.format_key(written=settings.generate or any(not q.options for q in asking.questions))
    supports: Sequence[Any] = [None] * len(asking.questions)
    if teacher := context.teacher_of(arm.weights):
        shared.append(decision.identity(teacher, decision.require_setup(context, teacher)))
    if _teacher(context, arm):
        supports = decision.supports(asking.passages)
    start = hashlib.sha256("\0".join(shared).encode())
    keys = []
    for question, passages, support in zip(asking.questions, asking.given(arm), supports, strict=True):
        digest = start.copy()
        digest.update(json.dumps([question.asked(), [p.text for p in passages], support]).encode())
        keys.append(digest.hexdigest())
    return keys
