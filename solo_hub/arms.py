"""The arms of the evaluation: base and student closed book, the teacher with passages, all asked in the same way."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from solo_hub.errors import InputError
from solo_hub.evaluation.page import write_html
from solo_hub.models.answering import choose, fit, read_letter, write
from solo_hub.records import Gold, Prediction, PseudoLabel, Question, Retrieval
from solo_hub.run import Appender, dumps, read_jsonl, read_record, write_text
from solo_hub.student import adapters
from solo_hub.student.training import read_training
from solo_hub.tasks import loading
from solo_hub.workbench import Workbench

ARMS = ("base", "teacher", "student")
PARTIAL = ".6-predictions.partial.jsonl"


def held_out(bench: Workbench) -> tuple[list[Question], list[Gold]]:
    """Held-out questions and their answers.

    Raises:
        InputError: A question has no known answer: there is nothing to compare with.
    """
    questions = loading.sample(
        bench.questions("evaluation_questions"), bench.config.task.evaluation_limit, bench.config.seed
    )
    golds = bench.golds("evaluation_questions", questions)
    answered = {gold.question_id for gold in golds}
    missing = next((q.id for q in questions if q.id not in answered), None)
    if missing is not None:
        raise InputError(
            f"the held-out question '{missing}' has no known answer.",
            file=bench.place("evaluation_questions"),
            hint="Set task.evaluation_questions or task.evaluation_split to questions that have answers.",
        )
    bench.run.write_rows("held_out", questions)
    bench.run.write_rows("golds", golds)
    return questions, golds


def passages_for(
    bench: Workbench, questions: Sequence[Question], retrieve: Callable[..., list[Retrieval]]
) -> list[Retrieval]:
    """The teacher's passages for the held-out questions, found once."""
    if bench.run.has("held_out_passages"):
        found = bench.run.read_rows("held_out_passages", Retrieval)
        if [r.question_id for r in found] == [q.id for q in questions]:
            return found
    found = retrieve(bench, questions)
    bench.run.write_rows("held_out_passages", found)
    return found


def predict(
    bench: Workbench, questions: Sequence[Question], passages: Sequence[Retrieval]
) -> dict[str, list[Prediction]]:
    """Ask all arms everything; an interrupted evaluation goes on with the batch it was at.

    Answers already given are kept in a file of their own, which counts only for the same adapter and settings; it stays
    until `forget_partial`, when the report is written.
    """
    partial = bench.run.path / PARTIAL
    key = _key(bench)
    known: dict[tuple[str, str], Prediction] = {}
    if partial.exists():
        rows = list(read_jsonl(partial, torn_tail=True))
        if rows and rows[0][1] == {"key": key}:
            found = [read_record(Prediction, row, partial, number) for number, row in rows[1:]]
            known = {(p.arm, p.question_id): p for p in found}
    if not known:
        write_text(partial, dumps({"key": key}) + "\n")
    engine = bench.engine
    adapters.load(engine, bench.run.file("adapter"))
    engine.cast(
        bench.config.evaluation.dtype
        if bench.config.evaluation.dtype != "same"
        else str(engine.dtype).removeprefix("torch.")
    )
    answers: dict[str, list[Prediction]] = {}
    with (
        Appender(partial) as file,
        bench.console.progress("asking base, teacher, student", len(ARMS) * len(questions)) as progress,
    ):
        for arm in ARMS:
            given = list(passages) if arm == "teacher" else [Retrieval(q.id, ()) for q in questions]
            answers[arm] = []
            size = bench.config.evaluation.batch_size
            for start in range(0, len(questions), size):
                some = questions[start : start + size]
                if any((arm, q.id) not in known for q in some):
                    fresh = _ask(bench, arm, some, given[start : start + size])
                    file.append(fresh)
                    known.update(((arm, p.question_id), p) for p in fresh)
                answers[arm] += [known[arm, q.id] for q in some]
                progress(len(some))
    bench.run.write_rows("predictions", [row for arm in ARMS for row in answers[arm]])
    return answers


def forget_partial(bench: Workbench) -> None:
    """Remove the answers kept for an interrupted evaluation; called when the report is written."""
    (bench.run.path / PARTIAL).unlink(missing_ok=True)


def _ask(bench: Workbench, arm: str, questions: Sequence[Question], passages: Sequence[Retrieval]) -> list[Prediction]:
    engine, builder, settings = bench.engine, bench.builder, bench.config.evaluation
    style = bench.resolved["teacher"]["style"]
    started = time.perf_counter()
    with engine.adapter(arm == "student"):
        fitted = [
            fit(engine, builder, q, r.passages, style, reserve=settings.max_new_tokens)
            for q, r in zip(questions, passages, strict=True)
        ]
        closed = [i for i, q in enumerate(questions) if q.options]
        chosen = dict(
            zip(
                closed,
                choose(engine, builder, [questions[i] for i in closed], [fitted[i].prompt for i in closed], style),
                strict=True,
            )
        )
        texts: list[str] | None = None
        if settings.generate or len(closed) < len(questions):
            texts = [
                g.text for g in write(engine, [f.prompt for f in fitted], settings.max_new_tokens, settings.batch_size)
            ]
    seconds = (time.perf_counter() - started) / len(questions)
    rows = []
    for i, question in enumerate(questions):
        answer = chosen.get(i)
        option = answer.option if answer is not None and answer.probabilities is not None else None
        text = texts[i] if texts is not None else question.options[option] if option is not None else ""
        if texts is not None and style == "letter" and question.options:
            text = read_letter(text, question)
        used = tuple(p.id for p in fitted[i].passages)
        rows.append(Prediction(question.id, arm, option, answer.probabilities if answer else None, text, used, seconds))
    return rows


def _key(bench: Workbench) -> str:
    weights = (bench.run.file("adapter") / "adapter_model.safetensors").read_bytes()
    settings = bench.config.evaluation.model_dump_json()
    parts = [
        hashlib.sha256(weights).hexdigest(),
        settings,
        bench.name_of("evaluation_questions"),
        str(bench.resolved["teacher"]),
    ]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def tell(bench: Workbench, report: Mapping[str, Any], published: Mapping[str, Any] | None = None) -> None:
    """Write `report.html` from the files of a finished run."""
    run = bench.run
    predictions: dict[str, list[Prediction]] = {}
    for row in run.read_rows("predictions", Prediction):
        predictions.setdefault(row.arm, []).append(row)
    write_html(
        run.file("html"),
        config=bench.document,
        report=report,
        questions=run.read_rows("held_out", Question),
        golds=run.read_rows("golds", Gold),
        predictions=predictions,
        labels=run.read_rows("labels", PseudoLabel),
        retrievals=run.read_rows("held_out_passages", Retrieval),
        training_log=read_training(run.file("adapter")).log,
        published=published,
    )
