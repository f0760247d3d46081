"""The method, on one page: seven steps from unlabelled questions to published repos.

    questions   rows of a Hub dataset              -> 1-questions.jsonl
    passages    corpus -> index -> passages        -> 2-passages.jsonl
    labels      the teacher answers with passages  -> 3-labels.jsonl
    selection   what is worth learning             -> 4-selected.jsonl, 4-dropped.jsonl
    adapter     the student learns without them    -> 5-adapter/
    report      base, teacher, student, measured   -> 6-predictions.jsonl, 6-report.json, report.html
    published   dataset and adapter on the Hub     -> 7-published.json

Every step takes and returns lists and is independent of the others; a step whose file exists is skipped. So the same
command resumes a run that was interrupted anywhere, and a finished run is a no-op. Gold answers (`Gold`) are used in
`evaluate` only; `distill` first checks that those of the held-out questions can be read, but keeps none of them.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, Concatenate, ParamSpec, TypeVar

from solo_hub.core.plugins import StepSelector
from solo_hub.core.records import Preference, PseudoLabel, Question, Retrieval, Selection
from solo_hub.curation.step import RunCuration
from solo_hub.evaluation import step as evaluation_step
from solo_hub.evaluation.arms import arms
from solo_hub.evaluation.learnt import Learnt
from solo_hub.knowledge.source import read_summary
from solo_hub.knowledge.step import RunKnowledge, retrieve, warn_of_empty
from solo_hub.models.loading import NF4, check_quantising
from solo_hub.publishing.step import publish_run
from solo_hub.run import packages
from solo_hub.run import rows as run_rows
from solo_hub.run.context import RunContext
from solo_hub.selection import step as selection_step
from solo_hub.student import merging
from solo_hub.student import step as student_step
from solo_hub.student.training import Training, read_training
from solo_hub.tasks import step as task_step
from solo_hub.teacher import feedback, imported_labels
from solo_hub.teacher import step as teacher_step

FEW_HELD_OUT = 30  # questions: a 95 % interval of some 35 points

P = ParamSpec("P")
R = TypeVar("R")


def distill(context: RunContext, *, push: bool = False) -> dict[str, Any]:
    """Run all steps that are not done yet.

    Args:
        context: The run.
        push: Also publish; write permission is checked first.

    Returns:
        The document that `--format json` prints: `run`, `arms`, `paired`, `gap_closed`, `published`, ...
    """
    namespace = (
        context.client.require_write(context.config.publish.namespace)
        if push and not context.run.has("published")
        else None
    )
    check_early(context)
    questions = load_questions(context)
    passages = find_passages(context, questions)
    labels = label(context, questions, passages)
    selection = select(context, questions, passages, labels)
    preferences = rank(context, questions, passages, labels)
    trained = train(context, questions, passages, labels, selection, preferences)
    report = evaluate(context, questions, passages, labels, selection, preferences, trained)
    published = publish(context, namespace) if push else None
    return {**report, "run": str(context.run), "published": published}


def check_early(context: RunContext) -> None:
    """Check what would stop a later step: packages, the base's own files, the answers of the held-out questions."""
    if not context.run.has("adapter"):
        packages.check(context.config.student)
    if context.run.has("report"):
        return
    if context.config.engine.dtype == NF4:
        check_quantising()
    with context.processes.first_first():
        context.check_base()
        if "evaluation_questions" in context.resolved.repos:
            arms.read_held_out(context)


def _one_first(step: Callable[Concatenate[RunContext, P], R]) -> Callable[Concatenate[RunContext, P], R]:
    """With several processes (`accelerate launch`), the first runs the step; the others then read what it wrote."""

    @functools.wraps(step)
    def wrapped(context: RunContext, /, *arguments: P.args, **named: P.kwargs) -> R:
        with context.processes.first_first():
            return step(context, *arguments, **named)

    return wrapped


