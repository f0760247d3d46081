"""A run that takes seconds, and a way to start it hundreds of times, to kill it, and to compare what is left."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import yaml
from small_hub import rows, small_settings

TOKEN = "hf_reliabilityPLANTEDsecretTOKEN01"
"""Long enough for every pattern of a token: wherever it is found in a file, it has leaked."""
TIMES = {"created", "cost", "peak_memory_bytes", "memory", "latency"}

KEPT = {".lock", ".sums.json", ".6-answers.jsonl"}  # the lock, and answers that were paid for


@dataclass
class Done:
    """How a command ended.

    Attributes:
        code: Exit code; negative for the signal that ended it.
        out: What stood on stdout.
        err: What stood on stderr, blanks and line ends joined.
        seconds: How long it took.
        events: How often it touched disk or network; None where it was killed.
        event: What it was about to do when it killed itself.
    """

    code: int
    out: str
    err: str
    seconds: float
    events: int | None = None
    event: str = ""


@dataclass
class Runner:
    """Starts commands in forked children of one process that has imported everything.

    Args:
        endpoint: The Hub.
        folder: Where its own files go.
    """

    endpoint: str
    folder: Path
    token: str = TOKEN
    _process: subprocess.Popen = field(init=False)

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).parent / "zygote.py")],
            env={**os.environ, "OMP_NUM_THREADS": "1", "HF_TOKEN": self.token},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self._process.stdout.readline() == "ready\n"
        return self

    def __exit__(self, *_: object) -> None:
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait()

    def run(self, *argv: str | Path, home: Path, hub: str | None = None, env: dict | None = None, **job: Any) -> Done:
        """Run a command to its end, whatever that is."""
        out, err = self.folder / "out", self.folder / "err"
        whole = {
            "argv": [*map(str, argv), *(("--hub", hub or self.endpoint) if hub != "" else ())],
            "env": {"SOLO_HUB_HOME": str(home), **(env or {})},
            "cwd": str(self.folder),
            "stdout": str(out),
            "stderr": str(err),
            **job,
        }
        self._process.stdin.write(json.dumps(whole) + "\n")
        self._process.stdin.flush()
        told = json.loads(self._process.stdout.readline())
        said = " ".join(err.read_text("utf-8", "replace").split())
        return Done(out=out.read_text("utf-8", "replace"), err=said, **told)


def settings_of(repos: str = "rel", **changes: Any) -> dict[str, Any]:
    """Settings of the run; `repos` names what it publishes."""
    made = small_settings()
    made["task"] |= {"train_limit": 24, "evaluation_limit": 10}
    made["knowledge"]["passages"] = 3
    made["teacher"]["batch_size"] = 6
    made["evaluation"] |= {"max_new_tokens": 2, "arms": []}
    made["publish"] |= {
        "namespace": "tests", "dataset": f"{repos}-labels", "adapter": f"{repos}-adapter",
        "space": False, "collection": False,
    }  # fmt: skip
    return {**made, **changes}


def write_config(path: Path, settings: dict[str, Any]) -> Path:
    """Write settings where a command reads them."""
    path.write_text(yaml.safe_dump(settings), "utf-8")
    return path


def without_times(value: Any) -> Any:
    """A report without what a clock measured."""
    if isinstance(value, dict):
        return {key: without_times(item) for key, item in value.items() if key not in TIMES and "second" not in key}
    return [without_times(item) for item in value] if isinstance(value, list) else value


def outcome(run: Path) -> dict[str, Any]:
    """All of a finished run that must not depend on how it was interrupted."""
    names = ("1-questions.jsonl", "2-passages.jsonl", "3-labels.jsonl", "4-selected.jsonl", "4-dropped.jsonl")
    return {
        **{name: (run / name).read_bytes() for name in names},
        "predictions": [without_times(row) for row in rows(run / "6-predictions.jsonl")],
        "report": without_times(json.loads((run / "6-report.json").read_text("utf-8"))),
    }


def differences(a: Any, b: Any, place: str = "") -> list[str]:
    """Where two documents differ."""
    if isinstance(a, dict) and isinstance(b, dict):
        keys = [*a, *(key for key in b if key not in a)]
        return [found for key in keys for found in differences(a.get(key), b.get(key), f"{place}.{key}")]
    if isinstance(a, list) and isinstance(b, list) and len(a) == len(b):
        pairs = enumerate(zip(a, b, strict=True))
        return [found for i, pair in pairs for found in differences(*pair, f"{place}[{i}]")]
    return [] if a == b else [f"{place}: {str(a)[:120]} | {str(b)[:120]}"]


def leftovers(run: Path) -> list[str]:
    """Temporary files that a finished run should not hold."""
    return [path.name for path in run.iterdir() if path.name.startswith(".") and path.name not in KEPT]


def versions(endpoint: str, repo_id: str, kind: str, token: str = TOKEN) -> tuple[list[str], int]:
    """Tags of a repo, and how many commits it has beside the one that made it."""
    from huggingface_hub import HfApi

    api = HfApi(endpoint=endpoint, token=token)
    tags = sorted(ref.name for ref in api.list_repo_refs(repo_id, repo_type=kind).tags)
    return tags, len(api.list_repo_commits(repo_id, repo_type=kind)) - 1
