"""The method, on one page: seven steps from unlabelled questions to published repos.

    questions   rows of a Hub dataset              -> 1-questions.jsonl
    passages    corpus -> index -> passages        -> 2-passages.jsonl
    labels      the teacher answers with passages  -> 3-labels.jsonl
    selection   what is worth learning             -> 4-selected.jsonl, 4-dropped.jsonl
    adapter     the student learns without them    -> 5-adapter/
    report      base, teacher, student, measured   -> 6-predictions.jsonl, 6-report.json, report.html
    published   dataset and adapter on the Hub     -> 7-published.json

Every step is list in, list out, and knows nothing of the others; each is skipped when its file is there. So the same command
finishes a run that was interrupted anywhere, and a finished run costs nothing. Answers (`Gold`) are read in `evaluate` alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from solo_hub.evaluation import labels as label_analysis
from solo_hub.evaluation.report import build_report
from solo_hub.errors import InputError
from solo_hub.plugins import Selector, StepSelector, find
from solo_hub.publication import publish_run
from solo_hub.records import PseudoLabel, Question, Retrieval, Selection, Verdict, join
from solo_hub.run import Appender, read_jsonl
from solo_hub.selection.steps import StepBatch
from solo_hub.student import training
from solo_hub.tasks import loading
from solo_hub.teacher import explanation, style as styles
from solo_hub.teacher.labelling import Teacher, label_key
from solo_hub.workbench import Workbench
from solo_hub import arms, run as run_module


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
    questions = load_questions(bench)
    passages = find_passages(bench, questions)
    labels = label(bench, questions, passages)
    selection = select(bench, labels)
    train(bench, questions, labels, selection)
    report = evaluate(bench, questions, labels, selection)
    published = publish(bench, namespace) if push else None
    return {**report, "run": str(bench.run), "published": published}


def load_questions(bench: Workbench) -> list[Question]:
    """Step 1: unlabelled questions, without those that are asked again in the held-out set."""
    bench.console.step(1, "Questions", bench.place("questions"))
    if bench.run.has("questions"):
        questions = bench.run.read_rows("questions", Question)
    else:
        everything = bench.questions("questions")
        apart, asked_again = loading.without_overlap(everything, bench.questions("evaluation_questions"))
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


def find_passages(bench: Workbench, questions: Sequence[Question]) -> list[Retrieval]:
    """Step 2: passages for every question."""
    bench.console.step(2, "Passages", bench.place("knowledge"))
    if bench.run.has("passages"):
        found = bench.run.read_rows("passages", Retrieval)
    else:
        found = _retrieve(bench, questions)
        bench.run.write_rows("passages", found)
    bench.console.done(f"{sum(len(r.passages) for r in found):,} passages for {len(found):,} questions")
    return found


def _retrieve(bench: Workbench, questions: Sequence[Question]) -> list[Retrieval]:
    retriever = bench.retriever
    with bench.console.progress("retrieving", len(questions)) as progress:
        return retriever.retrieve(questions, bench.config.knowledge.passages, progress)


def label(bench: Workbench, questions: Sequence[Question], passages: Sequence[Retrieval]) -> list[PseudoLabel]:
    """Step 3: the teacher answers; every batch is on disk before the next is begun."""
    bench.console.step(3, "Labels", f"teacher: {bench.config.base} with passages")
    path = bench.run.file("labels")
    known = {}
    if path.exists():
        rows = [
            run_module.read_record(PseudoLabel, row, path, number) for number, row in read_jsonl(path, torn_tail=True)
        ]
        known = {row.key: row for row in rows}
    labels = _labels_of(bench, questions, passages, known)
    if labels is None:
        labels = _label_missing(bench, questions, passages, known)
        # Appended rows may be stale or out of order; the finished file holds each question once, in the questions' order.
        bench.run.write_rows("labels", labels)
    mean = [row.confidence for row in labels if row.confidence is not None]
    bench.console.done(
        f"{len(labels):,} labels"
        + (f", mean confidence {sum(mean) / len(mean):.2f}" if mean else ", no confidence told")
    )
    return labels


def _labels_of(
    bench: Workbench, questions: Sequence[Question], passages: Sequence[Retrieval], known: dict[str, PseudoLabel]
) -> list[PseudoLabel] | None:
    """The finished labels, if every question has one whose key still matches; found out without loading the model."""
    decided = bench.resolved.get("teacher")
    if not decided or not known:
        return None
    identity = bench.teacher_identity(decided["style"], decided["explains"])
    keys = [label_key(q, r, identity) for q, r in zip(questions, passages, strict=True)]
    complete = len(known) == len(keys) and all(key in known for key in keys)
    return [known[key] for key in keys] if complete else None


def _label_missing(
    bench: Workbench, questions: Sequence[Question], passages: Sequence[Retrieval], known: dict[str, PseudoLabel]
) -> list[PseudoLabel]:
    settings = bench.config.teacher
    style, explains = _decide(bench, questions, passages)
    identity = bench.teacher_identity(style, explains)
    teacher = Teacher(
        bench.engine, bench.builder, style, settings.batch_size, settings.max_new_tokens, explains, identity
    )
    with (
        Appender(bench.run.file("labels")) as file,
        bench.console.progress("labelling", len(questions)) as progress,
        bench.engine.adapter(False),
    ):
        return teacher.label(questions, passages, known=known, save=file.append, progress=progress)


def _decide(bench: Workbench, questions: Sequence[Question], passages: Sequence[Retrieval]) -> tuple[str, bool]:
    """How options are scored and whether the teacher explains: chosen once, by tests without labels, and written down."""
    settings = bench.config.teacher
    asked = settings.model_dump(mode="json")
    decided = bench.resolved.get("teacher")
    if decided and decided["settings"] == asked:
        return decided["style"], decided["explains"]
    chosen = {question.id for question in loading.sample(questions, settings.style_sample, bench.config.seed)}
    pairs = [(q, r.passages) for q, r in zip(questions, passages, strict=True) if q.id in chosen]
    with_options = [(q, p) for q, p in pairs if q.options]
    style, tests = (settings.style, []) if settings.style != "auto" else (styles.STYLES[0], [])
    if settings.style == "auto" and with_options:
        with bench.console.progress("choosing how to ask", 1):
            style, tests = styles.choose_style(
                bench.engine,
                bench.builder,
                [q for q, _ in with_options],
                [p for _, p in with_options],
                seed=bench.config.seed,
            )
        bench.console.note("scoring style " + ", ".join(f"{t.style} {t.score:+.2f}" for t in tests) + f": {style}")
    explains, share = settings.explain == "always", None
    if settings.explain == "auto":
        some = pairs[: min(16, len(pairs))]
        draft = Teacher(bench.engine, bench.builder, style, settings.batch_size, settings.max_new_tokens)
        drafts = draft.label([q for q, _ in some], [Retrieval(q.id, p) for q, p in some])
        explains, share = explanation.explains_well(
            bench.engine,
            bench.builder,
            [q for q, _ in some],
            drafts,
            [p for _, p in some],
            max_new_tokens=settings.max_new_tokens,
        )
        bench.console.note(
            f"explanations: {share:.0%} of a sample cite their passages, so they are {'on' if explains else 'off'}"
        )
    bench.resolved["teacher"] = {
        "style": style,
        "style_tests": [
            {"style": t.style, "robust": t.robust, "indifferent": t.indifferent, "score": t.score} for t in tests
        ],
        "explains": explains,
        "explained_share": share,
        "settings": asked,
    }
    bench.save()
    return style, explains


def select(bench: Workbench, labels: Sequence[PseudoLabel]) -> Selection:
    """Step 4: keep what is worth learning; what is dropped is kept too, with the reason."""
    settings = bench.config.selection
    bench.console.step(4, "Selection", settings.method)
    if bench.run.has("selected", "dropped"):
        kept, dropped = bench.run.read_rows("selected", Verdict), bench.run.read_rows("dropped", Verdict)
        judged = {verdict.question_id: verdict for verdict in (*kept, *dropped)}
        selection = Selection(settings.method, tuple(judged[row.question_id] for row in labels))
    else:
        selector: Selector = find("selectors", settings.method)(settings.options, bench.config.seed)
        selection = selector.select(labels)
        bench.run.write_rows("dropped", selection.dropped)
        bench.run.write_rows("selected", selection.kept)
    bench.console.done(f"{len(selection.kept):,} of {len(selection.verdicts):,} labels kept")
    return selection


def train(bench: Workbench, questions: Sequence[Question], labels: Sequence[PseudoLabel], selection: Selection) -> None:
    """Step 5: the same model, with an adapter, learns to answer without the passages."""
    settings = bench.config.student
    bench.console.step(5, "Student", f"{settings.adapter}, rank {settings.rank}, closed book")
    if not bench.run.has("adapter"):
        examples = join(questions, labels, selection.verdicts)
        entry = bench.resolved["repos"]["base"]
        chosen = bench.config.selection
        selector = find("selectors", chosen.method)(chosen.options, bench.config.seed)
        with bench.console.progress("training", training.planned_steps(len(examples), settings)) as progress:
            training.train(
                bench.engine,
                bench.builder,
                examples,
                style=bench.resolved["teacher"]["style"],
                settings=settings,
                seed=bench.config.seed,
                base=entry["repo_id"],
                commit=entry["commit"],
                work=bench.training_folder,
                out=bench.run.file("adapter"),
                selector=selector if isinstance(selector, StepSelector) else None,
                batch_of=StepBatch,
                progress=progress,
            )
    done = training.read_training(bench.run.file("adapter"))
    bench.console.done(
        f"{done.steps} steps in {done.seconds:.0f} s, loss {done.final_loss:.2f}, {done.trainable_parameters:,} trainable parameters"
    )


def evaluate(
    bench: Workbench, questions: Sequence[Question], labels: Sequence[PseudoLabel], selection: Selection
) -> dict[str, Any]:
    """Step 6: base, teacher and student on held-out questions. The only place where known answers are read."""
    bench.console.step(6, "Evaluation", bench.place("evaluation_questions"))
    if not bench.run.has("report"):
        held_out, golds = arms.held_out(bench)
        passages = arms.passages_for(bench, held_out, _retrieve)
        predictions = arms.predict(bench, held_out, passages)
        known = bench.golds("questions", list(questions))
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
        done = training.read_training(bench.run.file("adapter"))
        report = {
            "format_version": run_module.FORMAT_VERSION,
            "run": bench.config.name,
            "seed": bench.config.seed,
            "base": bench.config.base,
            "task": bench.config.task.name,
            **measured,
            "labels": label_analysis.summarise_labels(labels, known),
            "selection": {
                **label_analysis.summarise_selection(selection, labels, known),
                "steps": training.selected_at_steps(done),
            },
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


def publish(bench: Workbench, namespace: str | None = None, *, message: str = "") -> dict[str, Any]:
    """Step 7: dataset and adapter, one commit and one version tag each."""
    bench.console.step(7, "Publishing", bench.door.endpoint)
    published = publish_run(
        bench, namespace or bench.door.require_write(bench.config.publish.namespace), message=message
    )
    arms.tell(bench, bench.run.read_json("report"), published)
    for entry in published.values():
        bench.console.done(f"{entry['repo_id']} {entry['tag']}")
    return published
