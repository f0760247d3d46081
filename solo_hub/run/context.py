"""What the steps of a run have at hand: settings, pinned repos, and the models, loaded when first used.

`pipeline` is the method; this is where its tools come from. `config.yaml` of the run folder is written here; what the
settings stand for is found out in `resolution`.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import gc
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from solo_hub.core import launch
from solo_hub.core.config import Config
from solo_hub.core.console import Console
from solo_hub.core.errors import RunError
from solo_hub.core.plugins import Prompt, Task, find
from solo_hub.hub import tables
from solo_hub.hub.client import HubClient
from solo_hub.hub.connection import Connection
from solo_hub.hub.repos import MODEL_EXTRAS, SMALL_FILES, Pinned
from solo_hub.hub.unusable import LeftOut, describe_left_out
from solo_hub.models.base_files import BaseFiles
from solo_hub.models.loading import find_device
from solo_hub.models.prompts import PromptBuilder
from solo_hub.run import references, resolution
from solo_hub.run.folder import RunFolder
from solo_hub.run.processes import Processes
from solo_hub.run.task import make_task

R = TypeVar("R")

LOCAL_ENGINE = "transformers"  # what trains and evaluates the student where the teacher's engine is a server


class RunContext:
    """Opens a run folder for a configuration.

    Args:
        config: The settings.
        run: The run folder; locked by the caller.
        connect: Opens the Hub, given the references of the repos a run will pull; called when it is first needed.
        console: Where progress is reported.
        update: Accept changed settings and redo the steps they touch; paid-for labels are kept.

    Raises:
        RunError: The folder belongs to another configuration.
        ConfigError: A setting names something that is not there.
        HubError: A repo is missing, gated, or out of reach.
    """

    def __init__(
        self,
        config: Config,
        run: RunFolder,
        connect: Callable[[list[str]], Connection],
        console: Console,
        *,
        update: bool = False,
    ) -> None:
        self.config, self.run, self.console = config, run, console
        self._left_out: dict[str, list[LeftOut]] = {}
        self._base_checked = False
        self._connect = connect
        self._shared: dict[Any, Any] = {}
        if run.has("config"):
            self.resolved = resolution.reopen(run, config, lambda: self.client, console, update=update)
        else:
            run.check_made_here()
            resolution.check(config)
            self.resolved = resolution.resolve(config, lambda: self.client)
        self.save()

    # -- config.yaml -------------------------------------------------------------------------------

    @property
    def document(self) -> dict[str, Any]:
        """The content of `config.yaml`."""
        return resolution.document(self.config, self.resolved)

    @cached_property
    def processes(self) -> Processes:
        """Those that a launcher (`accelerate launch`) has started for this run; alone without one."""
        return launched(self.config)

    def reread(self) -> None:
        """Take over what the first process has decided since."""
        self.resolved = self.run.read_config()["resolved"]

    def save(self) -> None:
        """Write `config.yaml`; of several processes the first one does."""
        if self.processes.first:
            resolution.save(self.run, self.document)

    # -- the Hub -----------------------------------------------------------------------------------

    @cached_property
    def connection(self) -> Connection:
        """The Hub, opened when it is first needed."""
        return self._connect(references.repos(self.config))

    @cached_property
    def client(self) -> HubClient:
        """The client of the Hub."""
        return self.connection.client()

    def pinned(self, role: str) -> dict[str, Any]:
        """What a role was resolved to: a repo with its commit, or a file with its hash."""
        try:
            entry: dict[str, Any] = self.resolved["repos"][role]
        except KeyError:
            raise resolution.not_resolved(self.run, f"nothing stands there for {role}") from None
        return entry

    def source(self, role: str) -> Path:
        """A local folder or file with what a role names, at the pinned commit.

        Raises:
            RunError: A local file has changed since the run began.
        """
        entry = self.pinned(role)
        if "file" in entry:
            file = Path(entry["file"])
            if not references.is_unchanged(entry):
                raise RunError(
                    f"The file '{file}' is not the one this run began with.",
                    hint="Put it back, choose another folder with --run DIR, or redo what was made of it with "
                    "--update.",
                )
            return file
        return self.client.pull(Pinned.from_row(entry, self.client.endpoint))

    def name_of(self, role: str) -> str:
        """Repo and commit, or the file with its hash: what a number depends on."""
        entry = self.pinned(role)
        return (
            f"{entry['repo_id']}@{entry['commit']}"
            if "repo_id" in entry
            else f"{Path(entry['file']).name}@sha256:{entry['sha256']}"
        )

    def place(self, role: str) -> str:
        """A role's repo or file, for messages."""
        entry = self.pinned(role)
        return str(entry.get("repo_id") or entry["file"])

    # -- the task -----------------------------------------------------------------------------------

    @cached_property
    def task(self) -> Task:
        """The task of the configuration."""
        return make_task(self.config.task, self._class_names)

    def _class_names(self, column: str) -> tuple[str, ...]:
        return tables.class_names(self.source("questions"), split=self.config.task.train_split, column=column)

    # -- what the rooms above keep for the run --------------------------------------------------------

    def report_left_out(self, name: str, left_out: Sequence[LeftOut], noun: str) -> None:
        """List rows or files that were left out in the run folder, and name the first of them.

        Args:
            name: The list's name in `run.LAYOUT`.
            left_out: What was left out; there is no such file where that is empty.
            noun: What one of them is.
        """
        if not left_out:
            self.run.file(name).unlink(missing_ok=True)
        else:
            self.run.write_rows(name, [item.to_row() for item in left_out])
            self.console.warn(f"{describe_left_out(left_out, noun)} All: {self.run.file(name)}")

    def set_left_out(self, what: str, left_out: list[LeftOut]) -> None:
        """Keep what was left out when `questions` or `evaluation_questions`, or the answers to them, were last read."""
        self._left_out[what] = left_out

    def left_out(self, role: str) -> list[LeftOut]:
        """Rows of `questions` or `golds` that were left out when they were last read, answers among them."""
        return [*self._left_out.get(role, ()), *self._left_out.get(f"{role} answers", ())]

    def shared(self, kind: Callable[[RunContext], R]) -> R:
        """The one object of a kind that is made of this run, made when it is first asked for.

        A step keeps here what it loads once for a run (`knowledge.step.RunKnowledge`): this room lies below the steps
        and knows none of their names.
        """
        if kind not in self._shared:
            self._shared[kind] = kind(self)
        made: R = self._shared[kind]
        return made

    # -- the model ---------------------------------------------------------------------------------

    @cached_property
    def engine(self) -> Any:
        """The base model in this process; teacher and student are its adapter off and on."""
        settings = self.config.engine
        engine = self.new_engine((self.resolved.get("engine") or {}).get("dtype", settings.dtype))
        if not self.resolved.get("engine"):
            self.resolved["engine"] = {
                "name": LOCAL_ENGINE if self.served else settings.name,
                # an engine of somebody else's need not have these
                "device": getattr(engine, "device", settings.device),
                "dtype": getattr(engine, "precision", settings.dtype),
                "identity": engine.identity,
            }
            self.resolved["engine_settings"] = settings.model_dump()
            self.save()
        return engine

    def release(self) -> None:
        """Let go of the models, so that another process has the memory (and the device's); loaded again when needed."""
        for name in ("engine", "teacher_engine", "builder", "teacher_builder"):
            self.__dict__.pop(name, None)
        gc.collect()  # a model's parts refer to one another
        torch = sys.modules.get("torch")
        if torch is not None and torch.cuda.is_available():
            torch.cuda.empty_cache()

    def new_engine(self, dtype: str) -> Any:
        """Another engine in this process with the base model, in a precision of its own."""
        wanted = self.resolved.get("engine") or {}
        settings = self.config.engine
        engine = find("engines", LOCAL_ENGINE if self.served else settings.name)(
            self.source("base"),
            self.name_of("base"),
            device=wanted.get("device", settings.device),
            dtype=dtype,
            trust_remote_code=settings.trust_remote_code,
        )
        self.name_classes(engine)
        return self.with_day(engine)

    def with_day(self, engine: Any) -> Any:
        """Give an engine the date that chat templates of this run are filled with."""
        if hasattr(engine, "chat_day"):
            engine.chat_day = self.chat_day
        return engine

    # -- what the base's small files say -----------------------------------------------------------

    @cached_property
    def base_files(self) -> BaseFiles | None:
        """The base's tokenizer, chat template and generation settings; None for an engine that does not read them."""
        made = getattr(find("engines", self.config.engine.name), "base_files", None)
        if made is None:
            return None
        files: BaseFiles = made(
            self.small_files("base"),
            self.name_of("base"),
            self.chat_day,
            trust_remote_code=self.config.engine.trust_remote_code,
        )
        dated = self.config.teacher.prompt == "chat" and files.chat.has_template and files.chat.is_dated
        if dated and "chat_date" not in self.resolved:
            self.resolved["chat_date"] = self.chat_day.isoformat()
            self.save()
        return files

    @cached_property
    def chat_day(self) -> dt.date:
        """The date that a chat template which prints one is given: that of the run's beginning, however long it takes.

        It stands in `config.yaml` under `resolved.chat_date` where the template prints one.

        Raises:
            RunError: What stands there is not a date.
        """
        day = self.resolved.get("chat_date") or str(self.resolved.get("created", ""))[:10]
        if not day:
            return dt.datetime.now(dt.UTC).date()
        try:
            return dt.date.fromisoformat(str(day))
        except ValueError:
            raise resolution.not_resolved(self.run, "chat_date is not a date") from None

    def format_key(self, *, written: bool) -> list[str]:
        """What answers depend on besides the base's commit, the engine and our own prompt; most bases: nothing.

        Args:
            written: Whether text is written; scores of given texts know no decoding.
        """
        files = self.base_files
        return [] if files is None else files.key(self.config.teacher.prompt, written=written)

    def check_base(self) -> None:
        """Refuse a base whose answers or training would silently be wrong; say what of its files is not followed.

        Raises:
            ModelError: See `BaseFiles.check`.
        """
        for note in () if self._base_checked else self._check_base():
            self.console.note(note)
        self._base_checked = True

    def _check_base(self) -> list[str]:
        files, prompt = self.base_files, self.config.teacher.prompt
        if files is None:
            return []
        files.check(prompt)
        return files.notes(prompt)

    def small_files(self, role: str) -> Path:
        """A folder with a model's configuration and tokenizer; its weights need not be there yet."""
        entry = self.pinned(role)
        if "file" in entry:
            return self.source(role)
        pinned = Pinned.from_row(entry, self.client.endpoint)
        return self.client.pull(pinned, allow=SMALL_FILES, ignore=MODEL_EXTRAS)

    def cast_for_evaluation(self, engine: Any) -> None:
        """Have an engine's base weights in the precision of the evaluation; adapters are loaded after this.

        With `evaluation.dtype=same` nothing is touched: a base published in few bits has no other precision.
        """
        if self.config.evaluation.dtype != "same":
            engine.cast(self.config.evaluation.dtype)

    @cached_property
    def classifies(self) -> bool:
        """Whether the student is an encoder with an output for each class; it learns from labels brought along."""
        return bool(getattr(find("engines", self.config.engine.name), "classifies", False))

    def name_classes(self, engine: Any) -> None:
        """Tell an encoder what its outputs stand for; the names are kept, for whoever loads what was trained."""
        if not self.classifies:
            return
        if "classes" not in self.resolved:
            self.resolved["classes"] = list(getattr(self.task, "classes", ()))
            self.save()
        engine.name_classes(self.resolved["classes"])

    @cached_property
    def served(self) -> bool:
        """Whether the teacher answers through a server; the student is in this process all the same."""
        return bool(getattr(find("engines", self.config.engine.name), "remote", False))

    @cached_property
    def teacher_engine(self) -> Any:
        """The base model as the teacher asks it: in this process, or the same model behind a server."""
        if not self.served:
            return self.engine
        engine = find("engines", self.config.engine.name)(
            self.source("base"), self.name_of("base"), settings=self.config.engine
        )
        self.with_day(engine)
        if "teacher_engine" not in self.resolved:
            self.resolved["teacher_engine"] = {"name": self.config.engine.name, "identity": engine.identity}
            self.resolved["engine_settings"] = self.config.engine.model_dump()
            self.save()
        return engine

    @contextlib.contextmanager
    def teacher_weights(self) -> Iterator[None]:
        """Let the teacher's engine answer with the base weights."""
        if self.served:
            yield
            return
        with self.engine.adapter(False):
            yield

    def has_logprobs(self) -> bool:
        """Whether the teacher's engine tells log-probabilities; asked of it, not of its name."""
        return self.teacher_engine.score([Prompt("Answer:")], [[" yes"]])[0] is not None

    @cached_property
    def builder(self) -> PromptBuilder:
        """Makes the prompts of all arms."""
        return PromptBuilder(self.engine.chat if self.config.teacher.prompt == "chat" else None)

    @cached_property
    def teacher_builder(self) -> PromptBuilder:
        """Makes the teacher's prompts; the same as the others' but where a server puts them into its chat format."""
        if not self.served:
            return self.builder
        return PromptBuilder(self.teacher_engine.chat if self.config.teacher.prompt == "chat" else None)


def launched(config: Config) -> Processes:
    """The processes that a launcher has started for a run of these settings, this one among them."""
    if launch.count() == 1:
        return Processes()
    return Processes.here(cpu=find_device(config.engine.device) == "cpu")
