"""Writes a first configuration from documents, files and dataset repos: what each holds is guessed and shown.

look            a folder, file or repo -> Found
plan            all that was found     -> settings with comments, and rows to hold out
to_yaml         settings               -> the commented file that `distill` takes as it is
"""

from __future__ import annotations

import itertools
import random
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import yaml

from solo_hub.checks import guessing
from solo_hub.checks.guessing import TEXTS, Guess
from solo_hub.core.config import CONFIG_VERSION, Config, read_preset
from solo_hub.core.errors import InputError
from solo_hub.core.settings import KnowledgeSettings
from solo_hub.curation.scripts import language_of
from solo_hub.hub import layouts, tables
from solo_hub.hub.client import HubClient
from solo_hub.knowledge.reading import is_document
from solo_hub.knowledge.source import Source, is_index
from solo_hub.run import references
from solo_hub.tasks import multiple_choice, open_qa, text_classification
from solo_hub.tasks.qasc import Qasc
from solo_hub.tasks.reading import is_missing

Kind = Literal["documents", "questions"]
Ask = Callable[[str, str], str]
"""`ask(question, default)`: the user's answer, on a terminal."""

SAMPLE = 200  # rows or chunks that are looked at
HELD_OUT_SHARE, MOST_HELD_OUT = 0.2, 500
"""Of one file of questions with answers, what is held out."""
_HELD_OUT = ("validation", "test")
FEW, FEW_SHARE = 30, 0.2
"""Below so many chunks of documents more is held out, so that there is enough to measure."""
_SAYS_NOTHING = frozenset(
    {"train", "training", "data", "dataset", "questions", "docs", "documents"}
)  # as a name: the folder above says more
_DEFAULTS: dict[str, Mapping[str, str]] = {
    "multiple_choice": multiple_choice.DEFAULTS,
    "open_qa": open_qa.DEFAULTS,
    "text_classification": text_classification.DEFAULTS,
}


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


@dataclass(frozen=True, slots=True)
class Plan:
    """Settings of a first run.

    Attributes:
        settings: Nested, as in a file.
        comments: Dotted key -> comment.
        files: Files to write, with their rows: questions that were split into two parts.
    """

    settings: dict[str, Any]
    comments: dict[str, str]
    files: Mapping[Path, Sequence[Mapping[str, Any]]]


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
    first = {chunk.source: chunk for chunk in reversed(chunks)}  # two of different documents, where there are two
    shown = tuple(f"{chunk.source}: {guessing.cut(chunk.text)}" for chunk in [*first.values()][::-1][:2])
    language = _language([chunk.text for chunk in chunks])
    return Found(reference, source.path, "documents", counted, shown, language, is_short=len(chunks) < FEW)


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
    for word in _HELD_OUT:
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


