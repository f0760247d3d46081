"""What the steps of a run have at hand: settings, pinned repos, and the models, loaded when first used.

`pipeline` is the method; this is where its tools come from. `config.yaml` of the run folder is written here: every
setting, every version, and the commit of every repo, resolved once.
"""

from __future__ import annotations

import contextlib
import os
import platform
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from functools import cached_property
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from solo_hub import __version__, knowledge_base, references
from solo_hub import run as run_module
from solo_hub.config import CONFIG_VERSION, Config, build
from solo_hub.console import Console
from solo_hub.errors import ConfigError, InputError, RunError
from solo_hub.hub import tables
from solo_hub.hub.door import Door, Pinned, RepoType
from solo_hub.hub.local import Connection
from solo_hub.models.loading import find_device
from solo_hub.plugins import Embedder, Prompt, Retriever, Task, find
from solo_hub.prompts import PromptBuilder
from solo_hub.records import Gold, Question
from solo_hub.run import STEPS, RunFolder, write_text
from solo_hub.settings import EngineSettings
from solo_hub.student.processes import Processes
from solo_hub.tasks import loading

if TYPE_CHECKING:
    from solo_hub.knowledge.index import KnowledgeIndex

LIBRARIES = (
    "torch", "transformers", "peft", "datasets", "huggingface-hub", "sentence-transformers", "faiss-cpu",
    "evaluate", "bert-score", "rouge-score", "numpy",
)  # fmt: skip
"""Versions written into `config.yaml`: those that can change a number."""

FIRST_STEP = {
    "base": "labels",
    "seed": "questions",
    "task": "questions",
    "knowledge": "passages",
    "engine": "labels",
    "teacher": "labels",
    "filters": "selection",
    "selection": "selection",
    "student": "adapter",
    "evaluation": "report",
}
"""The first step a section of the settings touches; sections that are not here touch none before publishing."""

WHERE = tuple(f"engine.{name}" for name in ("url", "token_variable", "concurrency", "attempts", "timeout"))
"""Settings that say where a server is and how it is asked, and change no answer: they may differ in a resumed run."""

LOCAL_ENGINE = "transformers"  # what trains and evaluates the student where the teacher's engine is a server


