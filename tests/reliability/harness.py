"""Runs of `solo-hub` that things are done to, and what they must agree in afterwards."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from small_hub import WRITE, rows


@dataclass
class Run:
    """A command that was started."""

    nursery: Nursery
    pid: int
    err: Path
    out: Path
    code: int | None = None

    def poll(self) -> int | None:
        """Its exit code, None while it runs; minus the signal where one ended it."""
        if self.code is None:
            self.code = self.nursery.ask({"poll": self.pid})
        return self.code

    def wait(self, seconds: float = 240.0) -> int:
        """Wait for its end; a run that hangs is killed and told."""
        end = time.monotonic() + seconds
        while (code := self.poll()) is None:
            if time.monotonic() > end:
                self.signal(signal.SIGKILL)
                raise AssertionError(f"hung for {seconds} s; said: {self.said[-1000:]}")
            time.sleep(0.01)
        return code

    def signal(self, number: int) -> None:
        """Send a signal, if it still runs."""
        if self.poll() is None:
            os.kill(self.pid, number)

    @property
    def said(self) -> str:
        """Its stderr, white space made one blank."""
        return " ".join(self.err.read_text("utf-8", "replace").split())


class Nursery:
    """Starts commands in processes forked from one that has imported everything; see `nursery.py`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.started = 0
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        script = Path(__file__).with_name("nursery.py")
        self._process = subprocess.Popen(
            [sys.executable, "-W", "ignore", str(script)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=environment,
        )
        assert self._read() == "ready"

    def _read(self) -> Any:
        return json.loads(self._process.stdout.readline())

    def ask(self, what: dict[str, Any]) -> Any:
        """Ask the process."""
        self._process.stdin.write(json.dumps(what) + "\n")
        self._process.stdin.flush()
        return self._read()

    def start(self, *arguments: Any, plan: dict[str, Any] | None = None, folder: Path | None = None, **env: str) -> Run:
        """Start a command; `plan` is for `interference.apply`, `env` is added to the environment."""
        self.started += 1
        out, err = (self.folder / f"{self.started}.{kind}" for kind in ("out", "err"))
        environment = os.environ | {"HF_TOKEN": WRITE, "OMP_NUM_THREADS": "1"} | env
        order = {
            "arguments": [str(argument) for argument in arguments],
            "environment": dict(environment),
            "folder": str(folder or self.folder),
            "out": str(out),
            "err": str(err),
            "plan": plan or {},
        }
        return Run(self, self.ask({"start": order}), err, out)

    def close(self) -> None:
        """End it."""
        self._process.stdin.close()
        self._process.wait(60)
        self._process.stdout.close()


def no_row_twice_or_missing(folder: Path) -> None:
    """Every question has one label and one verdict."""
    asked = [row["id"] for row in rows(folder / "1-questions.jsonl")]
    assert [row["question_id"] for row in rows(folder / "3-labels.jsonl")] == asked
    judged = [row["question_id"] for name in ("selected", "dropped") for row in rows(folder / f"4-{name}.jsonl")]
    assert sorted(judged) == sorted(asked)


def one_version(api: Any, published: dict[str, Any]) -> None:
    """All repos have one version tag, at the commit that the run folder names; one Collection holds them and no other.

    Args:
        api: Of the owner.
        published: `7-published.json` of a run whose Collection has a title of its own.
    """
    for key, kind in (("dataset", "dataset"), ("adapter", "model"), ("space", "space")):
        entry = published[key]
        refs = api.list_repo_refs(entry["repo_id"], repo_type=kind)
        assert {tag.name: tag.target_commit for tag in refs.tags} == {"v1": entry["commit"]}, key
        assert refs.branches[0].target_commit == entry["commit"], key
        assert len(api.list_repo_commits(entry["repo_id"], repo_type=kind)) == 2, key  # made, and filled once
    title, owner = published["collection"]["title"], published["adapter"]["repo_id"].split("/")[0]
    [found] = [found for found in api.list_collections(owner=owner, limit=1000) if found.title == title]
    assert found.slug == published["collection"]["slug"]
    items = api.get_collection(found.slug).items
    assert [(item.item_type, item.item_id) for item in items] == [
        ("model", published["adapter"]["repo_id"]), ("dataset", published["dataset"]["repo_id"]),
        ("space", published["space"]["repo_id"]), ("model", "tests/tiny"),
        ("dataset", "solo-hub/invented-world-corpus"), ("dataset", "solo-hub/invented-world"),
        ("model", "sentence-transformers/all-MiniLM-L6-v2"),
    ]  # fmt: skip
    for item, key in zip(items, ("adapter", "dataset", "space"), strict=False):
        assert published[key]["commit"] in item.note, key
