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
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Concatenate, ParamSpec, TypeVar

from solo_hub.core.errors import InputError
from solo_hub.core.files import read_jsonl
from solo_hub.core.plugins import InformedSelector, Selector, StepSelector, find
from solo_hub.core.records import (
    Gold,
    Prediction,
    PseudoLabel,
    Question,
    Retrieval,
    Selection,
    join,
)
from solo_hub.curation import step as curation_step
from solo_hub.curation.step import RunCuration
from solo_hub.evaluation import label_quality, teacher_ablation
from solo_hub.evaluation.arms import arms, measurements
from solo_hub.evaluation.held_out_parts import held_out_parts
from solo_hub.evaluation.report.report import build_report
from solo_hub.knowledge.source import read_summary
from solo_hub.knowledge.step import RunKnowledge
from solo_hub.models.loading import NF4, check_quantising
from solo_hub.publishing.step import publish_run
from solo_hub.run import folder as run_folder
from solo_hub.run import packages
from solo_hub.run import rows as run_rows
from solo_hub.run.context import RunContext
from solo_hub.run.teachers import teacher_names
from solo_hub.selection import base_uncertainty
from solo_hub.student import controls, merging, training
from solo_hub.student.step import learn
from solo_hub.tasks import loading
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
    _check_packages(context)
    _check_base(context)
    _check_held_out(context)
    questions = load_questions(context)
    passages = find_passages(context, questions)
    labels = label(context, questions, passages)
    selection = select(context, labels)
    train(context, questions, passages, labels, selection)
    report = evaluate(context, questions, labels, selection)
    published = publish(context, namespace) if push else None
    return {**report, "run": str(context.run), "published": published}


def _check_packages(context: RunContext) -> None:
    """Check early that the packages of later steps are installed."""
    if not context.run.has("adapter"):
        packages.check(context.config.student)
    if context.config.engine.dtype == NF4 and not context.run.has("report"):
        check_quantising()


def _check_base(context: RunContext) -> None:
    """Check early that the base's own files allow prompting and training."""
    if not context.run.has("report"):
        with context.processes.first_first():
            context.check_base()


def _check_held_out(context: RunContext) -> None:
    """Check early that the held-out questions can be read and have answers."""
    if "evaluation_questions" in context.resolved.repos and not context.run.has("report"):
        with context.processes.first_first():
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
            *(_own_questions(context) if has_own else ()),
            *(row.question for row in context.shared(RunCuration).learnt.values()),
        ]
        context.run.write_rows("questions", questions)
    generated = len(context.shared(RunCuration).learnt)
    context.console.done(
        f"{len(questions):,} unlabelled questions"
        + (f", {generated:,} of them generated from documents" if generated else "")
    )
    return questions


def _own_questions(context: RunContext) -> list[Question]:
    everything = task_step.questions(context, "questions")
    remaining, overlap = loading.without_overlap(everything, task_step.questions(context, "evaluation_questions"))
    if overlap:
        context.console.note(f"{overlap} questions are also in the held-out set and were left out")
    questions = loading.sample(remaining, context.config.task.train_limit, context.config.seed)
    if not questions:
        raise InputError(
            "every question is also in the held-out set.",
            file=context.place("questions"),
            hint="Hold out different questions.",
        )
    context.report_left_out("questions_left_out", context.left_out("questions"), "question")
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
        others = iter(_retrieve(context, [question for question in questions if sources[question.id] is None]))
        retrieved = [sources[question.id] or next(others) for question in questions]
        context.run.write_rows("passages", retrieved)
    count = sum(len(r.passages) for r in retrieved)
    if count or not limit:
        context.console.done(f"{count:,} passages for {len(retrieved):,} questions")
    _warn_of_empty(context, retrieved, "questions")
    return retrieved


def _retrieve(context: RunContext, questions: Sequence[Question]) -> list[Retrieval]:
    if not questions:
        return []
    if not context.config.knowledge.passages:
        return [Retrieval(question.id, ()) for question in questions]
    retriever = context.shared(RunKnowledge).retriever
    with context.console.progress("retrieving", len(questions)) as progress:
        return retriever.retrieve(questions, context.config.knowledge.passages, progress)


def _warn_of_empty(context: RunContext, retrieved: Sequence[Retrieval], which: str) -> None:
    """Warn of questions without passages, which are answered from memory."""
    empty = [row.question_id for row in retrieved if not row.passages]
    if empty and context.config.knowledge.passages:
        context.console.warn(
            f"{len(empty):,} of {len(retrieved):,} {which} have no passage (first: '{empty[0]}'): the retriever "
            f"'{context.config.knowledge.retriever}' found none in {context.place('knowledge')}. "
            "Check that it is in the language of the questions."
        )


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
        labels = _ask_teacher(context, questions, passages)
    confidences = [row.confidence for row in labels if row.confidence is not None]
    context.console.done(
        f"{len(labels):,} labels"
        + (f", mean confidence {sum(confidences) / len(confidences):.2f}" if confidences else ", without confidence")
    )
    return labels


