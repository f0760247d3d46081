"""The repos and files that a run's settings refer to, by role."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Container
from pathlib import Path

from solo_hub.core.config import Config
from solo_hub.core.errors import InputError
from solo_hub.core.paths import expanded
from solo_hub.hub import tables
from solo_hub.hub.repos import MODEL_FILES, RepoType

ARM = "arm_"
"""Prefix of the roles of arms that are repos or folders."""

EARLIER_STUDENT = "earlier_student"
"""The role of an adapter that teaches (`teacher.adapter`)."""

_NOT_LOADED = {"training.json", "provenance.json"}
"""Files that solo-hub writes next to an adapter and that do not affect answers."""


def teacher_role(number: int) -> str:
    """The role of a teacher: of its repo, of its engine and of how it answers.

    >>> teacher_role(0), teacher_role(1)
    ('teacher', 'teacher_2')
    """
    return f"teacher_{number + 1}" if number else "teacher"


def is_teacher(role: str) -> bool:
    """Whether a role is that of a teacher.

    >>> is_teacher("teacher_2"), is_teacher("teachers")
    (True, False)
    """
    return re.fullmatch(r"teacher(_\d+)?", role) is not None


def references_of(config: Config) -> dict[str, tuple[str, RepoType]]:
    """Role -> (reference, repo type), in the order of the configuration."""
    evaluation = config.evaluation
    named = (arm.partition("=") for arm in evaluation.arms)
    held_out, knowledge = config.task.evaluation_questions or config.task.questions, config.knowledge.source
    reads = bool(config.knowledge.passages or config.writers)
    references: dict[str, tuple[str, RepoType]] = {
        "base": (config.base, "model"),
        **{teacher_role(number): (model.base, "model") for number, model in enumerate(config.teacher.base)},
        **({"questions": (config.task.questions, "dataset")} if config.task.questions else {}),
        **({"evaluation_questions": (held_out, "dataset")} if held_out else {}),
        **({"knowledge": (knowledge, "dataset")} if knowledge and reads else {}),
        "embedder": (config.knowledge.embedding_model, "model"),  # for the passages and the report's map
        "bert_score_model": (evaluation.bert_score_model, "model"),
        **{f"{ARM}{name}": (reference, "model") for name, given, reference in named if given},
    }
    if evaluation.forgetting and evaluation.general_text:
        references["general_text"] = (evaluation.general_text, "dataset")
    if evaluation.forgetting and evaluation.second_task:
        references["second_task"] = (evaluation.second_task, "dataset")
    if config.teacher.adapter:
        references[EARLIER_STUDENT] = (config.teacher.adapter, "model")
    if config.teacher.labels:
        references["labels"] = (config.teacher.labels, "dataset")
    return references


def local(role: str, reference: str, kind: RepoType) -> Path | None:
    """The local file or folder of a reference, or None if it is a repo.

    Raises:
        InputError: It is a path that does not exist.
    """
    path = expanded(reference)
    if role == "knowledge" and path.exists():
        return path  # a folder of documents, or a document
    if role == "knowledge" and reference.endswith("/"):
        raise InputError("no such folder.", file=reference, hint="Check the path, or use a dataset repo as OWNER/NAME.")
    if kind == "dataset":
        if "/" not in reference and not path.exists():
            raise InputError(
                "no such file or folder.", file=reference, hint="Check the path; a dataset repo is OWNER/NAME."
            )
        return tables.local_file(reference)
    if not role.startswith(ARM) and role != EARLIER_STUDENT:
        return None
    if path.is_dir():
        return path
    if reference.startswith((".", "/", "~")):
        raise InputError("no such folder.", file=reference, hint="Use an adapter's folder, or a repo as OWNER/NAME.")
    return None


def repos(config: Config, files: Container[str] = ()) -> list[str]:
    """The references that are repos.

    Args:
        config: The settings.
        files: Roles known to be files or folders, which need not be here: a published run may name documents that lie
            where it was made.
    """
    return [
        reference
        for role, (reference, kind) in references_of(config).items()
        if role not in files and local(role, reference, kind) is None
    ]


def sha256(path: Path) -> str:
    """Hash of a file, or of the relevant content of a folder.

    For a model: the files that are loaded (weights, configuration, tokenizer). For an index: its manifest, which has a
    hash of the content. For a folder of documents: every file with its name, except hidden ones.
    """
    if path.is_file():
        return tables.sha256_of(path)
    digest = hashlib.sha256()
    if any(path.glob("*.safetensors")):
        names = sorted({file.name for pattern in MODEL_FILES for file in path.glob(pattern)} - _NOT_LOADED)
        digest.update("".join(f"{name}\0{tables.sha256_of(path / name)}\n" for name in names).encode())
        return digest.hexdigest()
    if (path / "manifest.json").is_file():
        digest.update(tables.sha256_of(path / "manifest.json").encode())
        return digest.hexdigest()
    for file in sorted(path.rglob("*")):
        relative = file.relative_to(path)
        if file.is_file() and not any(part.startswith(".") for part in relative.parts):
            digest.update(f"{relative.as_posix()}\0{tables.sha256_of(file)}\n".encode(errors="surrogateescape"))
    return digest.hexdigest()


def is_unchanged(path: Path, known: str) -> bool:
    """Whether a file or folder of `resolved.repos` still has the hash it was resolved with.

    Runs made before 0.2 hashed only the weights of a model's folder.
    """
    if not path.exists():
        return False
    weights = sorted(path.glob("*.safetensors")) if path.is_dir() else []
    of_weights = hashlib.sha256("".join(map(tables.sha256_of, weights)).encode()).hexdigest() if weights else None
    return known in (sha256(path), of_weights)
