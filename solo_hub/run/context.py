"""The context of a run: settings, pinned repos, and the models, which are loaded on first use.

`pipeline` passes it to the steps. It writes `config.yaml` of the run folder; `resolution` resolves the settings.
"""

from __future__ import annotations

import datetime as dt
import gc
import sys
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from solo_hub.core import launch
from solo_hub.core.config import Config
from solo_hub.core.console import Console
from solo_hub.core.errors import RunError
from solo_hub.core.plugins import QuestionReader, find
from solo_hub.core.settings import EngineSettings
from solo_hub.hub import tables
from solo_hub.hub.client import HubClient
from solo_hub.hub.connection import Connection
from solo_hub.hub.repos import MODEL_EXTRAS, SMALL_FILES
from solo_hub.hub.unusable import LeftOut, describe_left_out
from solo_hub.models.base_files import BaseFiles
from solo_hub.models.loading import find_device
from solo_hub.models.prompts import PromptBuilder
from solo_hub.run import references, resolution, settings_checks
from solo_hub.run.folder import RunFolder
from solo_hub.run.processes import Processes
from solo_hub.run.references import teacher_role
from solo_hub.run.resolved import Entry, LocalFile, Resolved, UsedEngine
from solo_hub.run.task import make_task
from solo_hub.run.teachers import LOCAL_ENGINE, RunTeacher, is_served

R = TypeVar("R")