def plan(
    found: Sequence[Found], *, name: str | None, base: str | None, hub: str | None, out: Path, ask: Ask | None
) -> Plan:
    """Settings of a first run.

    Args:
        found: What there is.
        name: Name of the run; made from the questions' or the documents' name when None.
        base: Base model; the default when None.
        hub: The Hub; huggingface.co when None.
        out: The file to be written; files of rows go beside it.
        ask: Asks the user for what is missing, on a terminal.

    Raises:
        InputError: There are two sources of documents, or more than two of questions; or no answers to evaluate on.
    """
    texts = [item for item in found if item.kind == "documents"]
    asked = sorted((item for item in found if item.kind == "questions"), key=_is_held_out)
    if len(texts) > 1:
        raise InputError(
            f"'{texts[0].reference}' and '{texts[1].reference}' are both documents; a run has one source.",
            hint="Put them into one folder, or build one knowledge base: solo-hub index --to kb --knowledge "
            f"{texts[0].reference}, then --add {texts[1].reference}.",
        )
    if len(asked) > 2:  # noqa: PLR2004 - to learn, and held out
        raise InputError("more than two sources of questions.", hint="Name the training and the held-out questions.")
    main = (asked or texts)[0]
    settings: dict[str, Any] = {"config_version": CONFIG_VERSION, "name": name or run_name(main.reference)}
    comments = {
        "name": "of the run's folder and of the published repos",
        "base": "teacher and student: any causal model on the Hub",
    }
    settings |= {"hub": hub} if hub else {}
    settings["base"] = base or Config.model_fields["base"].default
    language = next((item.language for item in (*texts, *asked) if item.language), "")
    if language not in ("", "en") and base is None:
        comments["base"] = f"mostly English, and yours is {language}: choose a multilingual model"
    files: dict[Path, list[dict[str, Any]]] = {}
    if asked:
        settings["task"], files = _task(asked, settings["name"], out, comments, ask)
    else:
        settings["task"] = {"name": "multiple_choice"}
        comments["task"] = "no questions were given: they are written from the documents"
        settings["curation"] = {"limit": 2000, "held_out": FEW_SHARE if texts[0].is_short else 0.1}
        comments["curation.limit"] = "most questions that are learnt"
        comments["curation.held_out"] = "share of the facts that is held out for the evaluation"
    settings["knowledge"] = _knowledge(texts, language, comments)
    if texts:
        settings["evaluation"] = {"dtype": "same", "arms": ["student_with_passages"]}
        comments["evaluation.dtype"] = (
            "as for the labels; float32 gives the same answers on any machine, but takes longer"
        )
        comments["evaluation.arms"] = "beside base, teacher and student: the verdict is retrieve, tune, or both"
    if not asked and base is None:
        measured = read_preset("documents")
        settings |= {section: measured[section] for section in ("student", "evaluation")}
        comments["student"] = "as measured for this base; a base of a billion parameters takes a fifth of this rate"
    return Plan(settings, comments, files)


def _is_held_out(found: Found) -> bool:
    """Whether questions are named as held-out ones are: dev.jsonl, my-test.csv."""
    named = layouts.splits_by_name([Path(found.reference.split("@")[0]).name.casefold()], {})
    return bool(set(named) & set(_HELD_OUT))


def _task(
    asked: Sequence[Found], name: str, out: Path, comments: dict[str, str], ask: Ask | None
) -> tuple[dict[str, Any], dict[Path, list[dict[str, Any]]]]:
    """The section `task`, and files to write where one source is split into two."""
    main, guess = asked[0], asked[0].guess
    assert guess is not None  # noqa: S101 - questions are a table
    task: dict[str, Any] = {"name": guess.task, "questions": main.reference}
    comments["task.questions"] = f"{main.counted}; their answers are never read"
    if main.split not in (None, "train"):
        task["train_split"] = main.split
    files: dict[Path, list[dict[str, Any]]] = {}
    held_out = asked[1].reference if len(asked) > 1 else None
    if held_out is None and main.held_out is None and ask is not None:
        held_out = (
            ask("Held-out questions with answers, as a file or repo (empty: hold out a part of these):", "") or None
        )
    if held_out is not None:
        task["evaluation_questions"] = held_out
        if len(asked) > 1 and asked[1].split not in (None, "validation"):
            task["evaluation_split"] = asked[1].held_out or asked[1].split
    elif main.held_out is not None:
        task["evaluation_split"] = main.held_out
        comments["task.evaluation_split"] = "held-out questions with answers"
    else:
        files = _split(main, guess, name, out)
        task["questions"], task["evaluation_questions"] = (str(file) for file in files)
        comments["task.evaluation_questions"] = f"{len(files[Path(task['evaluation_questions'])]):,} held out by chance"
        comments["task.questions"] = f"the others of {main.reference}; their answers are never read"
    defaults = _DEFAULTS.get(guess.task, {})
    columns = {key: column for key, column in guess.columns.items() if defaults.get(key) != column}
    task |= {"columns": columns} if columns else {}
    task |= {"classes": list(main.classes)} if main.classes else {}
    comments["task.columns"] = "columns of the table"
    return task, files


