"""Base, teacher and student on one question, side by side: what `solo-hub compare` and the Space show.

A comparison is opened from a run folder or from a published adapter repo, which names everything else (base, knowledge
base, embedder) at exact commits. One copy of the base model is in memory; the adapter is turned on for the student and
off for the others. Nothing is written to the run folder.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from solo_hub.comparison_cases import ARMS, Case, read_cases, same_as
from solo_hub.config import Config, build
from solo_hub.console import Console
from solo_hub.errors import InputError, RunError
from solo_hub.hub.local import Connection
from solo_hub.models.asking import ask
from solo_hub.prompts import LETTERS
from solo_hub.records import Passage, Prediction, Question, Record, Retrieval
from solo_hub.run import RunFolder, write_text
from solo_hub.settings import Section
from solo_hub.student import adapters
from solo_hub.teaching import Teaching
from solo_hub.workbench import Workbench

ADAPTER_FILES = ("adapter_config.json", "adapter_model.safetensors", "config.yaml", "provenance.json", "report.json")
LONGEST_QUESTION, LONGEST_OPTION = 4000, 400  # characters; beyond them somebody has pasted the wrong thing
MOST_LISTED = 500  # questions of a published repo that are offered; a list beyond that helps nobody

Connect = Callable[[list[str]], Connection]


@dataclass(frozen=True, slots=True)
class Answered(Record):
    """One arm's answer, as shown.

    Attributes:
        prediction: Option, probabilities, text; `seconds` is the time of answering alone.
        passages: What stood in the prompt, best first; empty for the closed-book arms.
        lookup_seconds: Time of finding the passages; 0 when they were known.
        note: What must be said about this answer, or empty.
    """

    prediction: Prediction
    passages: tuple[Passage, ...] = ()
    lookup_seconds: float = 0.0
    note: str = ""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a comparison comes from.

    Attributes:
        name: The run's name or the adapter's repo.
        page: The adapter repo's page on the Hub, or empty for a run that is not published.
        repos: Role (base, knowledge, ...) -> repo and commit, or the file's name, for display.
        published: Whether it was opened from a repo, where files of the run's own machine are not to be had.
    """

    name: str
    page: str = ""
    repos: Mapping[str, str] = field(default_factory=dict)
    published: bool = False


class Comparison:
    """Answers questions with all three arms, and holds what the evaluation found.

    Args:
        bench: A workbench of its own; see `open_run` and `open_repo`.
        adapter: Folder of the student's adapter.
        report: The content of `6-report.json`.
        cases: Questions of the evaluation.
        total: How many the evaluation asked; more than `cases` where an excerpt was published.
        origin: Where all of it comes from.
        arms: Who is asked.
    """

    def __init__(
        self,
        bench: Workbench,
        adapter: Path,
        report: Mapping[str, Any],
        cases: Sequence[Case],
        origin: Origin,
        *,
        total: int,
        arms: Sequence[str] = ARMS,
    ) -> None:
        self.bench, self.adapter, self.report, self.origin = bench, adapter, report, origin
        self.cases, self.total, self.arms = tuple(cases), total, tuple(arms)
        self._lock = threading.Lock()  # the adapter is on or off for everybody
        self._loaded = False
        self._known = {same_as(case.question): case for case in cases}

    @property
    def style(self) -> str:
        """How options are scored, as the run chose it."""
        return str(self.bench.resolved["teacher"]["style"])

    @property
    def looks_up(self) -> str:
        """Why the teacher cannot look things up for a typed question; empty where it can."""
        if self.bench.config.knowledge.passages == 0:
            return "This run gives its teacher no passages."
        repos = self.bench.resolved["repos"]
        if self.origin.published and not all("repo_id" in repos[role] for role in ("knowledge", "embedder")):
            return "The knowledge base of this run is a file that was not published: the teacher answers without it."
        return ""

    def find(self, question_id: str) -> Case | None:
        """The case of a question, by its id."""
        return next((case for case in self.cases if case.question.id == question_id), None)

    def known(self, question: Question) -> Case | None:
        """The case that asks the same with the same options, if there is one."""
        return self._known.get(same_as(question))

    def prepare(self, *, knowledge: bool = True) -> None:
        """Load the model and the adapter, open the knowledge base, and answer once.

        The first answer after loading is slow (kernels are compiled, memory is claimed); it would make the arm that
        happens to come first look slow.

        Args:
            knowledge: Also open the knowledge base now; it is opened when first needed otherwise.
        """
        with self._lock:
            self._load()
        for _ in self.answer(Question("warm-up", "What is rain made of?", ("water", "stone")), look_up=False):
            pass
        if knowledge and not self.looks_up:
            self._look_up(Question("warm-up", "What is rain made of?"))

    def answer(self, question: Question, *, look_up: bool = True) -> Iterator[Answered]:
        """Ask base, teacher and student in turn.

        Args:
            question: Options may be empty; the arms then write freely.
            look_up: Whether the teacher gets passages.

        Yields:
            One answer an arm, in their order.

        Raises:
            InputError: The question is longer than the model's context.
            ModelError: The model's scores are not numbers.
        """
        for arm in self.arms:
            found = Retrieval("", ())
            started, seconds, note = time.perf_counter(), 0.0, ""
            if arm == "teacher" and look_up:
                case = self.known(question)
                if case is not None and case.passages:
                    found = Retrieval("", case.passages, case.support)
                elif self.looks_up:
                    note = self.looks_up
                else:
                    with self._lock:
                        found = self._look_up(question)
                    seconds = time.perf_counter() - started
            with self._lock:
                prediction, used = self._ask(arm, question, found)
            yield Answered(prediction, used, seconds, note)

    def _ask(self, arm: str, question: Question, found: Retrieval) -> tuple[Prediction, tuple[Passage, ...]]:
        """Ask as the evaluation asks (`arms`), one question alone; for a served teacher the base answers."""
        self._load()
        decided = Teaching.from_row(self.bench.resolved["teacher"])
        teaches = arm == "teacher" and decided.recipe.style == decided.style
        with self.bench.engine.adapter(arm == "student"):
            (asked,) = ask(
                self.bench.engine,
                decided.builder(self.bench.builder) if teaches else self.bench.builder,
                [question],
                [found.passages],
                arm=arm,
                style=self.style,
                max_new_tokens=self.bench.config.evaluation.max_new_tokens,
                recipe=decided.recipe if teaches else None,
                supports=[found.option_support] if teaches else (),
            )
        return asked.prediction, tuple(reversed(asked.passages))  # the best stands last in the prompt, first on a page

    def _look_up(self, question: Question) -> Retrieval:
        found: Sequence[Retrieval] = self.bench.retriever.retrieve([question], self.bench.config.knowledge.passages)
        return found[0]

    def _load(self) -> None:
        if self._loaded:
            return
        engine, wanted = self.bench.engine, self.bench.config.evaluation.dtype
        if "student" in self.arms:
            adapters.load(engine, self.adapter)
        engine.cast(wanted if wanted != "same" else str(engine.dtype).removeprefix("torch."))
        self._loaded = True


