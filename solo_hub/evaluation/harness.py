"""Export of a task for lm-evaluation-harness, so that numbers can be checked with an independent tool.

The exported prompt is the one of every closed-book arm (base, student): word for word the same text, so that the same
model gives the same answers. The teacher's prompt holds passages, which are no part of the dataset; it is not exported.
Written answers are not either: the harness scores options.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from solo_hub.core.errors import UsageError
from solo_hub.core.files import write_text

_QUESTION = "Question: {{ (%s).split() | join(' ') }}\n"
_LISTED = "{%% for option in %s %%}{{ 'ABCDEFGHIJKLMNOPQRSTUVWXYZ'[loop.index0] }}. {{ option }}\n{%% endfor %%}"
_ANSWER = "Answer:"


@dataclass(frozen=True, slots=True)
class Columns:
    """Where a dataset holds what is asked, as Jinja expressions over a row.

    Attributes:
        question: The question's text.
        options: The list of option texts.
        gold: Index of the right option.
    """

    question: str = "question"
    options: str = "choices.text"
    gold: str = "choices.label.index(answerKey)"


def write_task(
    folder: Path,
    *,
    style: str,
    name: str = "qasc",
    dataset: str = "allenai/qasc",
    revision: str | None = None,
    split: str = "validation",
    data_files: Mapping[str, str] | None = None,
    columns: Columns | None = None,
) -> Path:
    """Write a task for lm-evaluation-harness.

    Args:
        folder: Folder for `--include_path`; made when it is missing.
        style: How options are scored. `letter` and `text` are the harness's own multiple choice (`acc`);
            `text_minus_prior` needs a few lines of Python beside it (`acc_mutual_info`).
        name: Name of the task in the harness.
        dataset: Dataset repo, or a format of `datasets` (`parquet`, `json`, `csv`) together with `data_files`.
        revision: Commit of the repo.
        split: Split to evaluate on.
        data_files: Files by split.
        columns: Where the dataset holds question, options and answer; QASC's columns when None.

    Returns:
        Path of the YAML file.

    Raises:
        UsageError: A style the harness cannot express, or a name it cannot find.
    """
    if style not in ("letter", "text", "text_minus_prior"):
        raise UsageError(f"lm-evaluation-harness cannot score '{style}'.", hint="Use letter, text or text_minus_prior.")
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name):
        raise UsageError(f"'{name}' is not a valid task name.", hint="Use letters, digits and _.")
    where = columns or Columns()
    listed = style == "letter"
    kwargs: dict[str, Any] = {}
    if revision:
        kwargs["revision"] = revision
    if data_files:
        kwargs["data_files"] = dict(data_files)
    letters = "{{ 'ABCDEFGHIJKLMNOPQRSTUVWXYZ'[:(%s) | length] | list }}" % where.options  # noqa: UP031 - braces are Jinja's
    module = f"{name}_minus_prior"
    # The exported files are YAML and Python, not HTML; every value is written as JSON, which YAML reads.
    templates = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates" / "harness"),
        autoescape=False,  # noqa: S701
        undefined=StrictUndefined,
        trim_blocks=True,
        keep_trailing_newline=True,
    )
    templates.filters["tojson"] = _json
    text = templates.get_template("task.yaml.jinja").render(
        name=name,
        style=style,
        module=module,
        dataset=dataset,
        dataset_kwargs=kwargs,
        split=split,
        prompt=_QUESTION % where.question + (_LISTED % where.options if listed else "") + _ANSWER,
        choices=letters if listed else "{{ %s }}" % where.options,  # noqa: UP031
        gold="{{ %s }}" % where.gold,  # noqa: UP031
        metric="acc_mutual_info" if style == "text_minus_prior" else "acc",
    )
    if style == "text_minus_prior":
        write_text(folder / f"{module}.py", templates.get_template("minus_prior.py.jinja").render())
    path = folder / f"{name}.yaml"
    write_text(path, text)
    return path


def _json(value: Any) -> str:
    """JSON as it is: Jinja's own filter escapes for HTML, which would change the prompt."""
    return json.dumps(value, ensure_ascii=False)