def _split(main: Found, guess: Guess, name: str, out: Path) -> dict[Path, list[dict[str, Any]]]:
    """Two files of the questions: to learn, and held out; questions without an answer are learnt."""
    if not guess.answered:
        raise InputError(
            "its questions have no answers, so there is nothing to evaluate on.",
            file=main.reference,
            hint="Name held-out questions with answers besides: solo-hub init QUESTIONS HELD_OUT.",
        )
    columns = _columns_of(guess, tables.read_columns(main.path, split=main.split))
    rows = [row for _, row in tables.read_table(main.path, split=main.split, columns=columns)]
    answer = Qasc.gold_columns[0] if guess.task == "qasc" else guess.columns["answer"]
    values = [guessing.cell(row, answer) for row in rows]
    answered = [
        n for n, value in enumerate(values) if not is_missing(value) and value != text_classification.UNLABELLED
    ]
    count = min(MOST_HELD_OUT, int(HELD_OUT_SHARE * len(answered)))
    chosen = set(random.Random(0).sample(answered, count))  # noqa: S311 - a sample, not a secret
    if not chosen:
        raise InputError(
            "has too few questions with answers to hold any out.", file=main.reference, hint="At least five are needed."
        )
    beside = [out.with_name(f"{name}-{part}.jsonl") for part in ("train", "held-out")]
    for file in beside:
        if file.exists():
            raise InputError("exists.", file=str(file), hint="Remove it, or choose another name with --name.")
    parts = ([row for number, row in enumerate(rows) if (number in chosen) is held] for held in (False, True))
    return dict(zip(beside, parts, strict=True))


def _columns_of(guess: Guess, there: Sequence[str]) -> list[str]:
    """The columns that a task reads; of `question.stem` the whole column `question`."""
    names = [part for column in guess.columns.values() for part in column.split(",")]
    if guess.task == "qasc":
        names = [*Qasc.question_columns, *Qasc.gold_columns]
    return [column for column in there if column in names or any(name.startswith(f"{column}.") for name in names)]


def _knowledge(texts: Sequence[Found], language: str, comments: dict[str, str]) -> dict[str, Any]:
    if not texts:
        comments["knowledge.passages"] = "no documents were given: the teacher sees the question alone"
        return {"passages": 0}
    source = texts[0]
    knowledge: dict[str, Any] = {"source": source.reference}
    comments["knowledge.source"] = source.counted
    if source.guess is not None:
        columns = {name: column for name, column in source.guess.columns.items() if name != column}
        knowledge |= {"columns": columns} if columns else {}
        knowledge |= {"split": source.split} if source.split not in (None, "train") else {}
    if language not in ("", "en"):
        knowledge["retriever"] = "bm25"
        comments["knowledge.retriever"] = (
            f"by words: the default embedder is English, and yours is {language}; fused, with a multilingual "
            "embedding_model, also finds other words for the same"
        )
    return knowledge


def run_name(reference: str) -> str:
    """A run's name, made from a reference.

    >>> run_name("data/My questions.jsonl.gz"), run_name("allenai/qasc@main"), run_name("biology/train.jsonl")
    ('my-questions', 'qasc', 'biology')
    """
    path = Path(reference.split("@", maxsplit=1)[0] if "/" in reference else reference)
    name = path.resolve().name if path.is_dir() else path.name.split(".")[0]
    if name.casefold() in _SAYS_NOTHING:
        name = path.resolve().parent.name or name
    return re.sub(r"[^a-z0-9._-]+", "-", name.casefold()).strip("._-")[:64] or "run"


def to_yaml(made: Plan, title: Sequence[str]) -> str:
    """The settings as YAML with comments.

    Args:
        made: The settings.
        title: Lines of the comment at the top.
    """
    lines = [f"# {line}".rstrip() for line in title]

    def write(section: Mapping[str, Any], prefix: str, indent: str) -> None:
        for key, value in section.items():
            comment = made.comments.get(f"{prefix}{key}")
            note = f"  # {comment}" if comment else ""
            if isinstance(value, Mapping):
                lines.append(f"{indent}{key}:{note}")
                write(value, f"{prefix}{key}.", indent + "  ")
            else:
                text = yaml.safe_dump(value, default_flow_style=True, allow_unicode=True, width=10**6)
                lines.append(f"{indent}{key}: {text.removesuffix('...' + chr(10)).rstrip()}{note}")

    write(made.settings, "", "")
    return "\n".join(lines) + "\n"
