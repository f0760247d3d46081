"""What a run pulls: the repos and files its settings name, by the roles they play."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from solo_hub.core.config import Config
from solo_hub.core.errors import InputError
from solo_hub.hub import tables
from solo_hub.hub.repos import MODEL_FILES, RepoType
from solo_hub.models.experts import Recipe

ARM = "arm_"
"""Beginning of the role of an arm that names a repo or a folder."""

_NOT_LOADED = {"training.json", "provenance.json"}
"""What solo-hub puts beside an adapter, and no answer depends on."""


def of(config: Config) -> dict[str, tuple[str, RepoType]]:
    """Role -> (reference, repo type), in the order of the configuration."""
    evaluation = config.evaluation
    named = (arm.partition("=") for arm in evaluation.arms)
    held_out, knowledge = config.task.evaluation_questions or config.task.questions, config.knowledge.source
    reads = bool(config.knowledge.passages or config.writers)
    found: dict[str, tuple[str, RepoType]] = {
        "base": (config.base, "model"),
        **({"questions": (config.task.questions, "dataset")} if config.task.questions else {}),
        **({"evaluation_questions": (held_out, "dataset")} if held_out else {}),
        **({"knowledge": (knowledge, "dataset")} if knowledge and reads else {}),
        "embedder": (config.knowledge.embedding_model, "model"),  # of the passages, and of the report's map
        "bert_score_model": (evaluation.bert_score_model, "model"),
        **{f"{ARM}{name}": (reference, "model") for name, given, reference in named if given},
    }
    if evaluation.forgetting and evaluation.general_text:
        found["general_text"] = (evaluation.general_text, "dataset")
    if evaluation.forgetting and evaluation.second_task:
        found["second_task"] = (evaluation.second_task, "dataset")
    if config.teacher.labels:
        found["labels"] = (config.teacher.labels, "dataset")
    return found


def local(role: str, reference: str, kind: RepoType) -> Path | None:
    """The file or folder on this machine that a reference means, or None when it means a repo.

    Raises:
        InputError: It is meant as a file or folder, and there is none.
    """
    if role == "knowledge" and (folder := Path(reference).expanduser()).exists():
        return folder  # a folder of documents, or a document
    path = Path(reference).expanduser()
    if role == "knowledge" and reference.endswith("/"):
        raise InputError(
            "no such folder.", file=reference, hint="Check the path, or give a dataset repo as OWNER/NAME."
        )
    if kind == "dataset":
        return tables.local_file(reference)
    if not role.startswith(ARM):
        return None
    if path.is_dir():
        return path
    if reference.startswith((".", "/", "~")):
        raise InputError("no such folder.", file=reference, hint="Give an adapter's folder, or a repo as OWNER/NAME.")
    return None


def repos(config: Config) -> list[str]:
    """The references that mean repos."""
    return [reference for role, (reference, kind) in of(config).items() if local(role, reference, kind) is None]


def sha256(path: Path) -> str:
    """Hash of a file; of a folder, of what it stands for.

    That is of a model's folder all that loading it reads (weights, configuration, tokenizer), the manifest of an index
    (which holds its content's hash), and every file with its name of a folder of documents, hidden ones aside.
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
            digest.update(f"{relative.as_posix()}\0{tables.sha256_of(file)}\n".encode())
    return digest.hexdigest()


def is_unchanged(entry: Mapping[str, Any]) -> bool:
    """Whether a file or folder of `resolved.repos` is what it was when the run was resolved.

    Of a model's folder runs made before 0.2 kept a hash of the weights alone.
    """
    path = Path(entry["file"])
    if not path.exists():
        return False
    weights = sorted(path.glob("*.safetensors")) if path.is_dir() else []
    of_weights = hashlib.sha256("".join(map(tables.sha256_of, weights)).encode()).hexdigest() if weights else None
    return entry["sha256"] in (sha256(path), of_weights)


def is_resolved(document: Any) -> bool:
    """Whether `resolved` of a run's `config.yaml` is what a run writes: repos with commits, files with hashes."""
    if not isinstance(document, dict) or not isinstance(document.get("repos"), dict):
        return False
    if not all(isinstance(document.get(name, {}), dict) for name in ("engine", "engine_settings", "teacher")):
        return False
    teacher = document.get("teacher", {"style": "", "settings": {}})
    endpoint = document.get("endpoint")
    return (
        isinstance(teacher.get("style"), str)
        and isinstance(teacher.get("settings", {}), dict)
        and _is_recipe(teacher.get("recipe", {"style": ""}))
        and _are_examples(teacher.get("examples", []))
        and (endpoint is None or isinstance(endpoint, str))
        and all(isinstance(role, str) and _is_entry(entry) for role, entry in document["repos"].items())
    )


def _is_recipe(recipe: Any) -> bool:
    """Whether it is how a teacher answers, as `models.experts.Recipe` is written."""
    known = {field.name for field in dataclasses.fields(Recipe)}
    if not isinstance(recipe, dict) or not isinstance(recipe.get("style"), str) or not recipe.keys() <= known:
        return False
    numbers = [value for name, value in recipe.items() if name != "style"]
    return all(isinstance(value, int | float) and not isinstance(value, bool) for value in numbers)


def _are_examples(examples: Any) -> bool:
    return isinstance(examples, list) and all(
        isinstance(pair, list) and len(pair) == 2 and isinstance(pair[0], dict)  # noqa: PLR2004 - question and answer
        for pair in examples
    )


def _is_entry(entry: Any) -> bool:
    if not isinstance(entry, dict):
        return False
    needed = ("file", "sha256") if "file" in entry else ("repo_id", "type", "revision", "commit")
    free = (entry.get(name) for name in ("license", "license_name", "license_link", "reference"))
    languages = entry.get("language", [])
    if not isinstance(languages, list) or not all(isinstance(language, str) for language in languages):
        return False
    return all(isinstance(entry.get(name), str) and entry[name].isprintable() for name in needed) and all(
        value is None or isinstance(value, str) for value in free
    )