def read_question(text: str, options: str) -> Question:
    """A question as somebody typed it.

    Args:
        text: The question.
        options: One option a line; empty lines do not count; none for a free answer.

    Raises:
        InputError: It cannot be asked; the sentence says what to change.
    """
    asked = " ".join(text.split())
    listed = tuple(line for line in (" ".join(raw.split()) for raw in options.splitlines()) if line)
    if not asked:
        raise InputError("The question is empty.", hint="Pick one of the evaluation or type one.")
    if len(asked) > LONGEST_QUESTION or any(len(option) > LONGEST_OPTION for option in listed):
        raise InputError(
            f"That is too long: a question may have {LONGEST_QUESTION:,} characters, an option {LONGEST_OPTION}.",
            hint="Shorten it.",
        )
    if len(listed) == 1:
        raise InputError("There is only one option.", hint="Give at least two, one a line, or none at all.")
    if len(listed) > len(LETTERS):
        raise InputError(f"There are {len(listed)} options.", hint=f"Give at most {len(LETTERS)}.")
    if len({option.casefold() for option in listed}) < len(listed):
        raise InputError("Two options are the same.", hint="Change or remove one.")
    return Question("typed", asked, listed)


def open_run(folder: Path, connect: Connect, console: Console) -> Comparison:
    """Open the comparison of a finished run.

    Args:
        folder: The run folder; it is only read.
        connect: Opens the Hub, given the references a run pulls.
        console: Where progress is reported.

    Raises:
        RunError: It is no run folder, or the run is not finished.
    """
    run = RunFolder(folder)
    if not run.has("config"):
        raise RunError(f"'{folder}' is not a run folder.", hint="Give the folder of a run, e.g. runs/demo.")
    document = _read_document(run.file("config"))
    report = run.read_json("report")
    published = run.read_json("published") if run.has("published") else {}
    cases = read_cases(run)
    bench = make_workbench(document, connect, console)
    origin = Origin(str(report["run"]), str(published.get("adapter", {}).get("url", "")), _repos(document))
    return Comparison(bench, run.file("adapter"), report, cases, origin, total=len(cases))


