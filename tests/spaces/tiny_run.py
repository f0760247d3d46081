"""Three questions, a corpus of three sentences, a Hub of folders: what the run of these tests is made of."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import yaml

from solo_hub.core.errors import RepoMissingError
from solo_hub.core.records import Question
from solo_hub.evaluation.comparison.cases import ARMS
from solo_hub.hub.repos import Pinned, Pushed

ADAPTER = "me/tiny-solo-adapter"
COMMIT = "a" * 40
HOSTILE = "<img src=x onerror=alert(1)> ${value} {{value}} `x` @children"
CORPUS = ["The bear of the north sleeps in caves.", "Melting snow makes the river rise.", HOSTILE]
QUESTIONS = [
    Question("q1", "Which animal sleeps all winter?", ("the bear", "the river")),
    Question("q2", "What makes the river rise in spring?", ("frost", "melting snow")),
    Question("q3", HOSTILE, ("fog", "hail")),
]
# who was right:      base   teacher student
RIGHT = {"q1": (False, True, True), "q2": (True, False, False), "q3": (False, False, False)}


class WordEmbedder:
    """A text is the set of its words, each hashed to one of 64 places."""

    def __init__(self, path, identity):
        self.identity = identity

    def embed(self, texts, progress=None):
        vectors = np.full((len(texts), 64), 1e-3, dtype=np.float32)
        for row, text in enumerate(texts):
            for word in text.lower().strip(".?").split():
                vectors[row, hashlib.md5(word.encode()).digest()[0] % 64] += 1
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@dataclass
class FakeClient:
    """A Hub of folders: repo id -> folder; remembers what was pushed."""

    repos: dict[str, Path]
    endpoint: str = "https://hub.test"
    pushed: list[tuple] = field(default_factory=list)
    may_write: list[str] = field(default_factory=list)

    def pin(self, reference, type):  # noqa: A002 - as the client has it
        repo_id = reference.split("@")[0]
        if repo_id not in self.repos:
            raise RepoMissingError(f"no {repo_id}")
        return Pinned(repo_id, type, "main", COMMIT, "apache-2.0", self.endpoint)

    def pull(self, pinned, *, allow=None, ignore=None):
        return self.repos[pinned.repo_id]

    def require_write(self, namespace=None):
        self.may_write.append(namespace)
        return namespace

    def push(self, folder, repo_id, type, *, message, private=False, next_version_tag=True, tag=None):  # noqa: A002
        files = {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}
        self.pushed.append((repo_id, type, files, message, private, next_version_tag))
        return Pushed(repo_id, type, "b" * 40, tag, f"{self.endpoint}/spaces/{repo_id}", changed=True)


@dataclass
class FakeConnection:
    made: FakeClient

    def client(self):
        return self.made


def report():
    share = {"value": 1 / 3, "low": 0.06, "high": 0.79, "n": 3}
    seconds = {"p50": 0.1, "p95": 0.2}
    arms = {arm: {"accuracy": share, "seconds_per_question": seconds, "passages": arm == "teacher"} for arm in ARMS}
    pair = {"n": 3, "only_first": 1, "only_second": 1, "difference": {"value": 0.0, "low": -0.5, "high": 0.5, "n": 3}}
    return {
        "format_version": 1, "run": "tiny", "base": "tests/tiny", "task": "multiple_choice", "n_questions": 3,
        "arms": arms, "paired": {"student_vs_base": {**pair, "p_value": 1.0}},
    }  # fmt: skip


def write_config(path, **settings):
    """A resolved configuration whose every repo is on the fake Hub."""
    from solo_hub.core.config import build

    data = {
        "name": "tiny", "base": "tests/tiny",
        "task": {"name": "multiple_choice", "questions": "tests/questions"},
        "knowledge": {"source": "tests/corpus", "embedding_model": "tests/embedder", "passages": 2},
        "evaluation": {"max_new_tokens": 4},
        **settings,
    }  # fmt: skip
    entry = {"revision": "main", "commit": COMMIT, "license": "apache-2.0"}
    roles = {"base": ("tests/tiny", "model"), "questions": ("tests/questions", "dataset"),
             "evaluation_questions": ("tests/questions", "dataset"), "knowledge": ("tests/corpus", "dataset"),
             "embedder": ("tests/embedder", "model"), "bert_score_model": ("tests/embedder", "model")}  # fmt: skip
    repos = {role: {"repo_id": repo, "type": kind, **entry} for role, (repo, kind) in roles.items()}
    # trained on a GPU that is not here
    resolved = {"endpoint": "https://hub.test", "repos": repos, "teacher": {"style": "text"},
                "engine": {"name": "transformers", "device": "cuda", "dtype": "bfloat16", "identity": "x"}}  # fmt: skip
    document = {"config_version": 1, "settings": build(data).model_dump(mode="json"), "resolved": resolved}
    path.write_text(yaml.safe_dump(document))
