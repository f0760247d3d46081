"""A run that takes seconds, and a way to start it hundreds of times, to kill it, and to compare what is left."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from small_hub import small_settings

TOKEN = "hf_reliabilityPLANTEDsecretTOKEN01"
"""Long enough for every pattern of a token: wherever it is found in a file, it has leaked."""
KEPT = {".lock", ".sums.json", ".6-answers.jsonl"}  # the lock, and answers that were paid for


@dataclass
class Done:
    """How a command ended.

    Attributes:
        code: Exit code; negative for the signal that ended it.
        out: What stood on stdout.
        err: What stood on stderr, blanks and line ends joined.
    """

    code: int
    out: str
    err: str


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


def leftovers(run: Path) -> list[str]:
    """Temporary files that a finished run should not hold."""
    return [path.name for path in run.iterdir() if path.name.startswith(".") and path.name not in KEPT]


def versions(endpoint: str, repo_id: str, kind: str, token: str = TOKEN) -> tuple[list[str], int]:
    """Tags of a repo, and how many commits it has beside the one that made it."""
    from huggingface_hub import HfApi

    api = HfApi(endpoint=endpoint, token=token)
    tags = sorted(ref.name for ref in api.list_repo_refs(repo_id, repo_type=kind).tags)
    return tags, len(api.list_repo_commits(repo_id, repo_type=kind)) - 1
