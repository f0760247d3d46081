"""The dataset card."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from solo_hub.publishing import cards, facts, recipe
from solo_hub.publishing.documents import AFTER_LABELS, Row, RunDocuments
from solo_hub.publishing.licences import Licence
from solo_hub.publishing.markdown import Markdown, as_json, code, one_line, table, two_columns
from solo_hub.publishing.naming import Names
from solo_hub.run.teachers import teacher_names

LONGEST_SHOWN = 600  # characters of one text in the record that the card shows

COLUMNS = {
    "id": "Stable id of the question.",
    "question": "The question.",
    "options": "Answer options in their given order; empty for free text.",
    "label": "Index of the chosen option; null for free text.",
    "label_text": "Text of that option; null for free text.",
    "probabilities": "Probability of each option (0..1, summing to 1); null where the label has none.",
    "confidence": "Probability of the chosen answer (0..1); null where the label has none.",
    "text": "The answer the student is trained on.",
    "explanation": "Reasons, citing passages by number; null if not asked for or unusable.",
    "passages": (
        "Passages in the teacher's prompt, in prompt order: id, text, retrieval score (comparable within "
        "one question only), source; empty without retrieval."
    ),
    "passages_dropped": "Number of retrieved passages left out because the prompt would not have fitted the context.",
    "kept": "Whether selection kept the label for training.",
    "reason": "Why it was kept or dropped.",
    "uncertainty": "The student's uncertainty as used by selection (0..1); null where it was not used.",
    "weight": "Weight of the row in the training loss.",
    "style": "How the options were scored; `given` for imported labels.",
    "key": "Hash of everything the label depends on: question, passages, prompt, base commit, engine, settings.",
}


@dataclass(frozen=True, slots=True)
class Change:
    """An entry of the dataset's history.

    Attributes:
        tag: The version it led to.
        rows: Rows of that version.
        added: Rows that are new in it.
        removed: Rows of the version before that are gone.
        changed: Rows with the same id and other content.
        message: The publisher's message; may be empty.
    """

    tag: str
    rows: int
    added: int
    removed: int
    changed: int
    message: str = ""


@dataclass(frozen=True, slots=True)
class DatasetVersion:
    """The part of a dataset version that does not come from the run.

    Attributes:
        tag: Its version tag, `v1`, `v2`, ...
        adapter_tag: Version of the adapter that was trained on it and published with it; None where none is published.
        history: All versions, the newest first.
    """

    tag: str
    adapter_tag: str | None
    history: tuple[Change, ...]


def dataset_card(
    documents: RunDocuments, rows: Sequence[Row], names: Names, licence: Licence, version: DatasetVersion
) -> str:
    """Render the card of the pseudo-label dataset."""
    unused = AFTER_LABELS if documents.repo("knowledge") else {*AFTER_LABELS, "embedder"}
    entries = [(role, entry) for role, entry in documents.resolved.repos.items() if role not in unused]
    imported = documents.repo("labels")
    endpoint = documents.resolved.endpoint
    questions, knowledge, base = documents.repo("questions"), documents.repo("knowledge"), documents.base
    kept = [row for row in rows if row.verdict.kept]
    example = kept[0] if kept else (rows[0] if rows else None)
    listed = any(row.question.options for row in rows)
    who = " and ".join(name.rsplit("/", 1)[-1] for name in teacher_names(documents.resolved) or [base.name])
    front: dict[str, Any] = {
        "pretty_name": one_line(f"{documents.subject}: pseudo-labels by {who}"),
        "language": cards.languages((questions, knowledge, imported), base),
        **cards.licence_entries(licence),
        "annotations_creators": ["found" if imported else "machine-generated"],
        "task_categories": _categories(documents, listed=listed),
        "size_categories": [facts.size_category(len(rows))],
        "source_datasets": list(dict.fromkeys(e.repo_id for e in (questions, knowledge, imported) if e and e.repo_id)),
        "tags": [
            "solo-hub",
            "pseudo-labels",
            "knowledge-distillation",
            *(() if imported or documents.teachers else ("solo-distillation", "self-distillation")),
            *(() if imported else ("synthetic",)),
        ],
        "configs": [
            {
                "config_name": name,
                **({"default": True} if name == "kept" else {}),
                "data_files": [{"split": "train", "path": f"data/{name}/train-*"}],
            }
            for name in (
                "kept",
                "all",
                "messages",
                *(("curated",) if documents.curated else ()),
                *(("feedback",) if documents.feedback else ()),
            )
        ],
    }
    teacher = documents.resolved.setups.get("teacher")
    style = documents.example.style
    if teacher and documents.teachers and style != "generate":  # base and student may be scored in another way
        style = teacher.recipe.style
    how = recipe.combined(teacher, documents.resolved.teachers)
    shared = cards.shared(documents, licence)
    context = {
        **shared,
        "names": names,
        "version": version,
        "base": shared["base_link"],
        "examples": len(teacher.examples) if teacher and documents.settings.teacher.examples else 0,
        "adapter": cards.repo_link(names.adapter, "model", version.adapter_tag, endpoint),
        "space": cards.repo_link(names.space, "space", version.adapter_tag, endpoint) if names.space else None,
        "total": len(rows),
        "feedback": len(documents.feedback),
        "kept": len(kept),
        "record": as_json(_shown(example.to_row())) if example else None,
        "columns": two_columns(("Column", "Meaning"), {code(name): Markdown(text) for name, text in COLUMNS.items()}),
        "reasons": _reasons(rows),
        "quality": facts.label_quality(documents.report),
        "has_gold": bool((documents.report.get("labels") or {}).get("accuracy")),
        "prompt": recipe.prompt_block(documents.example.teacher or documents.example.prompt),
        "prompt_has_passages": documents.example.teacher is not None,
        "scoring": " ".join(filter(None, (recipe.scoring(style), how))),
        "style": style,
        "retrieval": documents.settings.knowledge,
        "selection": (documents.report.get("selection") or {}).get("method"),
        "dropped_passages": sum(row.label.passages_dropped for row in rows),
        "without_passages": sum(1 for row in rows if not row.passages and not row.label.passages_dropped),
        "short_rows": sum(1 for row in rows if row.label.passages_dropped),
        "origins": cards.origins_table(entries, endpoint),
        "history": history_table(version.history),
        "solo_hub": str(documents.resolved.solo_hub or "of unknown version"),
    }
    return cards.render("dataset.md.jinja", front, "dataset", context)


def _categories(documents: RunDocuments, *, listed: bool) -> list[str]:
    if documents.settings.task.name == "text_classification":
        return ["text-classification"]
    return ["question-answering", "multiple-choice"] if listed else ["question-answering"]


def _shown(value: Any) -> Any:
    """A value as the card shows it: numbers to four digits, long texts cut with a note."""
    if isinstance(value, dict):
        return {key: _shown(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_shown(item) for item in value]
    if isinstance(value, float):
        return round(value, 4)
    if isinstance(value, str) and len(value) > LONGEST_SHOWN:
        return f"{value[:LONGEST_SHOWN]}… ({len(value) - LONGEST_SHOWN} characters more)"
    return value


def _reasons(rows: Sequence[Row]) -> Markdown | None:
    """How many rows were kept and dropped for which reason; the most frequent first."""
    counts = Counter((row.verdict.kept, row.verdict.reason) for row in rows)
    ordered = sorted(counts.items(), key=lambda item: (not item[0][0], -item[1], item[0][1]))
    if not ordered:
        return None
    return table(
        ("Reason", "Decision", "Rows"),
        [(code(reason), "kept" if kept else "dropped", f"{n:,}") for (kept, reason), n in ordered],
    )


def history_table(history: Sequence[Change]) -> Markdown:
    """All versions with what changed in each, the newest first."""
    has_messages = any(change.message for change in history)
    head = ["Version", "Rows", "Added", "Removed", "Changed", *(["Message"] if has_messages else [])]
    rows = [
        [
            code(c.tag),
            f"{c.rows:,}",
            f"{c.added:,}",
            f"{c.removed:,}",
            f"{c.changed:,}",
            *([code(c.message) if c.message else "-"] if has_messages else []),
        ]
        for c in history
    ]
    return table(head, rows)
