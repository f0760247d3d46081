"""`solo-hub serve`: the student behind an OpenAI-compatible endpoint; the server is transformers' or vLLM's."""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from solo_hub.cli.options import FORMAT, HUB, open_console

if TYPE_CHECKING:
    from solo_hub.evaluation.comparison.asking import Comparison

HOST = "127.0.0.1"
SERVERS = ("vllm", "transformers")


@click.command(
    epilog="""\b
Examples:
  solo-hub serve runs/demo
  solo-hub serve OWNER/NAME-solo-adapter@v1 --port 8001""",
)
@click.argument("source", metavar="RUN|REPO")
@HUB
@click.option("--port", type=click.IntRange(1, 65535), default=8000, show_default=True, help="Local port.")
@click.option(
    "--with", "server", type=click.Choice(SERVERS), help="Server to run. [default: vllm where it is installed]"
)
@click.option("--trust-remote-code", is_flag=True, help="Run Python code from the base model's repo.")
@FORMAT
def serve(source: str, hub: str | None, port: int, server: str | None, mode: str, *, trust_remote_code: bool) -> None:
    """Serve the student of a run or a published adapter at an OpenAI-compatible endpoint, on this machine alone.

    The adapter is merged into the base once and kept in the cache. The server is `transformers serve` or vLLM.
    """
    from solo_hub.cli.compare import open_source
    from solo_hub.publishing import exporting

    server = server or ("vllm" if importlib.util.find_spec("vllm") else "transformers")
    _check_installed(server)
    console = open_console(mode)
    student = open_source(source, hub, console, trust_remote_code=trust_remote_code, excerpt=([], 0))
    folder, prompt = exporting.merged_folder(student)
    url = f"http://{HOST}:{port}/v1"
    path, body = _request(student, folder, prompt.text, chat=not prompt.special_tokens)
    console.done(f"merged model: {folder}")
    console.line(f"{url} serves the student. It was trained on exactly this prompt; put the question into it:")
    console.line()
    console.line(
        f"curl {url}{path} -H 'content-type: application/json' -d @- <<'END'\n{json.dumps(body, indent=2)}\nEND"
    )
    console.line()
    console.note("Stop with Ctrl-C.")
    console.document({"url": url, "server": server, "path": path, "body": body})
    _replace_process(server, folder, port, trust_remote_code=trust_remote_code)


def _request(student: Comparison, folder: Path, prompt: str, *, chat: bool) -> tuple[str, dict[str, object]]:
    """Path and body of a request that makes the server see the prompt of the training."""
    from solo_hub.publishing.exporting import user_message

    asked: dict[str, object] = (
        {"messages": [{"role": "user", "content": user_message(student)}]} if chat else {"prompt": prompt}
    )
    limit = student.context.config.evaluation.max_new_tokens
    body = {"model": str(folder), **asked, "max_tokens": limit, "temperature": 0, "stop": ["\n"]}
    return ("/chat/completions" if chat else "/completions"), body


def _check_installed(server: str) -> None:
    from solo_hub.core.errors import DependencyError

    needed = ("vllm",) if server == "vllm" else ("transformers", "fastapi", "uvicorn", "openai")
    missing = [name for name in needed if importlib.util.find_spec(name) is None]
    if missing:
        error = DependencyError(missing[0], extra="train", purpose=f"Serving with {server}")
        error.hint = f"Install it with: pip install '{'vllm' if server == 'vllm' else 'transformers[serving]'}'"
        raise error


def _replace_process(server: str, folder: Path, port: int, *, trust_remote_code: bool) -> None:
    """Become the server: it gets every signal, and its exit code is the command's."""
    from huggingface_hub import constants

    # `transformers serve` lists what lies there, and answers /v1/models with an error where it does not exist
    Path(constants.HF_HUB_CACHE).mkdir(parents=True, exist_ok=True)
    module = "vllm.entrypoints.cli.main" if server == "vllm" else "transformers.cli.transformers"
    command = [sys.executable, "-m", module, "serve", str(folder), "--host", HOST, "--port", str(port)]
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(sys.executable, [*command, *(["--trust-remote-code"] if trust_remote_code else [])])  # noqa: S606 - a list we built
