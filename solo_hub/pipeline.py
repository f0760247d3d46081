"""The method, on one page: seven steps from unlabelled questions to published repos.

    questions   rows of a Hub dataset              -> 1-questions.jsonl
    passages    corpus -> index -> passages        -> 2-passages.jsonl
    labels      the teacher answers with passages  -> 3-labels.jsonl
    selection   what is worth learning             -> 4-selected.jsonl, 4-dropped.jsonl
    adapter     the student learns without them    -> 5-adapter/
    report      base, teacher, student, measured   -> 6-predictions.jsonl, 6-report.json, report.html
    published   dataset and adapter on the Hub     -> 7-published.json

Every step is list in, list out, and knows nothing of the others; each is skipped when its file is there. So the same
command finishes a run that was interrupted anywhere, and a finished run costs nothing. Answers (`Gold`) are read in
`evaluate` alone.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Concatenate, ParamSpec, TypeVar

from solo_hub.core.errors import InputError
from solo_hub.core.plugins import InformedSelector, Selector, find
from solo_hub.core.records import Gold, PseudoLabel, Question, Retrieval, Selection, join
from solo_hub.evaluation import label_quality as label_analysis
from solo_hub.evaluation import teacher_ablation
from solo_hub.evaluation.arms import arms
from solo_hub.evaluation.arms import measurements as measuring
from solo_hub.evaluation.golds import golds as golds_of
from solo_hub.evaluation.report.report import build_report
from solo_hub.knowledge.step import RunKnowledge
from solo_hub.models.loading import NF4, check_quantising
from solo_hub.publishing.step import publish_run
from solo_hub.run import folder as run_module
from solo_hub.run import packages
from solo_hub.run import rows as run_rows
from solo_hub.run.context import Workbench
from solo_hub.selection import base_uncertainty as student_uncertainty
from solo_hub.student import controls, merging, training
from solo_hub.student.step import learn
from solo_hub.tasks import loading
from solo_hub.tasks import step as task_step
from solo_hub.teacher import imported_labels as brought_labels
from solo_hub.teacher import step as paid_labels

P = ParamSpec("P")
R = TypeVar("R")


def distill(bench: Workbench, *, push: bool = False) -> dict[str, Any]:
    """Do all the steps that are not done yet.

    Args:
        bench: The run.
        push: Also publish; the right to write is checked before anything else is done.

    Returns:
        The document that `--format json` prints: `run`, `arms`, `paired`, `gap_closed`, `published`, ...
    """
    namespace = (
        bench.door.require_write(bench.config.publish.namespace) if push and not bench.run.has("published") else None
    )
    _check_packages(bench)
    questions = load_questions(bench)
    passages = find_passages(bench, questions)
    labels = label(bench, questions, passages)
    selection = select(bench, labels)
    train(bench, questions, labels, selection)
    report = evaluate(bench, questions, labels, selection)
    published = publish(bench, namespace) if push else None
    return {**report, "run": str(bench.run), "published": published}


def _check_packages(bench: Workbench) -> None:
    """See that what the steps to come need is installed: not hours later, when they begin."""
    if not bench.run.has("adapter"):
        packages.check(bench.config.student)
    if bench.config.engine.dtype == NF4 and not bench.run.has("report"):
        check_quantising()


def _one_first(step: Callable[Concatenate[Workbench, P], R]) -> Callable[Concatenate[Workbench, P], R]:
    """Of several processes (`accelerate launch`) the first does this step; the others then read what it wrote."""

    @functools.wraps(step)
    def done(bench: Workbench, /, *arguments: P.args, **named: P.kwargs) -> R:
        with bench.processes.first_first():
            return step(bench, *arguments, **named)

    return done


@_one_first
def load_questions(bench: Workbench) -> list[Question]:
    """Step 1: unlabelled questions, without those that are asked again in the held-out set."""
    bench.console.step(1, "Questions", bench.place("questions"))
    if bench.run.has("questions"):
        questions = run_rows.read_questions(bench.run)
    else:
        everything = task_step.questions(bench, "questions")
        apart, asked_again = loading.without_overlap(everything, task_step.questions(bench, "evaluation_questions"))
        if asked_again:
            bench.console.note(f"{asked_again} questions are also in the held-out set and were left out")
        questions = loading.sample(apart, bench.config.task.train_limit, bench.config.seed)
        if not questions:
            raise InputError(
                "every question is also in the held-out set.",
                file=bench.place("questions"),
                hint="Hold out other questions.",
            )
        bench.run.write_rows("questions", questions)
    bench.console.done(f"{len(questions):,} unlabelled questions")
    return questions


@_one_first
def find_passages(bench: Workbench, questions: Sequence[Question]) -> list[Retrieval]:
    """Step 2: passages for every question."""
    wanted = bench.config.knowledge.passages
    bench.console.step(
        2, "Passages", bench.place("knowledge") if wanted else "none, the teacher reads the question alone"
    )
    if bench.run.has("passages"):
        found = run_rows.read_passages(bench.run, questions)
    else:
        found = _retrieve(bench, questions)
        bench.run.write_rows("passages", found)
    bench.console.done(f"{sum(len(r.passages) for r in found):,} passages for {len(found):,} questions")
    return found


def _retrieve(bench: Workbench, questions: Sequence[Question]) -> list[Retrieval]:
    if not bench.config.knowledge.passages:
        return [Retrieval(question.id, ()) for question in questions]
    retriever = bench.shared(RunKnowledge).retriever
    with bench.console.progress("retrieving", len(questions)) as progress:
        return retriever.retrieve(questions, bench.config.knowledge.passages, progress)


def label(bench: Workbench, questions: Sequence[Question], passages: Sequence[Retrieval]) -> list[PseudoLabel]:
    """Step 3: the teacher answers, every batch on disk before the next is begun; or labels are brought along."""
    if bench.config.teacher.labels:
        bench.console.step(3, "Labels", f"brought along: {bench.place('labels')}")
        labels = brought_labels.bring(bench, questions)
    else:
        bench.console.step(3, "Labels", f"teacher: {bench.config.base} with passages")
        labels = _ask_teacher(bench, questions, passages)
    mean = [row.confidence for row in labels if row.confidence is not None]
    bench.console.done(
        f"{len(labels):,} labels"
        + (f", mean confidence {sum(mean) / len(mean):.2f}" if mean else ", no confidence told")
    )
    return labels


def _ask_teacher(bench: Workbench, questions: Sequence[Question], passages: Sequence[Retrieval]) -> list[PseudoLabel]:
    known = paid_labels.known(bench)
    labels = paid_labels.finished(bench, questions, passages, known)
    if labels is None:
        labels = paid_labels.complete(bench, questions, passages, known)
        paid_labels.check(bench, questions, labels)
        paid_labels.finish(bench, labels)
    else:
        paid_labels.check(bench, questions, labels)
    return labels


@_one_first
def select(bench: Workbench, labels: Sequence[PseudoLabel]) -> Selection:
    """Step 4: filter, then keep what is worth learning; what is dropped is kept too, with the reason."""
    settings = bench.config.selection
    bench.console.step(4, "Selection", settings.method)
    if bench.run.has("selected", "dropped"):
        selection = Selection(settings.method, tuple(run_rows.read_verdicts(bench.run, labels)))
    else:
        passed = paid_labels.filtered(bench, labels)
        selector: Selector = find("selectors", settings.method)(settings.options, bench.config.seed)
        doubts = student_uncertainty.ask(bench, _asked(bench, labels)) if settings.ask_student else {}
        chosen = (
            selector.select_with(passed.kept, doubts)
            if doubts and isinstance(selector, InformedSelector)
            else selector.select(passed.kept)
        )
        judged = {verdict.question_id: verdict for verdict in (*passed.dropped, *chosen.verdicts)}
        judged = {name: replace(row, uncertainty=doubts.get(name, row.uncertainty)) for name, row in judged.items()}
        selection = Selection(settings.method, tuple(judged[row.question_id] for row in labels))
        bench.run.write_rows("dropped", selection.dropped)
        bench.run.write_rows("selected", selection.kept)
    bench.console.done(f"{len(selection.kept):,} of {len(selection.verdicts):,} labels kept")
    return selection


def _asked(bench: Workbench, labels: Sequence[PseudoLabel]) -> list[Question]:
    """The questions of the labels, in their order."""
    known = {question.id: question for question in bench.run.read_rows("questions", Question)}
    return [known[label.question_id] for label in labels]


def train(bench: Workbench, questions: Sequence[Question], labels: Sequence[PseudoLabel], selection: Selection) -> None:
    """Step 5: the same model, with an adapter, learns to answer without the passages."""
    settings = bench.config.student
    bench.console.step(5, "Student", f"{settings.adapter}, rank {settings.rank}, closed book")
    if not bench.run.has("adapter"):
        chosen = bench.config.selection
        learn(
            bench,
            bench.engine,
            join(questions, labels, selection.verdicts),
            settings,
            find("selectors", chosen.method)(chosen.options, bench.config.seed),
            work=bench.run.training,
            out=bench.run.file("adapter"),
            passages={row.question_id: row.passages for row in bench.run.read_rows("passages", Retrieval)},
            logs=bench.run.file("logs"),
        )
    done = training.read_training(bench.run.file("adapter"))
    bench.console.done(
        f"{done.steps} steps in {done.seconds:.0f} s, loss {done.final_loss:.2f}, "
        f"{done.trainable_parameters:,} trainable parameters"
    )


@_one_first
def merge(bench: Workbench, questions: Sequence[Question], labels: Sequence[PseudoLabel]) -> None:
    """Beside step 5, when asked for: the student as one model, `5-merged`, without an adapter."""
    out = bench.run.file("merged")
    if not out.exists():
        sample = {question.id: question for question in questions[:8]}
        known = [label for label in labels if label.question_id in sample]
        style = bench.resolved["teacher"]["style"]
        with bench.console.progress("merging", 1):
            merging.merge(
                bench.new_engine("float32"),
                bench.run.file("adapter"),
                out,
                [bench.builder.ask(sample[label.question_id], style) for label in known],
                [[bench.builder.continuation(label.text)] for label in known],
            )
    bench.console.done(f"the student as one model: {out}")


def evaluate(
    bench: Workbench, questions: Sequence[Question], labels: Sequence[PseudoLabel], selection: Selection
) -> dict[str, Any]:
    """Step 6: base, teacher and student on held-out questions. The only place where known answers are read."""
    bench.console.step(6, "Evaluation", bench.place("evaluation_questions"))
    known = [] if bench.run.has("report") else golds_of(bench, "questions", questions)
    if not bench.run.has("report"):
        controls.train(bench, questions, labels, selection, known)
    return _measure(bench, questions, labels, selection, known)


@_one_first
def _measure(
    bench: Workbench,
    questions: Sequence[Question],
    labels: Sequence[PseudoLabel],
    selection: Selection,
    known: Sequence[Gold],
) -> dict[str, Any]:
    if not bench.run.has("report"):
        held_out, golds = arms.held_out(bench)
        passages = arms.passages_for(bench, held_out, _retrieve)
        predictions = arms.predict(bench, arms.Asking(held_out, passages, golds))
        with bench.console.progress("measuring", 1):
            measured = build_report(
                held_out,
                golds,
                predictions,
                settings=bench.config.evaluation,
                seed=bench.config.seed,
                bert_score_model=bench.source("bert_score_model"),
                bert_score_identity=bench.name_of("bert_score_model"),
                retrievals=passages,
            )
        aside = measuring.beside(bench, held_out, questions, labels, known)
        done = training.read_training(bench.run.file("adapter"))
        report = {
            "format_version": run_module.FORMAT_VERSION,
            "run": bench.config.name,
            "seed": bench.config.seed,
            "base": bench.config.base,
            "task": bench.config.task.name,
            **measured,
            "labels": {
                **label_analysis.summarise_labels(labels, known),
                **teacher_ablation.analysed(bench, labels, known),
            },
            "teacher_parts": teacher_ablation.parts(bench, predictions.get(arms.TEACHER, []), passages, golds),
            "selection": {
                **label_analysis.summarise_selection(selection, labels, known),
                "steps": training.selected_at_steps(done),
                **student_uncertainty.told(bench, questions),
                "over_training": label_analysis.over_training(
                    done.log, [row for row, kept in zip(labels, selection.verdicts, strict=True) if kept.kept], known
                ),
            },
            **aside,
            "training": {
                "examples": len(selection.kept),
                **training.summary(done),
                **bench.config.student.model_dump(mode="json"),
            },
        }
        arms.tell(bench, report)
        bench.run.write_json("report", report)
    report = bench.run.read_json("report")
    bench.console.done(f"{report['n_questions']:,} held-out questions; see {bench.run.file('html')}")
    return report


@_one_first
def publish(bench: Workbench, namespace: str | None = None, *, message: str = "") -> dict[str, Any]:
    """Step 7: dataset, adapter and Space, one commit and one version tag each, and the Collection of them all."""
    if not bench.processes.first:
        return bench.run.read_json("published")
    bench.console.step(7, "Publishing", bench.door.endpoint)
    # the page is made of every file of the run: one that is broken is found before anything is pushed
    story = arms.tell(bench, bench.run.read_json("report"))
    published = publish_run(
        bench, namespace or bench.door.require_write(bench.config.publish.namespace), message=message
    )
    arms.tell_published(bench, story, published)
    for entry in published.values():
        version = entry.get("tag") or str(entry.get("commit"))[:8]
        told = f"{entry['repo_id']} {version}" if "repo_id" in entry else f"collection: {entry['title']}"
        bench.console.done(told)
    return published
