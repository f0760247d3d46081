"""Which documents somebody asks about, and what became of the questions each writer wrote."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from solo_hub.core.records import CuratedQuestion, Document

LISTED = 1000  # documents that nobody asks about whose ids are kept; all are counted

_PLACE = re.compile(r"(?:, (?:lines?|pages?|rows?) [\d-]+|#\d+)$")


@dataclass(frozen=True, slots=True)
class SourceCoverage:
    """Documents of one source.

    Attributes:
        documents: How many there are.
        asked: How many have at least one kept question.
    """

    documents: int
    asked: int

    @property
    def share(self) -> float:
        """Share of the documents that are asked about, 0..1; 1 where there are none."""
        return self.asked / self.documents if self.documents else 1.0


@dataclass(frozen=True, slots=True)
class Coverage:
    """Which documents have a kept question.

    Attributes:
        total: All documents together.
        by_source: By source, in the order of the documents; a source is a file or dataset without line and page.
        not_asked: Ids of documents nobody asks about, in their order; the first `LISTED`.
    """

    total: SourceCoverage
    by_source: dict[str, SourceCoverage]
    not_asked: tuple[str, ...]


@dataclass(slots=True)
class Tally:
    """What became of the questions of one writer.

    Attributes:
        written: All of them.
        dropped: How many were dropped, by reason.
        forms: How many were kept, by form.
    """

    written: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    forms: dict[str, int] = field(default_factory=dict)

    def add(self, question: CuratedQuestion) -> None:
        """Count a question of this writer."""
        self.written += 1
        table, name = (self.forms, question.form) if question.dropped is None else (self.dropped, question.dropped)
        table[name] = table.get(name, 0) + 1

    @property
    def kept(self) -> int:
        """How many are used."""
        return self.written - sum(self.dropped.values())


def coverage(documents: Iterable[Document], questions: Iterable[CuratedQuestion]) -> Coverage:
    """Which documents have a kept question.

    Args:
        documents: The knowledge base, read once.
        questions: Kept and dropped ones.
    """
    asked = {name for question in questions if question.kept for name in question.documents}
    counts: dict[str, list[int]] = {}
    missing: list[str] = []
    for document in documents:
        pair = counts.setdefault(source_of(document), [0, 0])
        pair[0] += 1
        if document.id in asked:
            pair[1] += 1
        elif len(missing) < LISTED:
            missing.append(document.id)
    by_source = {source: SourceCoverage(*pair) for source, pair in counts.items()}
    total = SourceCoverage(sum(p[0] for p in counts.values()), sum(p[1] for p in counts.values()))
    return Coverage(total, by_source, tuple(missing))


def source_of(document: Document) -> str:
    """A document's file or dataset: its source without line, page or row.

    >>> source_of(Document("a#3", "...", "notes.md, lines 3-9")), source_of(Document("7", "...", "worldtree"))
    ('notes.md', 'worldtree')
    """
    return _PLACE.sub("", document.source) or "(no source)"