def open_repo(
    reference: str,
    connection: Connection,
    console: Console,
    *,
    excerpt: tuple[Sequence[Case], int] | None = None,
    trust_remote_code: bool = False,
) -> Comparison:
    """Open the comparison of a published adapter.

    Args:
        reference: The adapter repo, OWNER/NAME[@REVISION].
        connection: The Hub it lives on.
        console: Where progress is reported.
        excerpt: Questions of the evaluation with all answers, and how many the evaluation asked. Without it the
            evaluation's questions are read from their own repo, without answers.
        trust_remote_code: Whether code of the base's repo may run; what the published settings say does not count.

    Raises:
        RepoMissingError: No such repo.
        RunError: It was not published by solo-hub.
    """
    door = connection.door()
    pinned = door.pin(reference, "model")
    folder = door.pull(pinned, allow=list(ADAPTER_FILES))
    missing = [name for name in ADAPTER_FILES if not (folder / name).is_file()]
    if missing:
        raise RunError(
            f"The model '{pinned.repo_id}' was not published by solo-hub: it has no {missing[0]}.",
            hint="Give an adapter repo made by `solo-hub publish`, or the folder of a run.",
        )
    document = _read_document(folder / "config.yaml")
    # a stranger's settings do not decide which code runs here
    document["settings"].setdefault("engine", {})["trust_remote_code"] = trust_remote_code
    report = json.loads((folder / "report.json").read_text("utf-8"))
    bench = make_workbench(document, lambda _: connection, console)
    origin = Origin(
        pinned.repo_id, f"{door.endpoint}/{pinned.repo_id}/tree/{pinned.commit}", _repos(document), published=True
    )
    cases, total = excerpt or (_questions_of(bench), int(report["n_questions"]))
    return Comparison(bench, folder, report, cases, origin, total=total)


def open_space(folder: Path, console: Console) -> Comparison:
    """Open the comparison that a Space's folder names, on the Hub that HF_ENDPOINT names.

    Raises:
        RunError: `solo-hub space push` has not filled the folder.
    """
    try:
        named = json.loads((folder / "compare.json").read_text("utf-8"))
        evaluation = json.loads((folder / "evaluation.json").read_text("utf-8"))
        adapter, total = named["adapter"], int(evaluation["total"])
        cases = [Case.from_row(row) for row in evaluation["cases"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(
            "This folder does not say which adapter to show.", hint="Fill and publish it with `solo-hub space push`."
        ) from error
    connection = Connection(None, None, None)
    reference = f"{adapter['repo_id']}@{adapter['commit']}"
    return open_repo(reference, connection, console, excerpt=(cases, total))


def _questions_of(bench: Workbench) -> list[Case]:
    """The evaluation's questions with their known answers, from the repo the run took them from."""
    if "repo_id" not in bench.resolved["repos"]["evaluation_questions"]:
        return []
    questions = bench.questions("evaluation_questions")[:MOST_LISTED]
    golds = {gold.question_id: gold for gold in bench.golds("evaluation_questions", questions)}
    return [Case(question, golds.get(question.id)) for question in questions]


def make_workbench(document: Mapping[str, Any], connect: Connect, console: Console) -> Workbench:
    """A workbench in a folder of its own, so that looking at a run changes nothing in it.

    The device is chosen anew: a run trained on a GPU is also shown where there is none.
    """
    run = RunFolder(Path(tempfile.mkdtemp(prefix="solo-hub-compare-")))
    settings = _of_this_version(document["settings"], Config, console)
    settings["engine"] = {**settings.get("engine", {}), "device": "auto"}
    config = build(settings, "the run's settings")
    resolved = {k: v for k, v in document["resolved"].items() if k not in ("engine", "engine_settings")}
    if not isinstance(resolved.get("teacher"), Mapping) or "style" not in resolved["teacher"]:
        raise RunError("The run's config.yaml does not say how its teacher answers.", hint="Finish the run first.")
    content = {**document, "settings": config.model_dump(mode="json"), "resolved": resolved}
    write_text(run.file("config"), yaml.safe_dump(content, sort_keys=False, allow_unicode=True))
    bench = Workbench(config, run, connect, console)
    weakref.finalize(bench, shutil.rmtree, run.path, ignore_errors=True)
    return bench


def _of_this_version(
    data: Mapping[str, Any], section: type[Section], console: Console, prefix: str = ""
) -> dict[str, Any]:
    """Leave out settings this version does not know: what another version published can still be shown."""
    kept: dict[str, Any] = {}
    for name, value in data.items():
        known = section.model_fields.get(name)
        if known is None:
            console.note(f"the setting {prefix}{name} is of another version and is left out")
            continue
        inner = known.annotation
        if isinstance(inner, type) and issubclass(inner, Section) and isinstance(value, Mapping):
            kept[name] = _of_this_version(value, inner, console, f"{prefix}{name}.")
        else:
            kept[name] = value
    return kept


def _read_document(path: Path) -> dict[str, Any]:
    try:
        document = yaml.safe_load(path.read_text("utf-8"))
        if isinstance(document["settings"], dict) and isinstance(document["resolved"]["repos"], dict):
            return dict(document)
    except (OSError, UnicodeDecodeError, yaml.YAMLError, KeyError, TypeError) as error:
        raise RunError(f"'{path}' is not the configuration of a run.", hint="Give another run or repo.") from error
    raise RunError(f"'{path}' is not the configuration of a run.", hint="Give another run or repo.")


def _repos(document: Mapping[str, Any]) -> dict[str, str]:
    named = {}
    for role in ("base", "knowledge", "embedder", "evaluation_questions"):
        entry = document["resolved"]["repos"].get(role, {})
        if "repo_id" in entry:
            named[role] = f"{entry['repo_id']} at {entry['commit'][:7]}"
        elif "file" in entry:
            named[role] = Path(entry["file"]).name
    return named
