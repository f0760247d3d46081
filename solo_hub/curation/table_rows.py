"""Questions about rows of tables: a cell is asked for by the name of its column and the row's first cell.

    row     "Metal: iron; Melting point: 1,538 °C; Price: 1 euro."
    gap     "iron, Melting point: ____."      1,538 °C
    end     "Melting point of iron?"          1,538 °C      in English, where the column's name is a noun

Rows come as `knowledge.chunking.row_sentence` writes them. A sentence that only looks like a row is recognised by its
columns: a table has at least two rows with the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from solo_hub.curation.english import ADVERBS, AUXILIARIES, CONJUNCTIONS, DETERMINERS, PREPOSITIONS, PRONOUNS
from solo_hub.curation.forms import Asked
from solo_hub.curation.frequencies import Frequencies
from solo_hub.curation.scripts import GAP, UNSPACED

LONGEST_ANSWER = 40  # characters
LONGEST_NAME = 60  # characters of a first cell
_NO_NOUNS = ADVERBS | AUXILIARIES | CONJUNCTIONS | DETERMINERS | PREPOSITIONS | PRONOUNS
_WORDS = re.compile(r"[A-Za-z]+(?:[ -][A-Za-z]+)*")
_LETTER = re.compile(r"[^\W\d_]")
_SAYS_NOTHING = frozenset({"yes", "no", "none", "n/a"})

Cells = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a table.

    Attributes:
        cells: Name of the column and cell, of each column.
        others: The other rows' cells, of each column: `(columns, rows - 1)`.
    """

    cells: Cells
    others: tuple[tuple[str, ...], ...]


def cells_of(text: str) -> Cells:
    """Column and cell of a row of a table, without headings in front of it; empty where the text is no such row.

    >>> cells_of("Metals: Metal: iron; Melts at: 1,538 C.")
    (('Metal', 'iron'), ('Melts at', '1,538 C'))
    """
    first, *others = (part.split(": ") for part in text.rstrip(".\u3002").split("; "))
    if not others or len(first) < 2 or any(len(part) != 2 for part in others):  # noqa: PLR2004 - column and cell
        return ()
    column = first[-2].rpartition("\uff1a")[2]  # headings in scripts with a wide colon stand before it
    return tuple((column.strip(), cell.strip()) for column, cell in ((column, first[-1]), *others))


def rows_of(texts: Iterable[str]) -> dict[str, Row]:
    """The sentences of a document that are rows of a table with other rows."""
    tables: dict[tuple[str, ...], dict[str, Cells]] = {}
    for text in texts:
        if cells := cells_of(text):
            tables.setdefault(tuple(column for column, _ in cells), {})[text] = cells
    rows = {}
    for table in tables.values():
        for text, cells in table.items() if len(table) > 1 else ():
            others = [row for key, row in table.items() if key != text]
            rows[text] = Row(cells, tuple(tuple(row[n][1] for row in others) for n in range(len(cells))))
    return rows


def ask_row(row: Row, language: str, corpus: Frequencies) -> Iterator[tuple[list[Asked], tuple[str, ...]]]:
    """Questions about a row, those about one cell together, with the other rows' cells: what else it could be."""
    (_, name), *cells = row.cells
    if not _LETTER.search(name) or len(name) > LONGEST_NAME:
        return
    for (column, cell), others in zip(cells, row.others[1:], strict=True):
        if _is_answer(cell) and _LETTER.search(column):
            comma, colon, stop = "\uff0c\uff1a\u3002" if language in UNSPACED else (", ", ": ", ".")
            asked = [Asked("gap", f"{name}{comma}{column}{colon}{GAP}{stop}", cell)]
            if language == "en" and _is_noun(column, corpus):
                asked.append(Asked("end", f"{column} of {name}?", cell))
            yield asked, tuple(filter(_is_answer, others))


def _is_answer(cell: str) -> bool:
    return any(map(str.isalnum, cell)) and len(cell) <= LONGEST_ANSWER and cell.lower() not in _SAYS_NOTHING


def _is_noun(column: str, corpus: Frequencies) -> bool:
    """Whether *of* may follow: *Part number*, but not *Melts at*, *Change every*, *What to do*, *Speaks*."""
    if not _WORDS.fullmatch(column):
        return False
    first, *_, last = (*column.lower().split(), *column.lower().split())
    is_verb = corpus.past_base(last) or corpus.is_surely_verb(last)
    return not (first in _NO_NOUNS or last in _NO_NOUNS or is_verb)