@_one_first
def load_questions(context: RunContext) -> list[Question]:
    """Step 1: the user's unlabelled questions, without those also held out, and generated ones."""
    has_own = "questions" in context.resolved.repos
    context.console.step(1, "Questions", context.place("questions" if has_own else "knowledge"))
    if context.run.has("questions"):
        questions = run_rows.read_questions(context.run)
    else:
        questions = [
            *(task_step.own_questions(context) if has_own else ()),
            *(row.question for row in context.shared(RunCuration).learnt.values()),
        ]
        context.run.write_rows("questions", questions)
    generated = len(context.shared(RunCuration).learnt)
    context.console.done(
        f"{len(questions):,} unlabelled questions"
        + (f", {generated:,} of them generated from documents" if generated else "")
    )
    return questions


@_one_first
def find_passages(context: RunContext, questions: Sequence[Question]) -> list[Retrieval]:
    """Step 2: passages for every question; a generated one has its source sentences."""
    limit = context.config.knowledge.passages
    context.console.step(
        2, "Passages", context.place("knowledge") if limit else "none: the teacher sees the question only"
    )
    if context.run.has("passages"):
        retrieved = run_rows.read_passages(context.run, questions)
    else:
        if limit and (summary := read_summary(context.shared(RunKnowledge).index.folder)) is not None:
            context.console.note(f"knowledge base: {summary}")
            context.report_left_out("documents_left_out", summary.left_out, "document")
        sources = {question.id: context.shared(RunCuration).passages(question) for question in questions}
        others = iter(retrieve(context, [question for question in questions if sources[question.id] is None]))
        retrieved = [sources[question.id] or next(others) for question in questions]
        context.run.write_rows("passages", retrieved)
    count = sum(len(r.passages) for r in retrieved)
    if count or not limit:
        context.console.done(f"{count:,} passages for {len(retrieved):,} questions")
    warn_of_empty(context, retrieved, "questions")
    return retrieved


def label(context: RunContext, questions: Sequence[Question], passages: Sequence[Retrieval]) -> list[PseudoLabel]:
    """Step 3: the teacher answers, saving every batch before the next; or labels are imported."""
    if context.config.teacher.labels:
        context.console.step(3, "Labels", f"imported from {context.place('labels')}")
        labels = imported_labels.load(context, questions)
    else:
        models = " and ".join(context.place(teacher.source) for teacher in context.teachers)
        sees = " with passages" if context.config.knowledge.passages else ""
        answered = sum(map(context.shared(RunCuration).is_answered, questions))
        who = [f"teacher: {models}{sees}"] * (answered < len(questions))
        who += [f"{answered:,} answers are the documents' own words"] * (answered > 0)
        context.console.step(3, "Labels", "; ".join(who))
        labels = teacher_step.label(context, questions, passages)
    confidences = [row.confidence for row in labels if row.confidence is not None]
    context.console.done(
        f"{len(labels):,} labels"
        + (f", mean confidence {sum(confidences) / len(confidences):.2f}" if confidences else ", without confidence")
    )
    return labels


@_one_first
def select(
    context: RunContext, questions: Sequence[Question], passages: Sequence[Retrieval], labels: Sequence[PseudoLabel]
) -> Selection:
    """Step 4: filter, then select the labels to train on; dropped ones are recorded with the reason."""
    method = context.config.selection.method
    context.console.step(4, "Selection", method)
    if context.run.has("selected", "dropped"):
        selection = Selection(method, tuple(run_rows.read_verdicts(context.run, labels)))
    else:
        passed = teacher_step.apply_filters(context, questions, passages, labels)
        selection = selection_step.select(context, questions, labels, passed.kept, passed.dropped)
        context.run.write_rows("dropped", selection.dropped)
        context.run.write_rows("selected", selection.kept)
    each_step = isinstance(selection_step.make_selector(context), StepSelector)
    context.console.done(
        f"{len(selection.kept):,} of {len(selection.verdicts):,} labels kept"
        + (f"; {method} decides among them at every training step" if each_step else "")
    )
    return selection


