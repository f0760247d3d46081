"""A metric as a Space of the Hub, where `evaluate.load("OWNER/NAME")` finds it.

A folder is filled, card included; pushing it is the Hub client's work.
"""

from __future__ import annotations

import importlib
import inspect
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from solo_hub.core.errors import DependencyError, UsageError, nearest
from solo_hub.core.files import write_text

NAMES = ("bert_score", "exact_match", "macro_f1", "option_accuracy", "rouge")
_TEMPLATES = Path(__file__).parents[1] / "templates" / "space"
_NEEDS = {
    "bert_score": ("bert-score>=0.3.13,<0.4", "evaluate>=0.4.6,<0.5"),
    "exact_match": ("solo-hub[evaluation]",),
    "macro_f1": ("evaluate>=0.4.6,<0.5",),
    "option_accuracy": ("evaluate>=0.4.6,<0.5",),
    "rouge": ("solo-hub[evaluation]",),
}


def module_folder(name: str) -> Path:
    """Folder of a metric, for `evaluate.load(str(folder))`.

    Raises:
        UsageError: There is no metric of that name.
    """
    if name not in NAMES:
        raise UsageError(f"There is no metric '{name}'.", hint=nearest(name, NAMES))
    return Path(__file__).parent / name


def fill_space(name: str, folder: Path, *, namespace: str) -> None:
    """Write everything a metric Space needs.

    Args:
        name: Name of the metric.
        folder: Folder to fill; made when it is missing.
        namespace: User or organisation it will be pushed to.

    Raises:
        UsageError: There is no metric of that name.
        DependencyError: The package `evaluate`, or one the metric stands on, is missing.
    """
    source = module_folder(name) / f"{name}.py"
    try:
        module = importlib.import_module(f"solo_hub.evaluation.metrics.{name}.{name}")
    except ModuleNotFoundError as error:
        raise DependencyError(error.name or "evaluate", extra="evaluation", purpose=f"The metric '{name}'") from error
    templates = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=False,  # noqa: S701 - Markdown and Python of our own texts
        undefined=StrictUndefined,
        keep_trailing_newline=True,
    )
    words = {
        "title": name.replace("_", " ").capitalize(),
        "repo_id": f"{namespace}/{name}",
        "description": module._DESCRIPTION,  # noqa: SLF001 - the module's own words, once
        "inputs": "```text\n" + inspect.cleandoc(module._INPUTS) + "\n```",  # noqa: SLF001
    }
    for file in ("README.md", "app.py"):
        write_text(folder / file, templates.get_template(f"{file}.jinja").render(words))
    write_text(folder / "requirements.txt", "\n".join(_NEEDS[name]) + "\n")
    write_text(folder / f"{name}.py", source.read_text("utf-8"))
