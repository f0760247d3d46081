"""What a folder, a file or a dataset repo holds, found out from its first rows or chunks: for a first configuration."""

from __future__ import annotations

import contextlib
import itertools
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from solo_hub.checks import guessing
from solo_hub.checks.guessing import TEXTS, Guess
from solo_hub.core.errors import InputError
from solo_hub.core.settings import KnowledgeSettings
from solo_hub.curation.scripts import language_of
from solo_hub.hub import layouts, tables
from solo_hub.hub.client import HubClient
from solo_hub.knowledge.decoding import decode_text
from solo_hub.knowledge.plain_text import has_a_text_a_line
from solo_hub.knowledge.reading import is_document
from solo_hub.knowledge.source import Source, is_index
from solo_hub.run import references

Kind = Literal["documents", "questions"]
Ask = Callable[[str, str], str]
"""`ask(question, default)`: the user's answer, on a terminal."""

SAMPLE = 200  # rows or chunks that are looked at
HELD_OUT = ("validation", "test")
"""Splits whose questions are held out, the first that is there."""
_FEW = 30
"""Below so many chunks documents are few."""


@dataclass(frozen=True, slots=True)
class Found:
    """What a folder, file or repo holds.

    Attributes:
        reference: As the user named it.
        path: Where its files are on this machine.
        kind: Documents (to be read, or rows of texts), or questions.
        counted: How much of it there is, in words.
        examples: Two pieces of it.
        language: ISO 639-1 code, or the script; empty where unclear.
        guess: How a table is read; None for document files.
        split: Split that is looked at; None for a single file and documents.
        held_out: Split with held-out questions that have answers, if there is one.
        classes: Class names, where the dataset does not name them itself.
        is_short: Whether documents are few.
        advice: What should be done before, in a sentence; empty where nothing.
    """

    reference: str
    path: Path
    kind: Kind
    counted: str
    examples: tuple[str, ...]
    language: str
    guess: Guess | None = None
    split: str | None = None
    held_out: str | None = None
    classes: tuple[str, ...] = ()
    is_short: bool = False
    advice: str = ""

    def describe(self) -> str:
        """What was found, in one sentence."""
        what = self.counted
        if self.guess is not None:
            columns = ", ".join(f"{name} = {column}" for name, column in self.guess.columns.items())
            what += f", task {self.guess.task}" if self.kind == "questions" else ""
            what += f" ({columns})" if columns else ""
            if self.kind == "questions":
                what += f", {self.guess.answered:.0%} with answers"
        return what + (f", language: {self.language}" if self.language else "")


def look(reference: str, client: Callable[[], HubClient], ask: Ask | None = None) -> Found:
    """Find out what a folder, file or dataset repo holds.

    Args:
        reference: Folder, file, or OWNER/NAME[@REVISION].
        client: Opens the Hub; called only for a repo.
        ask: Asks the user about a guess that is not sure; without it the guess stands.

    Raises:
        InputError: It cannot be read, or holds nothing that can be used.
        RepoMissingError: There is no such repo.
    """
    path = references.local("knowledge", reference, "dataset")
    own = path is not None
    if path is None:
        door = client()
        path = door.pull(door.pin(reference, "dataset"))
    has_documents = path.is_dir() and any(is_document(file) and file.name != "README.md" for file in path.rglob("*"))
    source = Source(path, KnowledgeSettings(), reference, own, "leave_out")
    if is_index(path) or source.description is not None or is_document(path) or has_documents:
        return _documents(reference, source)
    if path.is_dir() and not layouts.has_data_files(path):
        raise InputError(
            "has neither documents (.txt, .md, .html, .pdf) nor data files (.jsonl, .csv, .parquet).", file=reference
        )
    return _table(reference, path, ask)


def _documents(reference: str, source: Source) -> Found:
    advice = ""
    if is_index(source.path):
        from solo_hub.knowledge.index import KnowledgeIndex

        index = KnowledgeIndex.open(source.path)
        chunks = list(itertools.islice(index.documents, SAMPLE))
        counted = f"a knowledge base of {len(index.documents):,} passages"
    elif source.description is not None:
        chunks = list(itertools.islice(source.documents(), SAMPLE))
        counted = f"a knowledge base of {source.description.documents:,} passages"
    else:
        _refuse_questions(source.path)
        chunks = list(itertools.islice(source.documents(), SAMPLE))
        files = [source.path] if source.path.is_file() else [f for f in source.path.rglob("*") if is_document(f)]
        kinds = Counter(file.suffix.lower().removeprefix(".") for file in files)
        named = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common())
        counted = f"{len(files):,} document{'s' * (len(files) != 1)} ({named})"
        advice = _advice(files)
    first = {chunk.source: chunk for chunk in reversed(chunks)}  # two of different documents, where there are two
    shown = tuple(f"{chunk.source}: {guessing.cut(chunk.text)}" for chunk in [*first.values()][::-1][:2])
    language = _language([chunk.text for chunk in chunks])
    return Found(
        reference, source.path, "documents", counted, shown, language, is_short=len(chunks) < _FEW, advice=advice
    )


