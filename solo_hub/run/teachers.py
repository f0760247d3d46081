"""The models that teach in a run: the base itself, another model, or several; in this process or on a server."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any

from solo_hub.core.config import Config
from solo_hub.core.plugins import Prompt, find
from solo_hub.core.settings import EngineSettings, TeacherModel
from solo_hub.models import adapters
from solo_hub.models.base_files import BaseFiles
from solo_hub.models.prompts import PromptBuilder
from solo_hub.run.references import EARLIER_STUDENT, is_teacher
from solo_hub.run.resolved import Resolved, UsedEngine

if TYPE_CHECKING:
    from solo_hub.run.context import RunContext

LOCAL_ENGINE = "transformers"
"""Runs language models in this process: the student of a served base, and the teacher of an encoder."""


def other_teachers(resolved: Resolved) -> list[str]:
    """Who taught, if not the base alone: roles of repos, or the name of what a server gave for the base.

    Args:
        resolved: The section `resolved` of a run's `config.yaml`.

    Returns:
        Empty if the base taught itself, or if labels were imported.
    """
    repos, engines = resolved.repos, resolved.engines
    failed = resolved.teachers.failed if resolved.teachers else {}
    roles = [role for role in repos if is_teacher(role) and role not in failed]
    if any(role in engines and engines[role].name == "lbl2transformervec" for role in roles):
        return roles  # an embedder, also where the base is an encoder of the same repo
    if roles:
        base = repos["base"].identity
        return [] if all(repos[role].identity == base for role in roles) else roles
    served = engines["teacher"].model if "teacher" in engines else None
    return [served] if served and served != repos["base"].repo_id else []


def teacher_names(resolved: Resolved) -> list[str]:
    """`other_teachers` as a reader knows them: repo ids, or a name on a server."""
    return [resolved.repos[name].place if name in resolved.repos else name for name in other_teachers(resolved)]


def engine_of(config: Config, model: TeacherModel | None) -> EngineSettings:
    """Where a teacher runs: as it says, else as the base; but the engine of an encoder has no language models."""
    if model and model.engine:
        return model.engine
    encoder = getattr(find("engines", config.engine.name), "classifies", False)
    return config.engine.model_copy(update={"name": LOCAL_ENGINE}) if model and encoder else config.engine


def is_served(settings: EngineSettings) -> bool:
    """Whether an engine's models answer through a server."""
    return bool(getattr(find("engines", settings.name), "remote", False))


def asked_here(context: RunContext) -> bool:
    """Whether the teacher can be asked a question in this process: it is one model, and no other one on a server."""
    if context.config.teacher.labels or context.config.teacher.adapter or len(context.teachers) > 1:
        return False
    if not context.teacher.served:
        return True
    return context.teacher.source == "base" and not other_teachers(context.resolved)  # the base here is the same model


class RunTeacher:
    """A model that teaches in a run; loaded on first use.

    Args:
        context: The run.
        role: Its role: of its repo, its engine and its decisions in `resolved`.
        model: The entry of `teacher.base`; None for the base itself.
    """

    def __init__(self, context: RunContext, role: str, model: TeacherModel | None) -> None:
        self.context, self.role = context, role
        self.source = role if model else "base"
        """Role of its repo in `resolved.repos`."""
        self.settings = engine_of(context.config, model)
        self.adapter = EARLIER_STUDENT if context.config.teacher.adapter else None
        """Role of the adapter it wears, if it is a student of an earlier run."""

    @property
    def name(self) -> str:
        """Repo and commit."""
        return self.context.name_of(self.source)

    @cached_property
    def served(self) -> bool:
        """Whether it answers through a server."""
        return is_served(self.settings)

    @cached_property
    def is_base(self) -> bool:
        """Whether it is the base in this process: the weights of the student, its adapter off."""
        same = self.source == "base" or self.name == self.context.name_of("base")
        return same and not self.adapter and not self.served and self.settings == self.context.config.engine

    @cached_property
    def engine(self) -> Any:
        """Its engine; in this process it keeps the device and precision it had when the run began."""
        if self.is_base:
            return self.context.engine
        used, settings = self._used, self.settings
        options: dict[str, Any] = (
            {"settings": settings}
            if self.served
            else {
                "device": (used or settings).device,
                "dtype": (used or settings).dtype,
                "trust_remote_code": settings.trust_remote_code,
            }
        )
        folder = self.context.source(self.source)
        with self.context.console.working(f"loading {self.context.place(self.source)}"):
            engine = find("engines", settings.name)(folder, self.name, **options)
        self.context.with_day(engine)
        self._wear_adapter(engine)
        if not used:
            used = UsedEngine(
                name=settings.name,
                identity=engine.identity + (f" {self.context.name_of(self.adapter)}" if self.adapter else ""),
                **({"model": named} if (named := getattr(engine, "model_name", None)) else {}),
                **({} if self.served else {"device": engine.device.split(":")[0], "dtype": engine.precision}),
                settings=settings.model_dump(),
            )
            self.context.record(engines={**self.context.resolved.engines, self.role: used})
        return engine

    def _wear_adapter(self, engine: Any) -> None:
        if self.adapter:
            adapters.load(engine, self.context.source(self.adapter))

    def cast_for_evaluation(self) -> None:
        """Convert to the evaluation precision; that discards an adapter, so it is loaded again."""
        self.context.cast_for_evaluation(self.engine)
        self._wear_adapter(self.engine)

    @property
    def identity(self) -> str:
        """Model and commit, engine, precision; does not load it in a resumed run."""
        used = self._used
        if used is None:
            self.engine  # noqa: B018 - records it
            used = self._used
        return (used and used.identity) or str(self.engine.identity)

    @property
    def _used(self) -> UsedEngine | None:
        return self.context.resolved.engine if self.is_base else self.context.resolved.engines.get(self.role)

    @contextmanager
    def weights(self) -> Iterator[None]:
        """Answer as the teacher: the base without its adapter; another model is freed afterwards."""
        if self.is_base:
            with self.engine.adapter(False):
                yield
            return
        try:
            yield
        finally:
            if not self.served:
                self.release()

    def release(self) -> None:
        """Free its memory; it is loaded again when needed."""
        for name in ("engine", "builder"):
            self.__dict__.pop(name, None)

    def has_logprobs(self) -> bool:
        """Whether its engine returns log-probabilities, tested with a request."""
        return self.engine.score([Prompt("Answer:")], [[" yes"]])[0] is not None

    @cached_property
    def builder(self) -> PromptBuilder:
        """Builder of its prompts."""
        if self.is_base:
            return self.context.builder
        return PromptBuilder(self.engine.chat if self.context.config.teacher.prompt == "chat" else None)

    @cached_property
    def files(self) -> BaseFiles | None:
        """Its tokenizer, chat template and generation settings; None for engines that do not read them."""
        if self.source == "base":
            return self.context.base_files
        return self.context.model_files(self.source, self.settings)

    def format_key(self, *, written: bool) -> list[str]:
        """Cache key for what its answers depend on besides commit, engine and prompt; see `BaseFiles.key`."""
        return [] if self.files is None else self.files.key(self.context.config.teacher.prompt, written=written)