class RunContext:
    """Opens a run folder for a configuration.

    Args:
        config: The settings.
        run: The run folder; locked by the caller.
        connect: Opens the Hub, given the references of the repos the run will pull; called on first use.
        console: Where progress is reported.
        update: Accept changed settings and redo the affected steps; completed labels are kept.
        resolved: What the settings were resolved to, to be taken as it is: nothing is read, pinned or written. Without
            it the folder is opened, or the settings are resolved.

    Raises:
        RunError: The folder belongs to another configuration.
        ConfigError: A setting names something that does not exist.
        HubError: A repo is missing, gated, or unreachable.
    """

    def __init__(
        self,
        config: Config,
        run: RunFolder,
        connect: Callable[[list[str]], Connection],
        console: Console,
        *,
        update: bool = False,
        resolved: Resolved | None = None,
    ) -> None:
        self.config, self.run, self.console = config, run, console
        self._left_out: dict[str, list[LeftOut]] = {}
        self._base_checked = False
        self._connect = connect
        self._shared: dict[Any, Any] = {}
        self.resolved = resolved or Resolved(repos={})  # the Hub is asked before anything is resolved
        if resolved is not None:
            return
        if run.has("config"):
            self.resolved = resolution.reopen(run, config, lambda: self.client, console, update=update)
        else:
            run.check_made_here()
            settings_checks.check(config)
            self.resolved = resolution.resolve(config, lambda: self.client)
        self.save()

    # -- config.yaml -------------------------------------------------------------------------------

    @property
    def document(self) -> dict[str, Any]:
        """The content of `config.yaml`."""
        return resolution.document(self.config, self.resolved)

    @cached_property
    def processes(self) -> Processes:
        """The processes that a launcher (`accelerate launch`) started for this run; one without a launcher."""
        return launched(self.config)

    def reread(self) -> None:
        """Reload what the first process has resolved since."""
        self.resolved = resolution.read_resolved(self.run)

    def record(self, **decided: Any) -> None:
        """Record what was decided (fields of `Resolved`) in `config.yaml`."""
        self.resolved = self.resolved.model_copy(update=decided)
        self.save()

    def save(self) -> None:
        """Write `config.yaml`; only the first of several processes does."""
        if self.processes.first:
            resolution.save(self.run, self.document)

    # -- the Hub -----------------------------------------------------------------------------------

    @cached_property
    def connection(self) -> Connection:
        """The Hub, opened on first use."""
        files = {role for role, entry in self.resolved.repos.items() if isinstance(entry, LocalFile)}
        return self._connect(references.repos(self.config, files))

    @cached_property
    def client(self) -> HubClient:
        """The client of the Hub."""
        return self.connection.client()

    def pinned(self, role: str) -> Entry:
        """The resolved entry of a role: a repo with its commit, or a file with its hash."""
        try:
            return self.resolved.repos[role]
        except KeyError:
            raise resolution.not_resolved(self.run, f"it has no entry for {role}") from None

    def source(self, role: str) -> Path:
        """The local folder or file of a role, at the pinned commit.

        Raises:
            RunError: A local file has changed since the run began.
        """
        entry = self.pinned(role)
        if isinstance(entry, LocalFile):
            file = Path(entry.file)
            if not references.is_unchanged(file, entry.sha256):
                raise RunError(
                    f"The file '{file}' has changed since this run began.",
                    hint="Restore it, choose another folder with --run DIR, or redo the affected steps with --update.",
                )
            return file
        with self.console.working(f"fetching {entry.repo_id}"):
            return self.client.pull(entry.on(self.client.endpoint))

    def name_of(self, role: str) -> str:
        """Repo and commit, or file and hash, for cache keys and reports."""
        return self.pinned(role).identity

    def place(self, role: str) -> str:
        """A role's repo or file, for messages."""
        return self.pinned(role).place

    # -- the task -----------------------------------------------------------------------------------

    @cached_property
    def task(self) -> QuestionReader:
        """The task of the configuration; only `evaluation.golds` reads its answers."""
        return make_task(self.config.task, self._class_names)

    def _class_names(self, column: str) -> tuple[str, ...]:
        return tables.class_names(self.source("questions"), split=self.config.task.train_split, column=column)

    # -- shared state of the steps ----------------------------------------------------------------------

    def report_left_out(self, name: str, left_out: Sequence[LeftOut], noun: str) -> None:
        """Write the rows or files that were left out to the run folder, and warn with the first of them.

        Args:
            name: The list's name in `run.LAYOUT`.
            left_out: What was left out; if empty, the file is removed.
            noun: Singular noun for an item.
        """
        if not left_out:
            self.run.file(name).unlink(missing_ok=True)
        else:
            self.run.create()
            self.run.write_rows(name, [item.to_row() for item in left_out])
            self.console.warn(f"{describe_left_out(left_out, noun)} All: {self.run.file(name)}")

    def set_left_out(self, what: str, left_out: list[LeftOut]) -> None:
        """Store what was left out when a role's rows or answers were last read."""
        self._left_out[what] = left_out

    def left_out(self, role: str) -> list[LeftOut]:
        """Rows of a role that were left out when they were last read, including answers."""
        return [*self._left_out.get(role, ()), *self._left_out.get(f"{role} answers", ())]

    def shared(self, kind: Callable[[RunContext], R]) -> R:
        """The run's single object of a kind, created on first use.

        Steps store here what they load once per run (`knowledge.step.RunKnowledge`), since this package cannot import
        them.
        """
        if kind not in self._shared:
            self._shared[kind] = kind(self)
        instance: R = self._shared[kind]
        return instance

    # -- the model ---------------------------------------------------------------------------------

    @cached_property
    def engine(self) -> Any:
        """The base model in this process; the base is its adapter off, the student its adapter on."""
        settings = self.config.engine
        engine = self.new_engine()
        if not self.resolved.engine:
            used = UsedEngine(
                name=self.local_engine,
                # plugin engines need not have these; the GPU's number is that of this process alone
                device=getattr(engine, "device", settings.device).split(":")[0],
                dtype=getattr(engine, "precision", settings.dtype),
                identity=engine.identity,
            )
            self.record(engine=used, engine_settings=settings.model_dump())
        return engine

    def release(self) -> None:
        """Free the models' memory, also on the device, for another process; they are reloaded when needed."""
        for teacher in self.teachers:
            teacher.release()
        for name in ("engine", "builder"):
            self.__dict__.pop(name, None)
        gc.collect()  # models contain reference cycles
        torch = sys.modules.get("torch")
        if torch is not None and torch.cuda.is_available():
            torch.cuda.empty_cache()

    @property
    def placement(self) -> dict[str, Any]:
        """Device and precision of the base: those it had when the run began."""
        used = self.resolved.engine or self.config.engine
        return {"device": used.device, "dtype": used.dtype}

    def new_engine(self, **placed: str) -> Any:
        """A second engine in this process with the base model.

        Args:
            placed: Another `device` or `dtype` than the run's.
        """
        source = self.source("base")
        with self.console.working(f"loading {self.place('base')}"):
            return self.load(source, self.name_of("base"), **placed)

    def load(self, folder: Path, identity: str, **placed: str) -> Any:
        """A model in this process, as the run loads its base."""
        placed = {**self.placement, **placed}
        trusted = self.config.engine.trust_remote_code
        engine = find("engines", self.local_engine)(folder, identity, **placed, trust_remote_code=trusted)
        self.name_classes(engine)
        return self.with_day(engine)

    def with_day(self, engine: Any) -> Any:
        """Set an engine's date for chat templates to that of the run."""
        if hasattr(engine, "chat_day"):
            engine.chat_day = self.chat_day
        return engine

    # -- tokenizer, chat template and generation settings of the base -------------------------------

    @cached_property
    def base_files(self) -> BaseFiles | None:
        """The base's tokenizer, chat template and generation settings; None for engines that do not read them."""
        return self.model_files("base", self.config.engine)

    def model_files(self, role: str, settings: EngineSettings) -> BaseFiles | None:
        """A model's tokenizer, chat template and generation settings; None for engines that do not read them.

        Args:
            role: The model's role in `resolved.repos`.
            settings: Its engine.
        """
        reader = getattr(find("engines", settings.name), "base_files", None)
        if reader is None:
            return None
        files: BaseFiles = reader(
            self.small_files(role), self.name_of(role), self.chat_day, trust_remote_code=settings.trust_remote_code
        )
        dated = self.config.teacher.prompt == "chat" and files.chat.has_template and files.chat.is_dated
        if dated and self.resolved.chat_date is None:
            self.record(chat_date=self.chat_day)
        return files

    @cached_property
    def chat_day(self) -> dt.date:
        """The date for chat templates that print one: that of the run's start, however long it takes.

        Stored in `config.yaml` under `resolved.chat_date` if the template prints one.

        Raises:
            RunError: The stored date is invalid.
        """
        began = self.resolved.created
        day = dt.datetime.fromisoformat(began) if began else dt.datetime.now(dt.UTC)
        return self.resolved.chat_date or day.date()

    def format_key(self, *, written: bool) -> list[str]:
        """Cache key for what answers depend on besides base commit, engine and prompt; empty for most bases.

        Args:
            written: Whether text is generated; scores of given texts do not depend on decoding.
        """
        files = self.base_files
        return [] if files is None else files.key(self.config.teacher.prompt, written=written)

    def check_base(self) -> None:
        """Reject a base whose answers or training would silently be wrong; note which of its settings are ignored.

        Raises:
            ModelError: See `BaseFiles.check`.
        """
        for note in () if self._base_checked else self._check_base():
            self.console.note(note)
        self._base_checked = True

    def _check_base(self) -> list[str]:
        others = [] if self.config.teacher.labels else [t.files for t in self.teachers if not t.is_base]
        notes = []
        for files in (self.base_files, *others):
            if files is not None:
                files.check(self.config.teacher.prompt)
                notes += [note for note in files.notes(self.config.teacher.prompt) if note not in notes]
        return notes

    def small_files(self, role: str) -> Path:
        """A folder with a model's configuration and tokenizer, without downloading its weights."""
        entry = self.pinned(role)
        if isinstance(entry, LocalFile):
            return self.source(role)
        return self.client.pull(entry.on(self.client.endpoint), allow=SMALL_FILES, ignore=MODEL_EXTRAS)

    def cast_for_evaluation(self, engine: Any) -> None:
        """Convert an engine's base weights to the evaluation precision; adapters must be loaded afterwards.

        With `evaluation.dtype=same` nothing is changed: a base published quantized has no other precision.
        """
        if self.config.evaluation.dtype != "same":
            engine.cast(self.config.evaluation.dtype)

    @cached_property
    def classifies(self) -> bool:
        """Whether the student is an encoder with one output per class, which learns from imported labels."""
        return bool(getattr(find("engines", self.config.engine.name), "classifies", False))

    def name_classes(self, engine: Any) -> None:
        """Set an encoder's class names; they are stored in the run and in the trained model."""
        if not self.classifies:
            return
        if self.resolved.classes is None:
            self.record(classes=tuple(getattr(self.task, "classes", ())))
        engine.name_classes(self.resolved.classes)

    @cached_property
    def local_engine(self) -> str:
        """Name of the engine of base and student: that of `engine.name`, unless it is a server's."""
        name = self.config.engine.name
        return LOCAL_ENGINE if is_served(self.config.engine) else name

    @cached_property
    def teachers(self) -> tuple[RunTeacher, ...]:
        """The models that teach: the base, or those that `teacher.base` names."""
        models = self.config.teacher.base or (None,)
        return tuple(RunTeacher(self, teacher_role(number), model) for number, model in enumerate(models))

    @property
    def teacher(self) -> RunTeacher:
        """The first of them."""
        return self.teachers[0]

    def teacher_of(self, role: str) -> RunTeacher | None:
        """The teacher of a role, if it is one's."""
        return next((teacher for teacher in self.teachers if teacher.role == role), None)

    @cached_property
    def builder(self) -> PromptBuilder:
        """The prompt builder of all arms; an encoder reads the text alone."""
        chat = self.config.teacher.prompt == "chat" and not self.classifies
        return PromptBuilder(self.engine.chat if chat else None)


def launched(config: Config) -> Processes:
    """The processes that a launcher started for this run, including this one."""
    if launch.count() == 1:
        return Processes()
    return Processes.here(cpu=find_device(config.engine.device) == "cpu")