def _advice(files: list[Path]) -> str:
    """Texts that are read as prose, though they are rows."""
    for file in files:
        if file.suffix.lower() == ".txt":
            with contextlib.suppress(InputError):  # left out, and told elsewhere
                if has_a_text_a_line(decode_text(file)):
                    return (
                        f"Every line of {file.name} looks like a text of its own, but several will share a passage. "
                        "For a passage each, convert it to rows: "
                        f"jq -Rc 'select(. != \"\") | {{text: .}}' {file.name} > {file.stem}.jsonl"
                    )
    return ""


def _refuse_questions(folder: Path) -> None:
    """Questions in a folder of documents would be read as texts, with their answers."""
    for file in sorted(folder.rglob("*.jsonl")) if folder.is_dir() else ():
        guess = guessing.guess(list(tables.read_table(file, limit=SAMPLE)))
        if guess is not None and guess.task != TEXTS:
            raise InputError(
                "looks like questions, but lies in a folder of documents, where it would be read as a text.",
                file=str(file),
                hint="Move it out of the folder and name it besides: solo-hub init FOLDER QUESTIONS.jsonl.",
            )


def _table(reference: str, path: Path, ask: Ask | None) -> Found:
    """Rows of a file, or of the splits of a dataset."""
    splits = list(layouts.splits_of(path)) if path.is_dir() else []
    trains = [name for name in splits if name.split("/")[-1] == "train"]
    split = next(iter(trains or splits), None)
    rows = list(tables.read_table(path, split=split, limit=SAMPLE))

    def class_names(column: str) -> tuple[str, ...]:
        return tables.class_names(path, split=split, column=column)

    guess = guessing.guess(rows, class_names)
    if guess is not None and not guess.sure and ask is not None:
        guess = _asked(guess, rows, reference, ask)
    if guess is None:
        columns = ", ".join(tables.read_columns(path, split=split)) or "none"
        raise InputError(
            f"neither questions nor texts were recognised in its columns: {columns}.",
            file=reference,
            hint="Name its columns in a configuration: task.columns={question: ..., options: ..., answer: ...}.",
        )
    count = tables.count_rows(path, split=split)
    counted = f"{count:,} {'texts' if guess.task == TEXTS else 'questions'}"
    if split is not None:
        counted += f" in the split {split}"
    column = guess.columns.get("text" if guess.task == TEXTS else "question", "question")
    language = _language(guessing.cell(row, column) or "" for _, row in rows)
    if guess.task == TEXTS:
        return Found(reference, path, "documents", counted, guess.examples, language, guess, split)
    classes: tuple[str, ...] = ()
    if guess.task == "text_classification" and not class_names(guess.columns["answer"]):
        classes = _classes(path, split, guess, reference, ask)
    held_out = _held_out_split(path, splits, split, guess)
    return Found(reference, path, "questions", counted, guess.examples, language, guess, split, held_out, classes)


def _asked(guess: Guess, rows: guessing.Rows, reference: str, ask: Ask) -> Guess:
    """The guess with the columns that the user names."""
    columns = {}
    for name, column in guess.columns.items():
        columns[name] = ask(f"{reference}: which column is the {name}?", column)
    if guess.task == TEXTS or columns == guess.columns:
        return replace(guess, columns=columns, sure=True)
    found = guessing.read_as(guess.task, columns, rows)
    if found is None:
        raise InputError(f"these columns cannot be read as {guess.task}: {columns}.", file=reference)
    return found


def _classes(path: Path, split: str | None, guess: Guess, reference: str, ask: Ask | None) -> tuple[str, ...]:
    """All classes of a column that the dataset does not name; numbers need names."""
    column = guess.columns["answer"]
    cells = {str(row[column]) for _, row in tables.read_table(path, split=split, columns=[column])} - {"", "None"}
    classes = sorted(cells)
    if not all(re.fullmatch(r"-?\d+", name) for name in classes):
        return tuple(classes)
    question = f"{reference}: names of the classes {', '.join(classes)}, in this order, separated by commas:"
    given = tuple(name.strip() for name in ask(question, "").split(",") if name.strip()) if ask else ()
    if not given:
        raise InputError(
            f"its classes are numbers without names ({', '.join(classes[:5])}, ...).",
            file=reference,
            field=column,
            hint="Name them in the configuration with task.classes, or write names into the column.",
        )
    return given


def _held_out_split(path: Path, splits: Sequence[str], train: str | None, guess: Guess) -> str | None:
    """A split beside the training split whose questions have answers."""
    config = (train or "").rpartition("/")[0]
    for word in HELD_OUT:
        for split in splits:
            if split == train or split.split("/")[-1] != word or split.rpartition("/")[0] != config:
                continue
            found = guessing.read_as(guess.task, guess.columns, list(tables.read_table(path, split=split, limit=50)))
            if found is not None and found.answered >= guessing.FITS:
                return split
    return None


def _language(texts: Iterable[Any]) -> str:
    """The language of most texts; empty where it is not a known one."""
    return language_of(" ".join(str(text) for text in itertools.islice(texts, SAMPLE)))