def _ask_teacher(
    context: RunContext, questions: Sequence[Question], passages: Sequence[Retrieval]
) -> list[PseudoLabel]:
    known = teacher_step.read_cached(context)
    labels = teacher_step.cached_if_complete(context, questions, passages, known)
    if labels is None:
        context.check_base()
        labels = teacher_step.label_missing(context, questions, passages, known)
        teacher_step.validate(context, questions, labels)
        teacher_step.write_final(context, labels)
    else:
        teacher_step.validate(context, questions, labels)
        if not teacher_step.is_finished(context, labels):
            context.processes.wait()  # until every process has read the files
            teacher_step.write_final(context, labels)
    return labels


@_one_first
def select(context: RunContext, labels: Sequence[PseudoLabel]) -> Selection:
    """Step 4: filter, then select the labels to train on; dropped ones are recorded with the reason."""
    settings = context.config.selection
    selector: Selector = find("selectors", settings.method)(settings.options, context.config.seed)
    context.console.step(4, "Selection", settings.method)
    if context.run.has("selected", "dropped"):
        selection = Selection(settings.method, tuple(run_rows.read_verdicts(context.run, labels)))
    else:
        passed = teacher_step.apply_filters(context, labels)
        uncertainty = (
            base_uncertainty.ask(context, _labelled_questions(context, labels)) if settings.ask_student else {}
        )
        chosen = (
            selector.select_with(passed.kept, uncertainty)
            if uncertainty and isinstance(selector, InformedSelector)
            else selector.select(passed.kept)
        )
        verdicts = {verdict.question_id: verdict for verdict in (*passed.dropped, *chosen.verdicts)}
        verdicts = {
            name: replace(row, uncertainty=uncertainty.get(name, row.uncertainty)) for name, row in verdicts.items()
        }
        selection = Selection(settings.method, tuple(verdicts[row.question_id] for row in labels))
        context.run.write_rows("dropped", selection.dropped)
        context.run.write_rows("selected", selection.kept)
    context.console.done(
        f"{len(selection.kept):,} of {len(selection.verdicts):,} labels kept"
        + (
            f"; {settings.method} decides among them at every training step"
            if isinstance(selector, StepSelector)
            else ""
        )
    )
    return selection


def _labelled_questions(context: RunContext, labels: Sequence[PseudoLabel]) -> list[Question]:
    """The questions of the labels, in their order."""
    known = {question.id: question for question in context.run.read_rows("questions", Question)}
    return [known[label.question_id] for label in labels]


def train(
    context: RunContext,
    questions: Sequence[Question],
    passages: Sequence[Retrieval],
    labels: Sequence[PseudoLabel],
    selection: Selection,
) -> None:
    """Step 5: train the same model, with an adapter, to answer without the passages."""
    settings = context.config.student
    context.console.step(5, "Student", f"{settings.adapter}, rank {settings.rank}, closed book")
    if not context.run.has("adapter"):
        chosen, examples = context.config.selection, join(questions, labels, selection.verdicts)
        read = {row.question_id: row.passages for row in passages}
        preferences = None
        if feedback.is_wanted(context):
            preferences = feedback.ranked(context, questions, labels, read)
            examples = [example for example in examples if example.question.id in preferences]
        learn(
            context,
            context.engine,
            examples,
            settings,
            find("selectors", chosen.method)(chosen.options, context.config.seed),
            work=context.run.training,
            out=context.run.file("adapter"),
            passages=read,
            preferences=preferences,
            logs=context.run.file("logs"),
        )
    done = training.read_training(context.run.file("adapter"))
    context.console.done(
        f"{done.steps} steps in {done.seconds:.0f} s, loss {done.final_loss:.2f}, "
        f"{done.trainable_parameters:,} trainable parameters"
    )


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
    context: RunContext, questions: Sequence[Question], labels: Sequence[PseudoLabel], selection: Selection
) -> dict[str, Any]:
    """Step 6: evaluate base, teacher and student on held-out questions. The only place where gold answers are read."""
    has_own = "evaluation_questions" in context.resolved.repos
    context.console.step(6, "Evaluation", context.place("evaluation_questions" if has_own else "knowledge"))
    known = [] if context.run.has("report") else arms.known_answers(context, questions)
    if not context.run.has("report"):
        # beside the user's questions the written ones stay as they are; alone they would make the student again
        answers = {gold.question_id: gold for gold in context.shared(RunCuration).answers()} if known else {}
        controls.train(
            context, questions, labels, selection, [*{**answers, **{g.question_id: g for g in known}}.values()]
        )
    return _measure(context, questions, labels, selection, known)