class Workbench:
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
        self._connect = connect
        _check_held_out(config)
        _check_classifier(config)
        if run.has("config"):
            self.resolved = self._reopen(update=update)
        else:
            self.resolved = self._resolve({})
        self.save()

    # -- config.yaml -------------------------------------------------------------------------------

    @property
    def document(self) -> dict[str, Any]:
        """The content of `config.yaml`."""
        return {
            "config_version": CONFIG_VERSION,
            "settings": self.config.model_dump(mode="json"),
            "resolved": self.resolved,
        }

    @cached_property
    def processes(self) -> Processes:
        """Those that a launcher (`accelerate launch`) has started for this run; alone without one."""
        return launched(self.config)

    def reread(self) -> None:
        """Take over what the first process has decided since."""
        document = yaml.safe_load(self.run.file("config").read_text("utf-8"))
        self.resolved = document["resolved"]

    def save(self) -> None:
        """Write `config.yaml`; of several processes the first one does."""
        if not self.processes.first:
            return
        text = yaml.safe_dump(self.document, sort_keys=False, allow_unicode=True, width=120)
        path = self.run.file("config")
        if not path.exists() or path.read_text("utf-8") != text:
            write_text(path, text)

    def _reopen(self, *, update: bool) -> dict[str, Any]:
        path = self.run.file("config")
        try:
            document = yaml.safe_load(path.read_text("utf-8"))
            before, resolved = document["settings"], document["resolved"]
            version = document["config_version"]
        except (OSError, yaml.YAMLError, TypeError, KeyError, UnicodeDecodeError) as error:
            raise RunError(
                f"'{path}' is not the configuration of a run.", hint="Choose another folder with --run DIR."
            ) from error
        if not references.is_resolved(resolved):
            raise RunError(
                f"'{path}' does not say which repos the run began with: its part 'resolved' was changed.",
                hint="Put it back, or choose another folder with --run DIR.",
            )
        if version != CONFIG_VERSION:
            raise RunError(
                f"'{path}' was written by another version (format {version}, here {CONFIG_VERSION}).",
                hint="Choose another folder with --run DIR.",
            )
        # settings that came later than the run have their defaults in it
        before = build(before, str(path)).model_dump(mode="json")
        changed = [
            key
            for key in _differences(before, self.config.model_dump(mode="json"))
            if key.split(".")[0] in FIRST_STEP and key not in WHERE
        ]
        if not changed:
            return dict(resolved)
        if not update:
            key = changed[0]
            raise RunError(
                f"The run folder '{self.run}' belongs to another configuration: "
                f"{key} is {_at(before, key)!r} there and {_at(self.document_settings(), key)!r} here.",
                hint="Choose another folder with --run DIR, or redo the steps that changed with --update.",
            )
        step = min((FIRST_STEP[key.split(".")[0]] for key in changed), key=STEPS.index)
        self._forget(step)
        again = self._resolve(dict(resolved))
        if STEPS.index(step) > STEPS.index("labels") and "teacher" in resolved:
            again["teacher"] = resolved["teacher"]
        return again

    def document_settings(self) -> dict[str, Any]:
        """The settings as JSON types."""
        return self.config.model_dump(mode="json")

    def _forget(self, step: str) -> None:
        """Remove the results of a step and of all after it; labels stay, their keys tell which are still good."""
        import shutil

        late = STEPS[STEPS.index(step) :]
        for item in run_module.LAYOUT:
            path = self.run.path / item.path
            if item.step in late and item.name != "labels":
                shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)
        shutil.rmtree(self.training_folder, ignore_errors=True)
        self.console.note(f"settings changed: redoing the steps from {step} on")

    def _resolve(self, before: dict[str, Any]) -> dict[str, Any]:
        """Pin every repo and write down versions; what an earlier resolution pinned for the same reference stays."""
        repos: dict[str, Any] = {}
        for role, (reference, kind) in self.references().items():
            old = before.get("repos", {}).get(role)
            if old is not None and old.get("reference") == reference:
                repos[role] = old
                continue
            file = references.local(role, reference, kind)
            if file is not None:
                repos[role] = {
                    "file": str(file),
                    "sha256": references.sha256(file),
                    "license": None,
                    "reference": reference,
                }
            else:
                repos[role] = {**self.door.pin(reference, kind).to_row(), "reference": reference}
        same_engine = _answers_alike(before.get("engine_settings"), self.config.engine)
        engines: dict[str, Any] = {
            name: before[name] for name in ("engine", "teacher_engine") if same_engine and name in before
        }
        if engines:
            engines["engine_settings"] = self.config.engine.model_dump()
        versions = {name: version for name in LIBRARIES if (version := _version(name))}
        return {
            "created": before.get("created") or datetime.now(UTC).isoformat(timespec="seconds"),
            "solo_hub": __version__,
            "python": platform.python_version(),
            "platform": f"{platform.system()} {platform.machine()}",
            "libraries": versions,
            "endpoint": before.get("endpoint")
            or (self.door.endpoint if any("commit" in entry for entry in repos.values()) else None),
            "repos": repos,
            **engines,
        }

    def references(self) -> dict[str, tuple[str, RepoType]]:
        """What the run pulls: role -> (reference, repo type)."""
        return references.of(self.config)

    # -- the Hub -----------------------------------------------------------------------------------

    @cached_property
    def connection(self) -> Connection:
        """The Hub, opened when it is first needed."""
        return self._connect(references.repos(self.config))

    @cached_property
    def door(self) -> Door:
        """The door to the Hub."""
        return self.connection.door()

    def source(self, role: str) -> Path:
        """A local folder or file with what a role names, at the pinned commit.

        Raises:
            RunError: A local file has changed since the run began.
        """
        entry = self.resolved["repos"][role]
        if "file" in entry:
            file = Path(entry["file"])
            if not file.exists() or references.sha256(file) != entry["sha256"]:
                raise RunError(
                    f"The file '{file}' is not the one this run began with.",
                    hint="Put it back, or choose another folder with --run DIR.",
                )
            return file
        return self.door.pull(Pinned.from_row(entry, self.door.endpoint))

    def name_of(self, role: str) -> str:
        """Repo and commit, or the file with its hash: what a number depends on."""
        entry = self.resolved["repos"][role]
        return (
            f"{entry['repo_id']}@{entry['commit']}"
            if "repo_id" in entry
            else f"{Path(entry['file']).name}@sha256:{entry['sha256']}"
        )

    def place(self, role: str) -> str:
        """A role's repo or file, for messages."""
        entry = self.resolved["repos"][role]
        return str(entry.get("repo_id") or entry["file"])

    # -- questions ---------------------------------------------------------------------------------

    @cached_property
    def task(self) -> Task:
        """The task of the configuration."""
        return loading.make_task(self.config.task, self._class_names)

    def _class_names(self, column: str) -> tuple[str, ...]:
        return tables.class_names(self.source("questions"), split=self.config.task.train_split, column=column)

    def questions(self, role: str) -> list[Question]:
        """Questions of the training or held-out split; only question columns are read, answers stay on the disk."""
        split = self.config.task.train_split if role == "questions" else self.config.task.evaluation_split
        source = self.source(role)
        there = tables.read_columns(source, split=split)
        if not there:
            raise InputError(
                "there are no questions.", file=self.place(role), hint="Check task.questions and the split."
            )
        # an id may be missing, the row number then serves; any other missing column is named by the reader
        columns = [name for name in self.task.question_columns if name in there or name != _id_column(self.task)]
        return loading.load_questions(
            self.task, tables.read_table(source, split=split, columns=columns), self.place(role)
        )

    def golds(self, role: str, questions: list[Question]) -> list[Gold]:
        """Known answers of a split, for evaluation and analysis; none where the dataset has no such columns."""
        split = self.config.task.train_split if role == "questions" else self.config.task.evaluation_split
        source = self.source(role)
        there = tables.read_columns(source, split=split)
        if self.task.gold_columns[0] not in there:
            return []
        columns = [name for name in (*self.task.question_columns, *self.task.gold_columns) if name in there]
        return loading.load_golds(
            self.task, tables.read_table(source, split=split, columns=columns), questions, self.place(role)
        )

    # -- knowledge ---------------------------------------------------------------------------------

    @cached_property
    def embedder(self) -> Embedder:
        """The embedder of the knowledge base."""
        return knowledge_base.make_embedder(
            self.config.knowledge, lambda: self.source("embedder"), self.name_of("embedder")
        )

    @cached_property
    def index(self) -> KnowledgeIndex:
        """The index of the knowledge base; built when it is missing, and kept for other runs."""
        return knowledge_base.open_index(
            self.source("knowledge"),
            self.name_of("knowledge"),
            self.config.knowledge,
            self.embedder,
            place=self.place("knowledge"),
            own="file" in self.resolved["repos"]["knowledge"],
            console=self.console,
        )

    @cached_property
    def retriever(self) -> Retriever:
        """The retriever over the knowledge base."""
        settings = self.config.knowledge
        made: Retriever = find("retrievers", settings.retriever)(self.index, self.embedder, settings.retriever_options)
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
                "device": engine.device,
                "dtype": str(engine.dtype).removeprefix("torch."),
                "identity": engine.identity,
            }
            self.resolved["engine_settings"] = settings.model_dump()
            self.save()
        return engine

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
        return engine

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

    def teacher_tells(self) -> bool:
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

    @property
    def training_folder(self) -> Path:
        """Where training keeps its checkpoints until the adapter is finished."""
        return self.run.path / ".5-training"


