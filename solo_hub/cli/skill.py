"""`solo-hub skill`: what a coding agent has to know to take a folder of documents to a published adapter."""

from __future__ import annotations

from pathlib import Path

import click

NAME = "solo-hub"
FOLDERS = (Path(".agents/skills"), Path(".claude/skills"))
"""Where agents look for the skills of a project; below the home folder, for those of a user."""


@click.command(
    epilog="""\b
Examples:
  solo-hub skill                          print it
  solo-hub skill --install                for agents that work in this folder
  solo-hub skill --to ~/.agents/skills    into another folder of skills"""
)
@click.option("--install", is_flag=True, help="Write it to .agents/skills and .claude/skills of the current folder.")
@click.option(
    "--to",
    "folders",
    multiple=True,
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Write it to this folder of skills. Repeatable.",
)
def skill(*, install: bool, folders: tuple[Path, ...]) -> None:
    """Print or install a skill for coding agents: from a folder of documents to a published adapter.

    A skill is a Markdown file, SKILL.md, in a folder of its own; installing it again replaces it.
    """
    from importlib import resources

    from solo_hub.core.files import write_text

    text = (resources.files(__package__) / "skill.md").read_text("utf-8")
    targets = (*(FOLDERS if install else ()), *folders)
    if not targets:
        click.echo(text, nl=False)
    for folder in targets:
        path = folder.expanduser() / NAME / "SKILL.md"
        write_text(path, text)
        click.echo(path)
