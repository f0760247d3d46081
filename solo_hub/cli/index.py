"""`solo-hub index`: passages for a run's questions, or a knowledge base of its own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from solo_hub.cli.options import (
    FORMAT,
    RUN,
    UPDATE,
    YES,
    connect,
    open_console,
    read_config,
    run_context,
    settings_options,
)

if TYPE_CHECKING:
    from solo_hub.core.config import Config
    from solo_hub.core.console import Console
    from solo_hub.knowledge.folder import KnowledgeFolder


@click.command(
    "index",
    epilog="""\b
Examples:
  solo-hub index qasc-small --hub local
  solo-hub index --to kb --knowledge docs/
  solo-hub index --to kb --add news.md --remove old.pdf --push""",
)
@click.argument("source", required=False, metavar="[CONFIG.yaml|PRESET]")
@settings_options
@RUN
@UPDATE
@click.option(
    "--to",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Build a knowledge base from --knowledge in this folder, independent of any run.",
)
@click.option(
    "--add",
    "added",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="FILE|DIR",
    help="Add documents (.txt, .md, .html, .pdf) or rows (.jsonl, .csv, .parquet) to the knowledge base; only new "
    "texts are embedded. Repeatable.",
)
@click.option(
    "--remove",
    "removed",
    multiple=True,
    metavar="ID|FILE",
    help="Remove a passage, or all passages of a file, from the knowledge base. Repeatable.",
)
@click.option("--push", is_flag=True, help="Publish the knowledge base as the next version of a dataset repo.")
@click.option("--name", metavar="NAME", help="Name of the repo. [default: DIR-knowledge-base]")
@click.option("--private", is_flag=True, help="Make a new repo private.")
@click.option("-m", "--message", default="", help="Message of this version.")
@YES
@FORMAT
def index(
    source: str | None,
    run_dir: Path | None,
    folder: Path | None,
    added: tuple[Path, ...],
    removed: tuple[str, ...],
    name: str | None,
    message: str,
    assignments: tuple[str, ...],
    mode: str,
    *,
    update: bool,
    push: bool,
    private: bool,
    yes: bool,
    **options: Any,
) -> None:
    """Find passages for every question of a run, or build, change and publish a knowledge base with --to."""
    from solo_hub.core.errors import UsageError

    if folder is None:
        if added or removed or push or name or private or message:
            raise UsageError(
                "--add, --remove, --push, --name, --private and --message need a knowledge base of their own.",
                hint="Name its folder with --to DIR.",
            )
        config, run_folder = read_config(source, run_dir, options, assignments)
        _passages(config, run_folder, mode, update=update)
        return
    if run_dir is not None or update:
        raise UsageError("--to builds a knowledge base independent of any run.", hint="Omit --run and --update.")
    assignments += ("publish.allow_personal=true",) if yes else ()
    config, _ = read_config(source, None, options, assignments)
    build = options.get("knowledge") is not None or source is not None
    _knowledge(
        config,
        folder,
        mode,
        build=build,
        added=added,
        removed=removed,
        push={"name": name, "message": message, "private": private or config.publish.private} if push else None,
    )


def _passages(config: Config, folder: Path, mode: str, *, update: bool) -> None:
    with run_context(config, folder, mode, update=update) as (context, console):
        from solo_hub import pipeline

        retrieved = pipeline.find_passages(context, pipeline.load_questions(context))
        passages = sum(len(retrieval.passages) for retrieval in retrieved)
        empty = sum(not retrieval.passages for retrieval in retrieved)
        counts = {"questions": len(retrieved), "passages": passages, "without_passages": empty}
        console.document({"run": str(folder), **counts})


def _knowledge(
    config: Config,
    folder: Path,
    mode: str,
    *,
    build: bool,
    added: tuple[Path, ...],
    removed: tuple[str, ...],
    push: dict[str, Any] | None,
) -> None:
    from solo_hub.core.errors import UsageError

    if not (build or added or removed or push):
        raise UsageError(
            "Nothing to do.",
            hint="Name a source with --knowledge, or use --add, --remove or --push.",
        )
    console = open_console(mode)
    from solo_hub.knowledge.folder import KnowledgeFolder
    from solo_hub.publishing import knowledge_step
    from solo_hub.run import references

    source = config.knowledge.source if build else None
    is_local = source is not None and references.local("knowledge", source, "dataset") is not None
    needs = [config.knowledge.embedding_model, *([source] if source and not is_local else [])]
    base = KnowledgeFolder(folder, config, lambda: connect(config, needs, console).client(), console)
    with base.lock():
        document = _change(base, console, build=build, added=added, removed=removed)
        if push is not None:
            console.note(f"publishing to {base.client.endpoint}")
            document["published"] = knowledge_step.publish_folder(base, config.publish.namespace, **push)
            published = document["published"]
            unchanged = "" if published["changed"] else ", unchanged"
            console.done(f"{published['repo_id']} {published['tag']}{unchanged}")
    console.document(document)


def _change(
    base: KnowledgeFolder, console: Console, *, build: bool, added: tuple[Path, ...], removed: tuple[str, ...]
) -> dict[str, Any]:
    from solo_hub.knowledge.source import read_summary

    if build:
        index = base.build()
        console.done(f"{len(index.documents):,} passages, {index.manifest.embedded:,} newly embedded")
    if removed:
        before = len(base.index.documents)
        index = base.remove(removed)
        console.done(f"{before - len(index.documents):,} passages removed")
    if added:
        index = base.add(added)
        console.done(f"{len(index.documents):,} passages, {index.manifest.embedded:,} newly embedded")
    index = base.index
    summary = read_summary(base.folder) if build else None
    return {
        **({} if summary is None else {"read": summary.to_row()}),
        "folder": str(base.folder),
        "passages": len(index.documents),
        "embedded": index.manifest.embedded if build or added else 0,
        "embedder": index.manifest.embedder,
    }
