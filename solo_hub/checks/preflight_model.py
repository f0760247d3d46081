"""Pre-flight, the part on this side of the Hub: libraries, device, memory, data, prompt, and the model itself."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from importlib import metadata
from itertools import islice
from pathlib import Path
from typing import Any

from solo_hub.checks.result import CheckResult, wrong
from solo_hub.core import system as machine
from solo_hub.core.config import Config
from solo_hub.core.console import Console
from solo_hub.core.errors import DependencyError, InputError, ModelError, SoloHubError
from solo_hub.core.plugins import Generation, Prompt, find
from solo_hub.core.records import Passage, Question
from solo_hub.core.redaction import first_line_scrubbed
from solo_hub.core.system import Machine, format_bytes
from solo_hub.evaluation.arms.arms import read_held_out
from solo_hub.hub.connection import LOCAL, Connection
from solo_hub.knowledge.step import RunKnowledge
from solo_hub.models import answering, loading
from solo_hub.models.base_files import BaseFiles
from solo_hub.models.chat import ChatFormat
from solo_hub.models.prompts import PromptBuilder
from solo_hub.run import requirements as extras
from solo_hub.run.context import RunContext
from solo_hub.run.folder import RunFolder
from solo_hub.tasks import loading as sampling
from solo_hub.tasks import step as task_step

SAMPLED = 2000  # rows of the corpus that are read
ANY = Question("1", "What falls from the clouds?", ("rain", "stones"))  # where the run's own are not at hand
DTYPES = ("dtype", "torch_dtype")  # names of the precision in config.json, the new one first


def libraries(config: Config) -> Iterator[CheckResult]:
    """Versions of the installed libraries against the bounds this version of solo-hub was made for."""
    from packaging.requirements import Requirement

    wanted_extras = {"", *extras.needed(config), *(("hub",) if config.hub == LOCAL else ())}
    found, bad = 0, False
    for text in metadata.requires("solo-hub") or ():
        wanted = Requirement(text)
        if wanted.marker is not None and not any(wanted.marker.evaluate({"extra": extra}) for extra in wanted_extras):
            continue
        found += 1
        problem = problem_of(wanted.name, str(wanted.specifier), installed(wanted.name))
        if problem:
            bad = True
            yield CheckResult(
                f"library {wanted.name}", "wrong", problem, f"pip install '{wanted.name}{wanted.specifier}'"
            )
    if not bad:
        yield CheckResult("libraries", "ok", f"{found} packages, each a version this solo-hub was made for")


def installed(name: str) -> str | None:
    """Version of an installed package."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def problem_of(name: str, bounds: str, version: str | None) -> str:
    """What is wrong with an installed version; empty where nothing is.

    >>> problem_of("torch", ">=2.8", "2.7.1")
    'torch 2.7.1 is installed, needed is >=2.8'
    """
    from packaging.specifiers import SpecifierSet

    if version is None:
        return f"{name} is not installed"
    if not SpecifierSet(bounds).contains(version, prereleases=True):
        return f"{name} {version} is installed, needed is {bounds}"
    return ""


@dataclass(frozen=True, slots=True)
class Device:
    """Where the model will run.

    Attributes:
        machine: What is there; None where the device cannot be used.
        finding: What is told of it.
    """

    machine: Machine | None
    finding: CheckResult


def find_device(config: Config) -> Device:
    """See whether the device of the settings can be used."""
    try:
        torch = loading.import_torch()
        name = loading.find_device(config.engine.device)
        torch.zeros(1, device=name)
        dtype = loading.find_precision(config.engine.dtype, name)
    except DependencyError as error:
        return Device(None, CheckResult("device", "wrong", error.message, error.hint or ""))
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        said = first_line_scrubbed(error)
        detail = f"'{config.engine.device}' cannot be used: {said}"
        return Device(None, CheckResult("device", "wrong", detail, "Set engine.device=auto."))
    found = machine.inspect(name)
    free = f", {format_bytes(found.memory)} free" if found.memory is not None else ""
    return Device(
        found, CheckResult("device", "ok", f"{name}, {found.cores} cores{free}; labels and trains in {dtype}")
    )


def memory(config: Config, found: Machine, weights: int, base: Path) -> CheckResult:
    """Hold what the base will take against what is free.

    Args:
        config: The settings.
        found: This machine.
        weights: Bytes of the base's safetensors files.
        base: Folder with its config.json.
    """
    settings = read_json(base / "config.json")
    stored = next((str(settings[name]) for name in DTYPES if settings.get(name)), None)
    count = machine.parameters(weights, stored)
    dtype = loading.find_precision(config.engine.dtype, found.device)
    later = dtype if config.evaluation.dtype == "same" else config.evaluation.dtype
    need = machine.memory_needed(count, {"labelling": dtype, "evaluation": later})
    text = f"about {format_bytes(need)} needed for {count / 1e6:,.0f} million parameters"
    if found.memory is None:
        return CheckResult("memory", "open", f"{text}; how much is free cannot be told")
    text += f", {format_bytes(found.memory)} free"
    if need > found.memory:
        remedy = "Choose a smaller base, free some, or save half of it with evaluation.dtype=same."
        return CheckResult("memory", "wrong", text, remedy)
    return CheckResult("memory", "ok", text)


