"""`solo-hub compare`: base, teacher and student side by side, in a browser."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from solo_hub.cli.options import FORMAT, HUB, open_console

if TYPE_CHECKING:
    from collections.abc import Sequence

    from solo_hub.core.console import Console
    from solo_hub.evaluation.comparison.asking import Comparison
    from solo_hub.evaluation.comparison.cases import Case


@click.command(
    epilog="""\b
Examples:
  solo-hub compare runs/demo
  solo-hub compare OWNER/NAME-solo-adapter@v1""",
)
@click.argument("source", metavar="RUN|REPO")
@HUB
@click.option("--port", type=click.IntRange(0, 65535), help="Local port. [default: the first free one from 7860]")
@click.option("--open", "browser", is_flag=True, help="Open the page in the browser.")
@click.option("--trust-remote-code", is_flag=True, help="Run Python code from the base model's repo.")
@FORMAT
def compare(
    source: str, hub: str | None, port: int | None, mode: str, *, browser: bool, trust_remote_code: bool
) -> None:
    """Compare base, teacher and student of a run or a published adapter on a local web page.

    Type a question or pick one from the evaluation, and see each answer with its probabilities and passages.
    """
    from solo_hub.publishing.space import load_app

    console = open_console(mode)
    app = load_app()
    comparison = open_source(source, hub, console, trust_remote_code=trust_remote_code)
    console.note("loading the model and the knowledge base")
    comparison.prepare()
    _, url, _ = app.serve(
        comparison, server_name="127.0.0.1", server_port=port or None, inbrowser=browser, prevent_thread_lock=True
    )
    console.line(f"{url}")
    console.note("Stop with Ctrl-C.")
    console.document({"url": url, "source": source})
    _wait()


def open_source(
    source: str,
    hub: str | None,
    console: Console,
    *,
    trust_remote_code: bool = False,
    excerpt: tuple[Sequence[Case], int] | None = None,
) -> Comparison:
    """Open a run folder, or else an adapter repo; see `opening.open_repo`."""
    from solo_hub.core.config import read_file
    from solo_hub.evaluation.comparison.opening import open_repo, open_run
    from solo_hub.hub.opening import open_hub

    folder = Path(source)
    if folder.is_dir() or source.startswith((".", "/")):
        settings = read_file(folder / "config.yaml").get("settings", {}) if (folder / "config.yaml").is_file() else {}
        spec = hub or settings.get("hub")
        return open_run(folder, lambda needs: open_hub(spec, needs=needs, note=console.note), console)
    connection = open_hub(hub, needs=[], note=console.note)
    return open_repo(source, connection, console, excerpt=excerpt, trust_remote_code=trust_remote_code)


def _wait() -> None:
    import signal
    import threading

    stopped = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopped.set())
    try:
        while not stopped.wait(3600):
            pass
    except KeyboardInterrupt:
        pass