def launched(config: Config) -> Processes:
    """The processes that a launcher has started for a run of these settings, this one among them."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return Processes()
    return Processes.here(cpu=find_device(config.engine.device) == "cpu")


def _id_column(task: Task) -> str:
    return task.question_columns[0]


def _check_held_out(config: Config) -> None:
    """Training and held-out questions must differ, or the evaluation measures memory."""
    task = config.task
    same_source = task.evaluation_questions in (None, task.questions)
    is_file = tables.local_file(task.questions) is not None
    if same_source and (is_file or task.train_split == task.evaluation_split):
        raise ConfigError(
            "The questions to learn from and the held-out questions are the same.",
            hint="Set task.evaluation_questions to another file, or task.evaluation_split to another split.",
        )


def _check_classifier(config: Config) -> None:
    """An encoder with a fresh head knows nothing: it can be a student, not a teacher."""
    if not getattr(find("engines", config.engine.name), "classifies", False):
        return
    if not getattr(find("tasks", config.task.name), "has_classes", False):
        raise ConfigError(
            f"An encoder (engine.name={config.engine.name}) puts texts into classes, and the task {config.task.name} "
            "has none.",
            hint="Set task.name=text_classification.",
        )
    if not config.teacher.labels:
        raise ConfigError(
            f"An encoder (engine.name={config.engine.name}) cannot be its own teacher.",
            hint="Bring labels along with teacher.labels=REPO|FILE, e.g. those of a language model's run.",
        )


def _answers_alike(before: Mapping[str, Any] | None, now: EngineSettings) -> bool:
    """Whether an engine of earlier settings gives the same answers as one of these."""
    if before is None:
        return False
    asked = EngineSettings.model_validate(before).model_dump()  # settings that came later have their defaults
    return all(asked[key] == value for key, value in now.model_dump().items() if f"engine.{key}" not in WHERE)


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _differences(before: Mapping[str, Any], after: Mapping[str, Any], prefix: str = "") -> list[str]:
    found = []
    for key in sorted({*before, *after}):
        a, b = before.get(key), after.get(key)
        if isinstance(a, Mapping) and isinstance(b, Mapping):
            found += _differences(a, b, f"{prefix}{key}.")
        elif a != b:
            found.append(f"{prefix}{key}")
    return found


def _at(data: Any, dotted: str) -> Any:
    for name in dotted.split("."):
        data = data.get(name) if isinstance(data, Mapping) else None
    return data