@_one_first
def _measure(
    context: RunContext,
    questions: Sequence[Question],
    labels: Sequence[PseudoLabel],
    selection: Selection,
    known: Sequence[Gold],
) -> dict[str, Any]:
    if not context.run.has("report"):
        held_out, golds = arms.held_out(context)
        passages = arms.passages_for(context, held_out, _retrieve)
        _warn_of_empty(context, passages, "held-out questions")
        predictions = arms.predict(context, arms.EvaluationSet(held_out, passages, golds))
        with context.console.working("computing the metrics"):
            measured = build_report(
                held_out,
                golds,
                predictions,
                settings=context.config.evaluation,
                seed=context.config.seed,
                bert_score_model=context.source("bert_score_model"),
                bert_score_identity=context.name_of("bert_score_model"),
                retrievals=passages,
                unanswerable=arms.unanswerable(context, held_out, golds, passages, labels, selection),
            )
        additional = measurements.additional_measurements(context, held_out, questions, labels, known)
        done = training.read_training(context.run.file("adapter"))
        ranked = feedback.report_section(context, [verdict.question_id for verdict in selection.kept])
        report = {
            "format_version": run_folder.FORMAT_VERSION,
            "run": context.config.name,
            "seed": context.config.seed,
            "base": context.config.base,
            "teachers": teacher_names(context.resolved),
            "subject": context.config.subject,
            "task": context.config.task.name,
            **measured,
            "passages": _count_passages(context, passages),
            "labels": {
                **label_quality.summarise_labels(labels, known),
                **teacher_ablation.analysed(context, labels, known),
            },
            "teacher_parts": teacher_ablation.parts(context, predictions.get(arms.TEACHER, []), passages, golds),
            "selection": {
                **label_quality.summarise_selection(selection, labels, known),
                "steps": training.selected_at_steps(done),
                **base_uncertainty.report_section(context, questions),
                "over_training": label_quality.over_training(
                    done.log, [row for row, kept in zip(labels, selection.verdicts, strict=True) if kept.kept], known
                ),
            },
            **_curation_section(context, labels, selection, predictions, golds),
            **ranked,
            **additional,
            "left_out": _count_left_out(context),
            "training": {
                "examples": ranked["feedback"]["learnt"] if ranked else len(selection.kept),
                **training.summary(done),
                **context.config.student.model_dump(mode="json"),
            },
        }
        arms.write_report_page(context, report)
        context.run.write_json("report", report)
    report = context.run.read_json("report")
    context.console.done(f"{report['n_questions']:,} held-out questions; see {context.run.file('html')}")
    if report["n_questions"] < FEW_HELD_OUT:
        context.console.warn(
            "so few held-out questions show only large differences; hold out more with curation.held_out, or name more "
            "in task.evaluation_questions"
        )
    return report


def _curation_section(
    context: RunContext,
    labels: Sequence[PseudoLabel],
    selection: Selection,
    predictions: Mapping[str, Sequence[Prediction]],
    golds: Sequence[Gold],
) -> dict[str, Any]:
    """The report's section on generated questions; empty if all questions are the user's."""
    section = curation_step.report(context)
    if section is None:
        return {}
    written = context.shared(RunCuration).learnt
    pairs = zip(labels, selection.verdicts, strict=True)
    kept = [label.question_id in written for label, verdict in pairs if verdict.kept]
    section = {**section, "kept": sum(kept), "own": len(kept) - sum(kept)}
    return {"curation": {**section, "arms": held_out_parts(context.shared(RunCuration).parts(), predictions, golds)}}


def _count_left_out(context: RunContext) -> dict[str, int]:
    """Number of questions, documents and held-out questions that could not be used."""
    names = {
        "questions": "questions_left_out",
        "documents": "documents_left_out",
        "held_out_questions": "held_out_left_out",
    }
    return {
        kind: sum(1 for _ in read_jsonl(context.run.file(name)))
        for kind, name in names.items()
        if context.run.has(name)
    }


def _count_passages(context: RunContext, held_out: Sequence[Retrieval]) -> dict[str, Any] | None:
    """The report's `passages`: number of questions, and of those without passages."""
    if not context.config.knowledge.passages:
        return None
    questions = context.run.read_rows("passages", Retrieval) if context.run.has("passages") else []
    return {
        name: {"n": len(rows), "without": sum(not row.passages for row in rows)}
        for name, rows in (("questions", questions), ("held_out", held_out))
    }


@_one_first
def publish(context: RunContext, namespace: str | None = None, *, message: str = "") -> dict[str, Any]:
    """Step 7: publish dataset, adapter and Space, one commit and version tag each, and a Collection of them."""
    if not context.processes.first:
        return context.run.read_json("published")
    context.console.step(7, "Publishing", context.client.endpoint)
    # the page reads every file of the run, so a broken one is found before anything is pushed
    data = arms.write_report_page(context, context.run.read_json("report"))
    published = publish_run(
        context, namespace or context.client.require_write(context.config.publish.namespace), message=message
    )
    arms.write_published_page(context, data, published)
    for entry in published.values():
        version = entry.get("tag") or str(entry.get("commit"))[:8]
        context.console.done(f"{entry['repo_id']} {version}" if "repo_id" in entry else f"collection: {entry['title']}")
    return published