def _of(some: int, all_: int) -> str:
    return f"{some:,}" if some == all_ else f"{some:,} of {all_:,}"


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object, or an empty one where there is none."""
    try:
        document = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return document if isinstance(document, dict) else {}


@dataclass
class TokenCounter:
    """Tokens and context of a base without its weights: what fitting a prompt asks of an engine."""

    tokenizer: Any
    context_length: int
    identity: str = "tokenizer"

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text, without special tokens."""
        return [len(ids) for ids in self.tokenizer(list(texts), add_special_tokens=False)["input_ids"]] if texts else []

    def chat(self, text: str) -> Prompt:
        """A user's message in the model's chat format."""
        return ChatFormat(self.tokenizer, self.identity).prompt(text)

    def score(self, prompts: Sequence[Prompt], continuations: Sequence[Sequence[str]]) -> list[list[float] | None]:
        """There are no weights."""
        raise NotImplementedError

    def generate(self, prompts: Sequence[Prompt], max_new_tokens: int) -> list[Generation]:
        """There are no weights."""
        raise NotImplementedError


@dataclass
class ModelPreflight:
    """Tokenizer, data, prompt and model of a run.

    Attributes:
        config: The settings.
        base: Folder with the base's configuration and tokenizer.
        connection: The Hub; its cache takes what is pulled.
        console: Where progress is reported.
        folder: A folder that may be written to and is thrown away.
        large: Roles whose data are too large to be pulled here.
    """

    config: Config
    base: Path
    connection: Connection
    console: Console
    folder: Path
    large: frozenset[str]

    @cached_property
    def context(self) -> RunContext:
        """The tools of the run, on a run folder that is thrown away."""
        run = RunFolder(self.folder)
        run.create()
        return RunContext(self.config, run, lambda _: self.connection, Console("quiet"))

    def findings(self, *, model: bool) -> Iterator[CheckResult]:
        """Look at everything."""
        trusted, today = self.config.engine.trust_remote_code, datetime.now(UTC).date()
        files = self._files_of_engine(self.base, self.config.base, today, trust_remote_code=trusted)
        try:
            tokenizer = files.tokenizer
        except ModelError as error:
            yield CheckResult("tokenizer", "wrong", error.message, error.hint or "")
            return
        yield CheckResult("tokenizer", "ok", f"{len(tokenizer):,} tokens")
        classifies = self._classifies()
        if not classifies:
            found = list(self._base(files))
            yield from found
            if wrong(found):
                return
        try:
            questions, data = self._questions()
            passages = self._passages()
        except SoloHubError as error:
            yield CheckResult("data", "wrong", error.message, error.hint or "")
            return
        yield from data
        if classifies:  # an encoder is asked the text alone, and a text too long for it is cut
            return
        chat = self.config.teacher.prompt == "chat"
        if questions and passages is not None:
            yield self._prompt(
                TokenCounter(tokenizer, self._context(), self.config.base), questions, passages, chat=chat
            )
        else:
            yield CheckResult("teacher's prompt", "open", "the data are too large to be pulled for this")
        if model:
            yield from self._answers(questions[0] if questions else ANY)
        else:
            yield CheckResult("log-probabilities", "open", "the model is loaded for this by --model")

    def _classifies(self) -> bool:
        """Whether the student is an encoder; an engine that is not there has been told of already."""
        try:
            return self.context.classifies
        except SoloHubError:
            return False

    @property
    def _files_of_engine(self) -> type[BaseFiles]:
        try:
            return getattr(find("engines", self.config.engine.name), "base_files", BaseFiles)
        except SoloHubError:
            return BaseFiles

    def _context(self) -> int:
        settings = read_json(self.base / "config.json")
        text = settings.get("text_config") if isinstance(settings.get("text_config"), dict) else settings
        return int((text or {}).get("max_position_embeddings") or 2048)

    def _base(self, files: BaseFiles) -> Iterator[CheckResult]:
        """What of the base's own files would stop the run, or change what is asked and written."""
        chat = self.config.teacher.prompt == "chat"
        try:
            files.check(self.config.teacher.prompt)
        except ModelError as error:
            yield CheckResult("base's own files", "wrong", error.message, error.hint or "")
            return
        yield self._end_of_turn(files, chat=chat)
        yield from (CheckResult("base's own files", "ok", note) for note in files.notes(self.config.teacher.prompt))

    def _end_of_turn(self, files: BaseFiles, *, chat: bool) -> CheckResult:
        """The tokens that end an answer, by the rule of the engine, the one that is taught first."""
        name, taught = "end of turn", files.chat.end_token if chat else None
        ids = list(dict.fromkeys(files.stop_tokens if taught is None else (taught, *files.stop_tokens)))
        tokens = files.tokenizer.convert_ids_to_tokens(ids)
        shown = ", ".join(f"{token} ({i})" for token, i in zip(tokens, ids, strict=True))
        if chat and taught is None:
            text = f"{shown}, but the chat format ends a turn with {files.chat.ending!r}, which is not a token"
            return CheckResult(name, "advice", text, "The student may not stop: prefer teacher.prompt=plain.")
        more = "; the student is taught the first" if ids[1:] else ""
        return CheckResult(name, "ok", shown + more)

    def _questions(self) -> tuple[list[Question], list[CheckResult]]:
        """The questions the run would label, chosen as it chooses them; of answers only their column is sought.

        Raises:
            SoloHubError: What would stop the run.
        """
        context = self.context
        if {"questions", "evaluation_questions"} & self.large:
            return [], [CheckResult("questions", "open", "too large to be read here; the run reads them")]
        if "questions" not in context.resolved["repos"]:
            return [], [CheckResult("questions", "open", "they are written from the documents when the run begins")]
        questions = task_step.questions(context, "questions")
        held_out = task_step.questions(context, "evaluation_questions")
        read_held_out(context)
        task, seed = self.config.task, self.config.seed
        apart, asked_again = sampling.without_overlap(questions, held_out)
        if not apart:
            raise InputError(
                "every question is also in the held-out set.",
                file=context.place("questions"),
                hint="Hold out other questions.",
            )
        chosen = sampling.sample(apart, task.train_limit, seed)
        evaluated = sampling.sample(held_out, task.evaluation_limit, seed)
        text = f"{_of(len(chosen), len(questions))} to label, {_of(len(evaluated), len(held_out))} held out"
        if asked_again:
            text += f"; also held out, so not labelled: {asked_again:,}"
        return chosen, [CheckResult("questions", "ok", text)]

    def _passages(self) -> list[Passage] | None:
        """The first documents of the corpus, as passages; None where it is too large.

        Raises:
            SoloHubError: What would stop the run.
        """
        context, settings = self.context, self.config.knowledge
        if "knowledge" in self.large:
            return None
        if not settings.passages:
            return []
        documents = list(islice(context.shared(RunKnowledge).corpus.documents(), SAMPLED))
        if not documents:
            raise InputError(
                "the corpus is empty.", file=context.place("knowledge"), hint="Give one with text to look things up in."
            )
        return [Passage(document.id, document.text, 0.0) for document in documents]

    def _prompt(
        self, counter: TokenCounter, questions: list[Question], passages: list[Passage], *, chat: bool
    ) -> CheckResult:
        """Fit the longest question with passages of middling and of greatest length."""
        name = "teacher's prompt"
        builder = PromptBuilder(counter.chat if chat else None)
        longest = max(questions, key=lambda question: len(question.text) + sum(map(len, question.options)))
        wanted = min(self.config.knowledge.passages, len(passages))
        ordered = sorted(passages, key=lambda passage: len(passage.text))
        start = max(0, (len(ordered) - wanted) // 2)
        reserve = max(self.config.teacher.max_new_tokens, self.config.evaluation.max_new_tokens)
        # letters list the options in the prompt: of all styles the longest
        style = "letter" if self.config.teacher.style == "auto" else self.config.teacher.style
        try:
            usual, worst = (
                answering.fit(counter, builder, longest, some, style, reserve=reserve)
                for some in (ordered[start : start + wanted], ordered[len(ordered) - wanted :])
            )
        except (InputError, ModelError) as error:
            return CheckResult(name, "wrong", error.message, error.hint or "")
        tokens = counter.count_tokens([usual.prompt.text])[0]
        text = f"the longest question with {wanted} passages of middling length:"
        text += f" {tokens} of {counter.context_length} tokens"
        remedy = "Set knowledge.passages lower, cut the corpus into shorter pieces, or choose a longer context."
        if usual.dropped:
            return CheckResult(name, "advice", f"{text}, with {usual.dropped} passages left out", remedy)
        if worst.dropped:
            return CheckResult(name, "ok", f"{text}; with the longest passages {worst.dropped} would be left out")
        return CheckResult(name, "ok", f"{text}; not even the longest passages are left out")

    def _answers(self, question: Question) -> Iterator[CheckResult]:
        """Load the model and let it answer."""
        self.console.note(f"loading {self.config.base}")
        try:
            engine, builder = self.context.teacher_engine, self.context.teacher_builder
            style = "text" if self.config.teacher.style == "auto" else self.config.teacher.style
            prompt = builder.ask(question, style)
            scores = engine.score([prompt], [builder.continuations(question, style) or [builder.continuation("yes")]])
            written = engine.generate([prompt], 8)[0]
        except SoloHubError as error:
            yield CheckResult("model", "wrong", error.message, error.hint or "")
            return
        yield CheckResult("model", "ok", f"{engine.identity}; wrote {written.tokens} tokens")
        name = "log-probabilities"
        if scores[0] is None:
            text = "the engine does not tell them: labels will carry no confidence"
            yield CheckResult(
                name, "advice", text, "Use a selection method that needs none, e.g. selection.method=all."
            )
        elif not all(map(math.isfinite, scores[0])):
            yield CheckResult(name, "wrong", "they are not numbers", "Set engine.dtype=float32.")
        else:
            yield CheckResult(name, "ok", "available")
