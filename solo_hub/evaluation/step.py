"""The evaluation of a run: all arms on the held-out questions, the report and its page."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from solo_hub.core.files import read_jsonl
from solo_hub.core.records import Gold, Prediction, PseudoLabel, Retrieval
from solo_hub.curation.step import RunCuration
from solo_hub.evaluation import label_quality, teacher_ablation
from solo_hub.evaluation.arms import arms, measurements
from solo_hub.evaluation.held_out_parts import held_out_parts
from solo_hub.evaluation.learnt import Learnt
from solo_hub.evaluation.report.page import ReportData, write_html
from solo_hub.evaluation.report.report import build_report
from solo_hub.run import rows as run_rows
from solo_hub.run.context import RunContext
from solo_hub.run.folder import FORMAT_VERSION
from solo_hub.run.teachers import teacher_names
from solo_hub.selection import base_uncertainty
from solo_hub.student import controls, training
from solo_hub.student.training import Training, read_training
from solo_hub.teacher import feedback

EARLIER = "the student of an earlier run"  # it teaches with passages: the base with an adapter is not the base


def train_controls(context: RunContext, learnt: Learnt) -> None:
    """Train the control students that the settings list."""
    # beside the user's questions the written ones stay as they are; alone they would make the student again
    answers = {gold.question_id: gold for gold in context.shared(RunCuration).answers()} if learnt.golds else {}
    golds = {**answers, **{gold.question_id: gold for gold in learnt.golds}}
    controls.train(context, learnt.questions, learnt.labels, learnt.selection, learnt.trained, [*golds.values()])


def measure(context: RunContext, learnt: Learnt) -> None:
    """Ask all arms, and write the report and its page."""
    asked = arms.held_out(context)
    predictions = arms.predict(context, asked, learnt)
    with context.console.working("computing the metrics"):
        measured = build_report(
            asked.questions,
            asked.golds,
            predictions,
            settings=context.config.evaluation,
            seed=context.config.seed,
            bert_score_model=context.source("bert_score_model"),
            bert_score_identity=context.name_of("bert_score_model"),
            retrievals=asked.passages,
            unanswerable=arms.unanswerable(context, asked, learnt),
        )
    additional = measurements.additional_measurements(context, asked.questions, learnt)
    labels, selection, golds = learnt.labels, learnt.selection, learnt.golds
    kept = [label for _, label in learnt.kept]
    ranked = feedback.summarise(learnt.preferences, {label.question_id for label in kept})
    report = {
        "format_version": FORMAT_VERSION,
        "run": context.config.name,
        "seed": context.config.seed,
        "base": context.config.base,
        "teachers": teacher_names(context.resolved) or ([EARLIER] if context.config.teacher.adapter else []),
        "subject": context.config.subject,
        "task": context.config.task.name,
        **measured,
        "passages": _count_passages(context, learnt.passages, asked.passages),
        "labels": {
            **label_quality.summarise_labels(labels, golds),
            **teacher_ablation.analysed(context, learnt),
        },
        "teacher_parts": teacher_ablation.parts(
            context, predictions.get(arms.TEACHER, []), asked.passages, asked.golds
        ),
        "selection": {
            **label_quality.summarise_selection(selection, labels, golds),
            "steps": training.selected_at_steps(learnt.trained),
            **base_uncertainty.report_section(context, learnt.questions),
            "over_training": label_quality.over_training(learnt.trained.log, kept, golds),
        },
        **_curation_section(context, kept, predictions, asked.golds),
        **({"feedback": ranked} if learnt.preferences else {}),
        **additional,
        "left_out": _count_left_out(context),
        "training": {
            "examples": ranked["learnt"] if learnt.preferences else len(kept),
            **training.summary(learnt.trained),
            **context.config.student.model_dump(mode="json"),
        },
    }
    answered = run_rows.Evaluation([*asked.questions], [*asked.golds], [*asked.passages], predictions)
    _write_page(context, report, answered, learnt.trained)
    context.run.write_json("report", report)


def _curation_section(
    context: RunContext,
    kept: Sequence[PseudoLabel],
    predictions: Mapping[str, Sequence[Prediction]],
    golds: Sequence[Gold],
) -> dict[str, Any]:
    """The report's section on generated questions; empty if all questions are the user's."""
    section = context.resolved.curated
    if section is None:
        return {}
    curation = context.shared(RunCuration)
    written = sum(label.question_id in curation.learnt for label in kept)
    section = {**section, "kept": written, "own": len(kept) - written}
    return {"curation": {**section, "arms": held_out_parts(curation.parts(), predictions, golds)}}


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


def _count_passages(
    context: RunContext, questions: Sequence[Retrieval], held_out: Sequence[Retrieval]
) -> dict[str, Any] | None:
    """The report's `passages`: number of questions, and of those without passages."""
    if not context.config.knowledge.passages:
        return None
    return {
        name: {"n": len(rows), "without": sum(not row.passages for row in rows)}
        for name, rows in (("questions", questions), ("held_out", held_out))
    }


def rewrite_page(context: RunContext) -> ReportData:
    """Write `report.html` from the files of a finished run; returns what it is made of.

    Raises:
        InputError: A file is missing or broken.
    """
    run, report = context.run, context.run.read_json("report")
    return _write_page(
        context, report, run_rows.read_evaluation(run, report["arms"]), read_training(run.file("adapter"))
    )


def _write_page(
    context: RunContext,
    report: Mapping[str, Any],
    answered: run_rows.Evaluation,
    trained: Training,
) -> ReportData:
    data = ReportData(
        config=context.document,
        report=report,
        questions=answered.questions,
        golds=answered.golds,
        predictions=answered.predictions,
        retrievals=answered.passages,
        training_log=trained.log,
    )
    write_html(context.run.file("html"), data)
    return data


def write_published_page(context: RunContext, data: ReportData, published: Mapping[str, Any]) -> None:
    """Write `report.html` again, with what has been published; nothing is read a second time."""
    write_html(context.run.file("html"), dataclasses.replace(data, published=published))