@_one_first
def rank(
    context: RunContext, questions: Sequence[Question], passages: Sequence[Retrieval], labels: Sequence[PseudoLabel]
) -> list[Preference]:
    """Before step 5, for objectives that learn from feedback: the teacher ranks its answers and the base's own."""
    return feedback.rank(context, questions, passages, labels)


def train(
    context: RunContext,
    questions: Sequence[Question],
    passages: Sequence[Retrieval],
    labels: Sequence[PseudoLabel],
    selection: Selection,
    preferences: Sequence[Preference],
) -> Training:
    """Step 5: train the same model, with an adapter, to answer without the passages."""
    settings = context.config.student
    context.console.step(5, "Student", f"{settings.adapter}, rank {settings.rank}, closed book")
    trained = (
        read_training(context.run.file("adapter"))
        if context.run.has("adapter")
        else student_step.train(context, questions, passages, labels, selection, preferences)
    )
    context.console.done(
        f"{trained.steps} steps in {trained.seconds:.0f} s, loss {trained.final_loss:.2f}, "
        f"{trained.trainable_parameters:,} trainable parameters"
    )
    return trained


@_one_first
def merge(context: RunContext, questions: Sequence[Question], labels: Sequence[PseudoLabel]) -> None:
    """Optional part of step 5: write the student as a merged model without an adapter, `5-merged`."""
    out = context.run.file("merged")
    if not out.exists():
        sample = {question.id: question for question in questions[:8]}
        known = [label for label in labels if label.question_id in sample]
        style = context.resolved.style
        prompts = [context.builder.ask(sample[label.question_id], style) for label in known]
        answers = [[context.builder.continuation(label.text)] for label in known]
        context.release()  # two copies of the base may not fit into memory
        with context.console.working("merging"):
            merging.merge(context.new_engine(dtype="float32"), context.run.file("adapter"), out, prompts, answers)
    context.console.done(f"merged model: {out}")


def evaluate(
    context: RunContext,
    questions: Sequence[Question],
    passages: Sequence[Retrieval],
    labels: Sequence[PseudoLabel],
    selection: Selection,
    preferences: Sequence[Preference],
    trained: Training,
) -> dict[str, Any]:
    """Step 6: evaluate base, teacher and student on held-out questions. The only place where gold answers are read."""
    has_own = "evaluation_questions" in context.resolved.repos
    context.console.step(6, "Evaluation", context.place("evaluation_questions" if has_own else "knowledge"))
    done = context.run.has("report")
    golds = [] if done else arms.known_answers(context, questions)
    learnt = Learnt(questions, passages, labels, selection, preferences, trained, golds)
    if not done:
        evaluation_step.train_controls(context, learnt)
    report = _measure(context, learnt)
    context.console.done(f"{report['n_questions']:,} held-out questions; see {context.run.file('html')}")
    if report["n_questions"] < FEW_HELD_OUT:
        context.console.warn(
            "so few held-out questions show only large differences; hold out more with curation.held_out, or name more "
            "in task.evaluation_questions"
        )
    return report


@_one_first
def _measure(context: RunContext, learnt: Learnt) -> dict[str, Any]:
    if not context.run.has("report"):
        evaluation_step.measure(context, learnt)
    return context.run.read_json("report")


@_one_first
def publish(context: RunContext, namespace: str | None = None, *, message: str = "") -> dict[str, Any]:
    """Step 7: publish dataset, adapter and Space, one commit and version tag each, and a Collection of them."""
    if not context.processes.first:
        return context.run.read_json("published")
    context.console.step(7, "Publishing", context.client.endpoint)
    # the page reads every file of the run, so a broken one is found before anything is pushed
    data = evaluation_step.rewrite_page(context)
    published = publish_run(
        context, namespace or context.client.require_write(context.config.publish.namespace), message=message
    )
    evaluation_step.write_published_page(context, data, published)
    for entry in published.values():
        version = entry.get("tag") or str(entry.get("commit"))[:8]
        context.console.done(f"{entry['repo_id']} {version}" if "repo_id" in entry else f"collection: {entry['title']}")
    return published
