"""The whole path in this process, with a Hub and an engine that cost nothing: for thousands of inputs.

What is read, checked, written and refused is the real thing; only the models and the wire are not.
"""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from tiny import FakeEngine, shares_words

from solo_hub.cli import options
from solo_hub.core import plugins
from solo_hub.core.errors import RepoMissingError, SoloHubError
from solo_hub.evaluation import step as evaluation_step
from solo_hub.evaluation.arms import weights as arm_weights
from solo_hub.hub.repos import Pinned
from solo_hub.knowledge import source as knowledge_base
from solo_hub.knowledge import step as knowledge_step
from solo_hub.run import context as run_context
from solo_hub.student import step as student_step

ARM_MODEL = arm_weights.arm_model
"""The real one."""


class AcceptedError(SoloHubError):
    """The input was good: the run went on to where a model would be trained or asked."""


class HashEmbedder:
    """Texts become vectors by the hashes of their words."""

    dimension = 16

    def __init__(self, _: Path, identity: str) -> None:
        self.identity = identity

    def embed(self, texts: Any, progress: Any = None) -> Any:
        vectors = np.zeros((len(texts), self.dimension), dtype=np.float32)
        for row, text in enumerate(texts):
            for word in text.casefold().split():
                vectors[row, hashlib.md5(word.encode(errors="replace")).digest()[0] % self.dimension] += 1
        if progress:
            progress(len(texts))
        return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)


class Engine(FakeEngine):
    """The engine that reads, with what a run_context asks of it."""

    device, dtype, precision, chat = "cpu", "float32", "float32", None

    def adapter(self, on: Any) -> Any:
        import contextlib

        return contextlib.nullcontext(self)


@dataclass
class FakeClient:
    """A Hub that has the folders it is given."""

    folders: dict[str, Path]
    pushes: list[str] = field(default_factory=list)
    endpoint: str = "http://127.0.0.1:1"
    cache: Path | None = None

    def pin(self, reference: str, kind: str) -> Pinned:
        from solo_hub.hub.repos import parse_reference

        repo_id, _ = parse_reference(reference)
        if repo_id not in self.folders:
            raise RepoMissingError(f"There is no {kind} '{repo_id}'.")
        row = {"repo_id": repo_id, "type": kind, "revision": "main", "commit": "0" * 40, "license": "apache-2.0"}
        return Pinned.from_row(row, self.endpoint)

    def pull(self, pinned: Pinned, **_: Any) -> Path:
        if pinned.repo_id not in self.folders:
            raise RepoMissingError(f"There is no repo '{pinned.repo_id}'.")
        return self.folders[pinned.repo_id]

    def file_sizes(self, pinned: Pinned) -> dict[str, int]:
        folder = self.pull(pinned)
        return {str(path.relative_to(folder)): path.stat().st_size for path in folder.rglob("*") if path.is_file()}

    def require_write(self, namespace: str | None = None) -> str:
        return namespace or "ann"

    def is_private(self, repo_id: str, kind: str) -> None:
        return None

    def latest(self, repo_id: str, kind: str) -> None:
        return None

    def tag_version(self, *_: Any) -> str:
        raise AssertionError("nothing is there to be tagged")

    def client(self, **_: Any) -> FakeClient:
        return self

    def push(self, folder: Path, repo_id: str, *_: Any, **__: Any) -> Any:
        self.pushes.append(repo_id)
        raise AcceptedError("Accepted: published.")


def furnish(monkeypatch: Any, door: FakeClient) -> None:
    """Put Hub, embedder and engine in the place of the real ones."""
    real = plugins.find
    engine = Engine(judge=shares_words)

    def find(group: str, name: str) -> Any:
        found = real(group, name)
        if group == "embedders":
            return HashEmbedder
        if group == "engines":
            return lambda *_, **__: engine
        return found

    def accept(*_: Any, **__: Any) -> None:
        raise AcceptedError("Accepted: on to the model.")

    monkeypatch.setattr(run_context, "find", find)
    monkeypatch.setattr(knowledge_base, "find", find)
    monkeypatch.setattr(knowledge_step, "find", find)
    monkeypatch.setattr(options, "connect", lambda config, needs, console: door)
    monkeypatch.setattr(student_step.training, "train", accept)
    monkeypatch.setattr(evaluation_step, "build_report", accept)  # it asks a model, too, for BERTScore
    monkeypatch.setattr(arm_weights, "arm_model", accept)


def furnish_model(monkeypatch: Any) -> None:
    """After `furnish`: the real engine and the real reading of adapters; accepted is what answers all questions."""

    def accept(*_: Any, **__: Any) -> None:
        raise AcceptedError("Accepted: every question has its answers.")

    beside = run_context.find
    monkeypatch.setattr(
        run_context, "find", lambda group, name: (plugins.find if group == "engines" else beside)(group, name)
    )
    monkeypatch.setattr(arm_weights, "arm_model", ARM_MODEL)


def copy_tree(source: Path, target: Path) -> Path:
    """A fresh copy in the same place."""
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target)
    return target
