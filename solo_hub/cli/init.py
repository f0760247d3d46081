"""`solo-hub init`: a first configuration, guessed from documents, files and dataset repos."""

from __future__ import annotations

import functools
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from solo_hub.cli.options import FORMAT, HUB, SET, connect, open_console

if TYPE_CHECKING:
    from solo_hub.core.console import Console


@click.command(
    epilog="""\b
Examples:
  solo-hub init docs/                              questions are written from the documents
  solo-hub init questions.jsonl docs/              your questions; the teacher reads the documents
  solo-hub init train.csv dev.csv facts.jsonl      questions, held-out questions, texts
  solo-hub init OWNER/QUESTIONS OWNER/CORPUS --hub local"""
)
@click.argument("sources", nargs=-1, metavar="[PATH|REPO]...")
@click.option(
    "--to",
    "out",
    type=click.Path(dir_okay=False, path_type=Path),
    default="my.yaml",
    show_default=True,
    metavar="FILE",
    help="File to write.",
)
@click.option("--name", help="Name of the run and of its repos. [default: that of the questions or documents]")
@click.option("--base", metavar="REPO[@REV]", help="Base model. [default: SmolLM2-135M-Instruct]")
@HUB
@SET
@click.option("--yes", is_flag=True, help="Do not prompt: take every guess as it is.")
@FORMAT
def init(
    sources: tuple[str, ...],
    out: Path,
    name: str | None,
    base: str | None,
    hub: str | None,
    assignments: tuple[str, ...],
    mode: str,
    *,
    yes: bool,
) -> None:
    """Write a commented configuration for your documents and questions, and show what was guessed.

    Name a folder of documents, files of questions or texts (.jsonl, .csv, .parquet), or dataset repos. Columns,
    options, answers and language are recognised; on a terminal you are asked where that is unsure.
    """
    from solo_hub.checks import first_config, looking
    from solo_hub.core import config as settings
    from solo_hub.core.errors import InputError, SoloHubError, UsageError
    from solo_hub.core.files import dumps, write_lines, write_text
    from solo_hub.run import references, settings_checks

    console = open_console(mode)
    ask = _ask if not yes and mode == "human" and sys.stdin.isatty() and sys.stderr.isatty() else None
    if not sources and ask:
        sources = tuple(ask("Folder of documents, file, or dataset repo (several: separated by blanks):", "").split())
    if not sources:
        raise UsageError("Nothing to look at.", hint="Name a folder, a file or a dataset repo: solo-hub init docs/")
    if out.exists():
        raise InputError("exists already.", file=str(out), hint="Choose another file with --to FILE.")

    @functools.cache
    def client() -> Any:
        repos = [name for name in sources if references.local("knowledge", name, "dataset") is None]
        return connect(settings.build({"hub": hub}), repos, console).client()

    found = [_look(looking.look, reference, client, ask, console) for reference in sources]
    if ask and not any(item.kind == "documents" for item in found):
        documents = ask("Documents that hold the answers, as a folder, file or repo (empty: none):", "")
        found += [_look(looking.look, documents, client, ask, console)] if documents else []
    plan = first_config.plan(found, name=name, base=base, hub=hub, out=out, ask=ask)
    made = first_config.Plan(settings.override(plan.settings, assignments), plan.comments, plan.files)
    title = [
        f"For solo-hub: {', '.join(sources)}. All settings: solo-hub distill --help.",
        *(f"  {item.reference}: {item.describe()}" for item in found),
    ]
    for file, rows in plan.files.items():
        write_lines(file, (dumps(row) + "\n" for row in rows))
        console.done(f"{file}: {len(rows):,} questions")
    try:
        settings_checks.check(settings.build(made.settings, str(out)))  # what is written is what `distill` takes
    except SoloHubError:
        for file in plan.files:
            file.unlink()
        raise
    write_text(out, first_config.to_yaml(made, title))
    if not any(item.kind == "documents" for item in found):
        console.warn(
            "no documents were given: the teacher has nothing to look up, and the student little to learn from it"
        )
    console.done(f"{out}, to be read and changed before the first run")
    given = "" if hub else "  (add --hub local for a first try without an account)"
    console.note(f"next: solo-hub distill {out} --plan, then the same without --plan{given}")
    console.document({
        "config": str(out),
        "found": [
            {"source": item.reference, "kind": item.kind, "says": item.describe(), "examples": list(item.examples),
             "advice": item.advice}
            for item in found
        ],
        "settings": made.settings,
    })  # fmt: skip


def _look(look: Any, reference: str, client: Any, ask: Any, console: Console) -> Any:
    found = look(reference, client, ask)
    console.done(f"{reference}: {found.describe()}")
    for example in found.examples:
        console.note(example)
    if found.advice:
        console.warn(found.advice)
    return found


def _ask(question: str, default: str) -> str:
    answer: str = click.prompt(question.rstrip(":"), default=default, show_default=bool(default), err=True)
    return answer.strip()
