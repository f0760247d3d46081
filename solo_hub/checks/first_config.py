"""Writes a first configuration of what `looking` found in folders, files and dataset repos.

plan            all that was found     -> settings with comments, and rows to hold out
to_yaml         settings               -> the commented file that `distill` takes as it is
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from solo_hub.checks import guessing
from solo_hub.checks.guessing import Guess
from solo_hub.checks.looking import HELD_OUT, Ask, Found
from solo_hub.core.config import CONFIG_VERSION, Config, read_preset
from solo_hub.core.errors import InputError
from solo_hub.hub import layouts, tables
from solo_hub.tasks import multiple_choice, open_qa, text_classification
from solo_hub.tasks.qasc import Qasc
from solo_hub.tasks.reading import is_missing

HELD_OUT_SHARE, MOST_HELD_OUT = 0.2, 500
"""Of one file of questions with answers, what is held out."""
FEW_SHARE = 0.2
"""Of few documents more is held out, so that there is enough to measure."""
_SAYS_NOTHING = frozenset(
    {"train", "training", "data", "dataset", "questions", "docs", "documents"}
)  # as a name: the folder above says more
_DEFAULTS: dict[str, Mapping[str, str]] = {
    "multiple_choice": multiple_choice.DEFAULTS,
    "open_qa": open_qa.DEFAULTS,
    "text_classification": text_classification.DEFAULTS,
}


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
    return bool(set(named) & set(HELD_OUT))


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
