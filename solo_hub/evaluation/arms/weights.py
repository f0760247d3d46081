"""Which weights answer for an arm: the base, the student's adapter, or any adapter or model of the Hub or a folder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from solo_hub.core.errors import ModelError
from solo_hub.core.parsing import parse_json
from solo_hub.core.plugins import find
from solo_hub.hub.repos import parse_reference
from solo_hub.models import adapters
from solo_hub.models.answering import NotNumbersError
from solo_hub.models.prompts import PromptBuilder
from solo_hub.run.context import LOCAL_ENGINE, Workbench
from solo_hub.student import controls
from solo_hub.student.control_labels import CONTROLS

ADAPTER_CONFIG, ADAPTER_WEIGHTS = "adapter_config.json", "adapter_model.safetensors"


def ready(bench: Workbench) -> Any:
    """The run's engine with the student's adapter beside it, in the precision of the evaluation."""
    engine = bench.engine
    bench.cast_for_evaluation(engine)
    adapters.load(engine, bench.run.file("adapter"))
    return engine


@contextmanager
def wearing(bench: Workbench, weights: str) -> Iterator[tuple[Any, PromptBuilder]]:
    """The engine with an arm's weights on, and the builder of its prompts.

    Args:
        bench: The run.
        weights: `base`, `student`, a control student, or a role of `resolved.repos` that names an adapter or a model.

    Raises:
        ModelError: It is neither, or does not fit the base.
    """
    if weights in ("base", "student"):
        engine = ready(bench)
        blamed = _blamed(bench.run.file("adapter")) if weights == "student" else nullcontext()
        with blamed, engine.adapter(weights == "student"):
            yield engine, bench.builder
        return
    if weights in CONTROLS:
        engine, folder = ready(bench), controls.folder(bench, weights)
        with _blamed(folder), adapters.beside(engine, folder, weights), engine.adapter(True):
            yield engine, bench.builder
        return
    folder = bench.source(weights)
    if not (folder / ADAPTER_CONFIG).is_file():
        engine = _load(bench, folder, bench.name_of(weights))
        yield engine, _builder(bench, engine)
        return
    if not (folder / ADAPTER_WEIGHTS).is_file():
        raise ModelError(
            f"The adapter {bench.place(weights)} has no {ADAPTER_WEIGHTS}.",
            hint="Other formats can run code when loaded; choose one with safetensors.",
        )
    base, revision = _base_of(folder)
    ours = bench.resolved["repos"]["base"]
    if base is None or base == ours.get("repo_id"):
        if revision and ours.get("commit") and len(revision) == len(ours["commit"]) and revision != ours["commit"]:
            bench.console.warn(f"{bench.place(weights)} was trained on commit {revision[:7]} of the base.")
        engine = ready(bench)
        with _blamed(folder), adapters.beside(engine, folder, weights), engine.adapter(True):
            yield engine, bench.builder
        return
    # an adapter of another base brings its base along, at the commit it names
    role = f"{weights}_base"
    if role not in bench.resolved["repos"]:
        reference = f"{base}@{revision}" if revision else base
        bench.resolved["repos"][role] = {**bench.door.pin(reference, "model").to_row(), "reference": reference}
        bench.save()
    engine = _load(bench, bench.source(role), bench.name_of(role))
    adapters.load(engine, folder)
    with _blamed(folder):
        yield engine, _builder(bench, engine)


@contextmanager
def _blamed(folder: Path) -> Iterator[None]:
    """Scores that are no numbers are the adapter's doing: the base alone has given some."""
    try:
        yield
    except NotNumbersError as error:
        raise ModelError(
            f"{error.message.rstrip('.')} with '{folder / ADAPTER_WEIGHTS}', whose weights are broken or too large.",
            hint="Delete that folder and run the same command again to train it anew, or choose another adapter.",
        ) from error


def _base_of(folder: Path) -> tuple[str | None, str | None]:
    """Repo and revision an adapter names as its base; None for one it does not name as a repo."""
    try:
        config = parse_json((folder / ADAPTER_CONFIG).read_text("utf-8"))
        name, revision = config.get("base_model_name_or_path"), config.get("revision")
    except (OSError, ValueError, AttributeError) as error:
        raise ModelError(f"'{folder / ADAPTER_CONFIG}' cannot be read.", hint="Choose another adapter.") from error
    if not isinstance(name, str) or name.startswith(("/", ".", "~")) or name.count("/") > 1:
        return None, None
    repo, _ = parse_reference(name) if name else (None, "")
    return repo, revision if isinstance(revision, str) else None


def _load(bench: Workbench, folder: Path, identity: str) -> Any:
    """Another model, as the run's settings load models."""
    settings, wanted = bench.config.engine, bench.resolved.get("engine") or {}
    engine = find("engines", LOCAL_ENGINE if bench.served else settings.name)(
        folder,
        identity,
        device=wanted.get("device", settings.device),
        dtype=wanted.get("dtype", settings.dtype),
        trust_remote_code=settings.trust_remote_code,
    )
    bench.name_classes(engine)
    bench.cast_for_evaluation(engine)
    return engine


def _builder(bench: Workbench, engine: Any) -> PromptBuilder:
    return PromptBuilder(engine.chat if bench.config.teacher.prompt == "chat" else None)
