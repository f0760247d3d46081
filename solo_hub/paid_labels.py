"""The labels of a run: which are paid for already, and how the teacher is asked for the rest."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from solo_hub.records import PseudoLabel, Question, Retrieval
from solo_hub.run import Appender, read_jsonl, read_record
from solo_hub.tasks import loading
from solo_hub.teacher import explanation
from solo_hub.teacher import style as styles
from solo_hub.teacher.labelling import Teacher, label_key
from solo_hub.workbench import Workbench

EXPLAINED = 16  # questions whose explanations are tried before the teacher is asked to explain


def known(bench: Workbench) -> dict[str, PseudoLabel]:
    """Every label in the run folder by its key, whatever it was made for."""
    path = bench.run.file("labels")
    if not path.exists():
        return {}
    rows = [read_record(PseudoLabel, row, path, number) for number, row in read_jsonl(path, torn_tail=True)]
    return {row.key: row for row in rows}


def finished(
    bench: Workbench, questions: Sequence[Question], passages: Sequence[Retrieval], known: dict[str, PseudoLabel]
) -> list[PseudoLabel] | None:
    """The finished labels, if every question has one whose key still matches; found out without loading the model."""
    decided = bench.resolved.get("teacher")
    if not decided or not known:
        return None
    identity = bench.teacher_identity(decided["style"], explains=decided["explains"])
    keys = [label_key(q, r, identity) for q, r in zip(questions, passages, strict=True)]
    complete = len(known) == len(keys) and all(key in known for key in keys)
    return [known[key] for key in keys] if complete else None


def complete(
    bench: Workbench, questions: Sequence[Question], passages: Sequence[Retrieval], known: dict[str, PseudoLabel]
) -> list[PseudoLabel]:
    """Label what is not paid for yet; every batch is on disk before the next is begun."""
    settings = bench.config.teacher
    style, explains = _decide(bench, questions, passages)
    identity = bench.teacher_identity(style, explains=explains)
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
    """How options are scored and whether the teacher explains: chosen once, without labels, and written down."""
    asked = bench.config.teacher.model_dump(mode="json")
    decided = bench.resolved.get("teacher")
    if decided and decided["settings"] == asked:
        return decided["style"], decided["explains"]
    chosen = {q.id for q in loading.sample(questions, bench.config.teacher.style_sample, bench.config.seed)}
    sample = [(q, r) for q, r in zip(questions, passages, strict=True) if q.id in chosen]
    style, tests = _choose_style(bench, [pair for pair in sample if pair[0].options])
    explains, share = _choose_to_explain(bench, style, sample[:EXPLAINED])
    bench.resolved["teacher"] = {
        "style": style,
        "style_tests": [{**dataclasses.asdict(test), "score": test.score} for test in tests],
        "explains": explains,
        "explained_share": share,
        "settings": asked,
    }
    bench.save()
    return style, explains


def _choose_style(bench: Workbench, sample: Sequence[tuple[Question, Retrieval]]) -> tuple[str, list[styles.StyleTest]]:
    if bench.config.teacher.style != "auto":
        return bench.config.teacher.style, []
    asked, given = [q for q, _ in sample], [r.passages for _, r in sample]
    style, tests = styles.choose_style(bench.engine, bench.builder, asked, given, seed=bench.config.seed)
    bench.console.note("scoring style " + ", ".join(f"{t.style} {t.score:+.2f}" for t in tests) + f": {style}")
    return style, tests


def _choose_to_explain(
    bench: Workbench, style: str, sample: Sequence[tuple[Question, Retrieval]]
) -> tuple[bool, float | None]:
    settings = bench.config.teacher
    if settings.explain != "auto":
        return settings.explain == "always", None
    draft = Teacher(bench.engine, bench.builder, style, settings.batch_size, settings.max_new_tokens)
    asked, given = [q for q, _ in sample], [r.passages for _, r in sample]
    labels = draft.label(asked, [r for _, r in sample])
    explains, share = explanation.explains_well(
        bench.engine, bench.builder, asked, labels, given, max_new_tokens=settings.max_new_tokens
    )
    state = "on" if explains else "off"
    bench.console.note(f"explanations: {share:.0%} of a sample cite their passages, so they are {state}")
    return explains, share
