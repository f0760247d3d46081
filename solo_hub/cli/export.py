"""`solo-hub export`: the student for llama.cpp and Ollama."""

from __future__ import annotations

from pathlib import Path

import click

from solo_hub.cli.options import FORMAT, HUB, open_console


@click.command(
    epilog="""\b
Examples:
  solo-hub export runs/demo
  solo-hub export OWNER/NAME-solo-adapter@v1 --to student""",
)
@click.argument("source", metavar="RUN|REPO")
@click.option(
    "--to",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Folder to write to. [default: NAME-gguf]",
)
@HUB
@click.option("--trust-remote-code", is_flag=True, help="Run Python code from the base model's repo.")
@FORMAT
def export(source: str, to: Path | None, hub: str | None, mode: str, *, trust_remote_code: bool) -> None:
    """Write the student of a run or a published adapter as one GGUF file, with an Ollama Modelfile.

    The adapter is merged into the base; the Modelfile has the prompt that the student was trained on.
    """
    from solo_hub.cli.compare import open_source
    from solo_hub.publishing import exporting

    console = open_console(mode)
    student = open_source(source, hub, console, trust_remote_code=trust_remote_code, excerpt=([], 0))
    name = student.origin.name.rpartition("/")[2]
    file = exporting.export(student, to or Path(f"{name}-gguf"))
    console.done(f"{file} and {file.with_name(exporting.MODELFILE)}")
    console.note(f"Ollama: ollama create {name.casefold()} -f {file.with_name(exporting.MODELFILE)}")
    console.document({"gguf": str(file), "modelfile": str(file.with_name(exporting.MODELFILE))})
