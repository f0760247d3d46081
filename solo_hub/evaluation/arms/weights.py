"""The weights of an arm: the base, the student's adapter, or any adapter or model of the Hub or a folder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from solo_hub.core.errors import ModelError
from solo_hub.core.plugins import find
from solo_hub.models import adapters
from solo_hub.models.answering import NotNumbersError
from solo_hub.models.prompts import PromptBuilder
from solo_hub.run import arm_bases, references
from solo_hub.run.arm_bases import ADAPTER_CONFIG, ADAPTER_WEIGHTS
from solo_hub.run.context import RunContext
from solo_hub.student import controls
from solo_hub.student.control_labels import CONTROLS


def evaluation_engine(context: RunContext) -> Any:
    """The run's engine with the student's adapter beside it, in the precision of the evaluation."""
    engine = context.engine
    context.cast_for_evaluation(engine)
    adapters.load(engine, context.run.file("adapter"))
    return engine


def identity(context: RunContext, weights: str) -> str:
    """What answers depend on besides the run's own base: a repo and commit or a hash, and its own base's commit."""
    if weights in ("student", *CONTROLS):
        return references.sha256(
            context.run.file("adapter") if weights == "student" else controls.folder(context, weights)
        )
    if weights in (teacher.role for teacher in context.teachers):
        return context.name_of("base")  # a teacher's decisions, which name it, are hashed beside
    base = arm_bases.role_of_base(weights)
    return " on ".join(
        context.name_of(role) for role in (weights, base) if role == weights or base in context.resolved.repos
    )


def pin_bases(context: RunContext) -> None:
    """Pin the bases that arms bring along, in a run that was resolved before that was done at its beginning."""
    repos = context.resolved.repos
    own = {role: entry for role, entry in repos.items() if role in references.references_of(context.config)}
    if found := arm_bases.pin_all(own, repos, lambda: context.client):
        context.record(repos={**repos, **found})


@contextmanager
def arm_model(context: RunContext, weights: str) -> Iterator[tuple[Any, PromptBuilder]]:
    """The engine with an arm's weights on, and the builder of its prompts.

    Args:
        context: The run.
        weights: `base`, `student`, the role of a teacher, a control student, or a role of `resolved.repos` that names
            an adapter or a model.

    Raises:
        ModelError: It is neither, or does not fit the base.
    """
    if weights in ("base", "student"):
        engine = evaluation_engine(context)
        blamed = adapter_errors(context.run.file("adapter")) if weights == "student" else nullcontext()
        with blamed, engine.adapter(weights == "student"):
            yield engine, context.builder
        return
    if teacher := context.teacher_of(weights):
        if teacher.is_base:
            evaluation_engine(context)
        elif not teacher.served:
            teacher.cast_for_evaluation()
        with teacher.weights():
            yield teacher.engine, teacher.builder
        return
    if weights in CONTROLS:
        engine, folder = evaluation_engine(context), controls.folder(context, weights)
        with adapter_errors(folder), adapters.other_adapter(engine, folder, weights), engine.adapter(True):
            yield engine, context.builder
        return
    folder = context.source(weights)
    if not (folder / ADAPTER_CONFIG).is_file():
        engine = _load(context, folder, context.name_of(weights))
        yield engine, _builder(context, engine)
        return
    arm_bases.check_files({path.name for path in folder.iterdir()}, context.place(weights))
    base, revision = arm_bases.base_named_in(folder)
    ours = context.resolved.repos["base"]
    if base is None or base == ours.repo_id:
        if revision and ours.commit and len(revision) == len(ours.commit) and revision != ours.commit:
            context.console.warn(f"{context.place(weights)} was trained on commit {revision[:7]} of the base.")
        engine = evaluation_engine(context)
        with adapter_errors(folder), adapters.other_adapter(engine, folder, weights), engine.adapter(True):
            yield engine, context.builder
        return
    # an adapter of another base brings its base along, at the commit it names
    role = arm_bases.role_of_base(weights)
    engine = _load(context, context.source(role), context.name_of(role))
    adapters.load(engine, folder)
    with adapter_errors(folder):
        yield engine, _builder(context, engine)


@contextmanager
def adapter_errors(folder: Path) -> Iterator[None]:
    """Attribute non-finite scores to the adapter: the model's or its adapter's weights overflow."""
    try:
        yield
    except NotNumbersError as error:
        raise ModelError(
            f"{error.message.rstrip('.')} with '{folder / ADAPTER_WEIGHTS}', whose weights are broken or too large.",
            hint="Delete that folder and run the same command to train it again, or use another adapter.",
        ) from error


def _load(context: RunContext, folder: Path, identity: str) -> Any:
    """Another model, as the run's settings load models."""
    if (files := getattr(find("engines", context.local_engine), "base_files", None)) is not None:
        trusted = context.config.engine.trust_remote_code
        files(folder, identity, context.chat_day, trust_remote_code=trusted).check(context.config.teacher.prompt)
    engine = context.load(folder, identity)
    context.cast_for_evaluation(engine)
    return engine


def _builder(context: RunContext, engine: Any) -> PromptBuilder:
    return PromptBuilder(engine.chat if context.config.teacher.prompt == "chat" else None)
