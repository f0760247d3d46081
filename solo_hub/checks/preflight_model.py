"""Pre-flight checks of this machine and the pulled files: libraries, device, memory, data, prompt, model."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property
from importlib import metadata
from itertools import islice
from pathlib import Path
from typing import Any

from solo_hub.checks.result import CheckResult, failed
from solo_hub.core import system as machine
from solo_hub.core.config import Config
from solo_hub.core.console import Console
from solo_hub.core.errors import DependencyError, InputError, ModelError, SoloHubError
from solo_hub.core.parsing import read_object
from solo_hub.core.plugins import Generation, Prompt, find
from solo_hub.core.records import Passage, Question
from solo_hub.core.redaction import first_line_scrubbed
from solo_hub.core.settings import TeacherModel
from solo_hub.core.system import Machine, format_bytes
from solo_hub.curation import step as curation_step
from solo_hub.evaluation.arms.arms import read_held_out
from solo_hub.hub.connection import LOCAL, Connection
from solo_hub.knowledge.step import RunKnowledge
from solo_hub.models import answering, loading
from solo_hub.models.base_files import BaseFiles
from solo_hub.models.chat import ChatFormat
from solo_hub.models.prompts import PromptBuilder
from solo_hub.run import packages, references
from solo_hub.run.context import RunContext
from solo_hub.run.folder import RunFolder
from solo_hub.run.teachers import engine_of
from solo_hub.tasks import loading as sampling
from solo_hub.tasks import step as task_step

SAMPLED = 2000  # rows read of the corpus
READ = 5000  # documents that questions are written from: seconds
ANY = Question("1", "What falls from the clouds?", ("rain", "stones"))  # where the run's own are not available
DTYPES = ("dtype", "torch_dtype")  # keys of the precision in config.json, the newer one first


def libraries(config: Config) -> Iterator[CheckResult]:
    """Check the installed libraries against the version bounds of this solo-hub."""
    from packaging.requirements import Requirement

    wanted_extras = {"", *packages.extras(config), *(("hub",) if config.hub == LOCAL else ())}
    checked, bad = 0, False
    for text in metadata.requires("solo-hub") or ():
        wanted = Requirement(text)
        if wanted.marker is not None and not any(wanted.marker.evaluate({"extra": extra}) for extra in wanted_extras):
            continue
        checked += 1
        problem = problem_of(wanted.name, str(wanted.specifier), machine.version_of(wanted.name))
        if problem:
            bad = True
            yield CheckResult(
                f"library {wanted.name}", "fail", problem, f"pip install '{wanted.name}{wanted.specifier}'"
            )
    if not bad:
        yield CheckResult("libraries", "pass", f"{checked} packages, all within the supported versions")


def problem_of(name: str, bounds: str, version: str | None) -> str:
    """What is wrong with an installed version; empty if nothing.

    >>> problem_of("torch", ">=2.8", "2.7.1")
    'torch 2.7.1 is installed, but >=2.8 is required'
    """
    from packaging.specifiers import SpecifierSet

    if version is None:
        return f"{name} is not installed"
    if not SpecifierSet(bounds).contains(version, prereleases=True):
        return f"{name} {version} is installed, but {bounds} is required"
    return ""


@dataclass(frozen=True, slots=True)
class Device:
    """Where the model will run.

    Attributes:
        machine: The hardware; None if the device cannot be used.
        result: The check of the device.
    """

    machine: Machine | None
    result: CheckResult


def find_device(config: Config) -> Device:
    """Check that the configured device can be used."""
    try:
        torch = loading.import_torch()
        name = loading.find_device(config.engine.device)
        torch.zeros(1, device=name)
        dtype = loading.find_precision(config.engine.dtype, name)
    except DependencyError as error:
        return Device(None, CheckResult("device", "fail", error.message, error.hint or ""))
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        detail = f"'{config.engine.device}' cannot be used: {first_line_scrubbed(error)}"
        return Device(None, CheckResult("device", "fail", detail, "Set engine.device=auto."))
    hardware = machine.inspect(name)
    free = f", {format_bytes(hardware.memory)} free" if hardware.memory is not None else ""
    return Device(
        hardware,
        CheckResult("device", "pass", f"{name}, {hardware.cores} cores{free}; labelling and training in {dtype}"),
    )


def memory(config: Config, hardware: Machine, weights: int, folder: Path, role: str = "base") -> CheckResult:
    """Compare the memory a model needs with what is free.

    Args:
        config: The settings.
        hardware: This machine.
        weights: Bytes of its safetensors files.
        folder: Folder with its config.json.
        role: `base`, or the role of a teacher.
    """
    name = "memory" if role == "base" else f"memory, {role.replace('_', ' ')}"
    settings = read_object(folder / "config.json")
    stored = next((str(settings[name]) for name in DTYPES if settings.get(name)), None)
    count = machine.parameters(weights, stored)
    dtype = loading.find_precision(config.engine.dtype, hardware.device)
    later = dtype if config.evaluation.dtype == "same" else config.evaluation.dtype
    need = machine.memory_needed(count, {"labelling": dtype, "evaluation": later})
    text = f"about {format_bytes(need)} needed for {count / 1e6:,.0f} million parameters"
    if hardware.memory is None:
        return CheckResult(name, "skipped", f"{text}; the free memory is unknown")
    text += f", {format_bytes(hardware.memory)} free"
    if need > hardware.memory:
        remedy = "Choose a smaller base, free some memory, or halve the need with evaluation.dtype=same."
        return CheckResult(name, "fail", text, remedy)
    return CheckResult(name, "pass", text)


def _count_of(part: int, total: int) -> str:
    return f"{part:,}" if part == total else f"{part:,} of {total:,}"


@dataclass
class TokenCounter:
    """Token counts and context length of a base without its weights: all that fitting a prompt needs."""

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
        """Not available without weights."""
        raise NotImplementedError

    def generate(self, prompts: Sequence[Prompt], max_new_tokens: int) -> list[Generation]:
        """Not available without weights."""
        raise NotImplementedError


@dataclass
class ModelPreflight:
    """Tokenizer, data, prompt and model of a run.

    Attributes:
        config: The settings.
        models: Folders with configuration and tokenizer, by role: of the base, and of teachers that are other models.
        connection: The Hub; its cache receives what is pulled.
        console: Where progress is reported.
        folder: A temporary folder.
        large: Roles whose data is too large to be pulled here.
    """

    config: Config
    models: Mapping[str, Path]
    connection: Connection
    console: Console
    folder: Path
    large: frozenset[str]

    @cached_property
    def context(self) -> RunContext:
        """The run context, on a temporary run folder."""
        run = RunFolder(self.folder)
        run.path.mkdir(parents=True, exist_ok=True)
        return RunContext(self.config, run, lambda _: self.connection, Console("quiet"))

    def results(self, *, model: bool) -> Iterator[CheckResult]:
        """Make all checks."""
        for role in self.models:
            results = list(self._files_checks(role))
            yield from results
            if failed(results):
                return
        try:
            questions, data = self._questions()
            passages = self._passages()
        except SoloHubError as error:
            yield CheckResult("data", "fail", error.message, error.hint or "")
            return
        yield from data
        if self._classifies() and not self.config.teacher.base:  # an encoder sees the text alone, truncated
            return
        chat = self.config.teacher.prompt == "chat"
        if questions and passages is not None:
            yield self._prompt(
                TokenCounter(self._files(self._asked).tokenizer, self._context(), self._asked),
                questions,
                passages,
                chat=chat,
            )
        else:
            yield CheckResult("teacher's prompt", "skipped", "the data is too large to be pulled for this check")
        if model:
            yield from self._answers(questions[0] if questions else ANY)
        else:
            yield CheckResult("log-probabilities", "skipped", "use --model to load the model for this check")

    def _classifies(self) -> bool:
        """Whether the student is an encoder; a missing engine has been reported already."""
        try:
            return self.context.classifies
        except SoloHubError:
            return False

    @property
    def _asked(self) -> str:
        """Role of the model that is asked for the labels: the first teacher."""
        return "teacher" if "teacher" in self.models else "base"

    @cached_property
    def _teachers(self) -> dict[str, TeacherModel]:
        return {references.teacher_role(n): model for n, model in enumerate(self.config.teacher.base)}

    def _files(self, role: str) -> BaseFiles:
        """Tokenizer, chat template and generation settings of a model."""
        teacher = self._teachers.get(role)
        settings = engine_of(self.config, teacher)
        reader: type[BaseFiles] = getattr(find("engines", settings.name), "base_files", BaseFiles)
        name = teacher.base if teacher else self.config.base
        return reader(self.models[role], name, datetime.now(UTC).date(), trust_remote_code=settings.trust_remote_code)

    def _files_checks(self, role: str) -> Iterator[CheckResult]:
        """Tokenizer and files of a model; only the tokenizer if it is no language model."""
        files, of = self._files(role), "" if role == "base" else f", {role.replace('_', ' ')}"
        try:
            yield CheckResult(f"tokenizer{of}", "pass", f"{len(files.tokenizer):,} tokens")
        except ModelError as error:
            yield CheckResult(f"tokenizer{of}", "fail", error.message, error.hint or "")
            return
        engine = find("engines", engine_of(self.config, self._teachers.get(role)).name)
        if getattr(engine, "classifies", False) or getattr(engine, "reads_text", False):
            return
        for result in self._base(files):
            yield replace(result, name=f"{result.name}{of}")

    def _context(self) -> int:
        settings = read_object(self.models[self._asked] / "config.json")
        text = settings.get("text_config") if isinstance(settings.get("text_config"), dict) else settings
        text = text or {}
        return int(text.get("max_position_embeddings") or text.get("n_positions") or 2048)

    def _base(self, files: BaseFiles) -> Iterator[CheckResult]:
        """Settings in the base's own files that would stop the run, or change prompts and answers."""
        chat = self.config.teacher.prompt == "chat"
        try:
            files.check(self.config.teacher.prompt)
        except ModelError as error:
            yield CheckResult("base files", "fail", error.message, error.hint or "")
            return
        yield self._end_of_turn(files, chat=chat)
        yield from (CheckResult("base files", "pass", note) for note in files.notes(self.config.teacher.prompt))

    def _end_of_turn(self, files: BaseFiles, *, chat: bool) -> CheckResult:
        """The tokens that end an answer, by the engine's rule; the one that is trained first."""
        name, trained = "end of turn", files.chat.end_token if chat else None
        ids = list(dict.fromkeys(files.stop_tokens if trained is None else (trained, *files.stop_tokens)))
        tokens = files.tokenizer.convert_ids_to_tokens(ids)
        shown = ", ".join(f"{token} ({i})" for token, i in zip(tokens, ids, strict=True))
        if chat and trained is None:
            text = f"{shown}, but the chat format ends a turn with {files.chat.ending!r}, which is not a token"
            return CheckResult(name, "warn", text, "The student may not stop: prefer teacher.prompt=plain.")
        more = "; the student is trained on the first" if ids[1:] else ""
        return CheckResult(name, "pass", shown + more)

    def _questions(self) -> tuple[list[Question], list[CheckResult]]:
        """The questions the run would label, chosen in the same way; of answers only the column is checked.

        Raises:
            SoloHubError: What would stop the run.
        """
        context = self.context
        if {"questions", "evaluation_questions"} & self.large:
            return [], [CheckResult("questions", "skipped", "too large to be read here; the run reads them")]
        if "questions" not in context.resolved.repos:
            return self._written()
        questions = task_step.questions(context, "questions")
        held_out = task_step.questions(context, "evaluation_questions")
        read_held_out(context)
        task, seed = self.config.task, self.config.seed
        remaining, overlap = sampling.without_overlap(questions, held_out)
        if not remaining:
            raise InputError(
                "every question is also in the held-out set.",
                file=context.place("questions"),
                hint="Hold out different questions.",
            )
        chosen = sampling.sample(remaining, task.train_limit, seed)
        evaluated = sampling.sample(held_out, task.evaluation_limit, seed)
        text = f"{_count_of(len(chosen), len(questions))} to label, {_count_of(len(evaluated), len(held_out))} held out"
        if overlap:
            text += f"; {overlap:,} are also held out and will not be labelled"
        results = [CheckResult("questions", "pass", text)]
        if self.config.writers:
            written, more = self._written()
            return [*chosen, *written], [*results, *more]
        return chosen, results

    def _written(self) -> tuple[list[Question], list[CheckResult]]:
        """The questions the run would generate from its documents, or from the first of them.

        Raises:
            SoloHubError: What would stop the run.
        """
        name, config = "generated questions", self.config
        writers = ", ".join(config.writers)
        needs_model = any(getattr(find("question_writers", writer), "needs_engine", False) for writer in config.writers)
        if "knowledge" in self.large or needs_model:
            limit = f", at most {config.curation.limit} for training" if config.curation.limit else ""
            return [], [CheckResult(name, "skipped", f"the run generates them from the documents ({writers}){limit}")]
        documents = list(islice(self.context.shared(RunKnowledge).corpus.documents(), READ))
        first = f" of the first {READ:,}" if len(documents) == READ else ""
        written = curation_step.write(self.context, documents)
        text = f"from the documents ({writers}): {len(written.learnt):,} for training"
        if "evaluation_questions" not in self.context.resolved.repos:
            text += f", held out {written.unseen:,} about facts not studied and {written.studied:,} about studied ones"
        text += f"; {written.asked}{first}"
        return [row.question for row in written.learnt], [CheckResult(name, "pass", text)]

    def _passages(self) -> list[Passage] | None:
        """The first documents of the corpus, as passages; None if it is too large.

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
                "the corpus is empty.",
                file=context.place("knowledge"),
                hint="Set knowledge.source to a corpus with text.",
            )
        return [Passage(document.id, document.text, 0.0) for document in documents]

    def _prompt(
        self, counter: TokenCounter, questions: list[Question], passages: list[Passage], *, chat: bool
    ) -> CheckResult:
        """Fit the longest question with passages of median and of greatest length."""
        name = "teacher's prompt"
        builder = PromptBuilder(counter.chat if chat else None)
        longest = max(questions, key=lambda question: len(question.text) + sum(map(len, question.options)))
        wanted = min(self.config.knowledge.passages, len(passages))
        ordered = sorted(passages, key=lambda passage: len(passage.text))
        start = max(0, (len(ordered) - wanted) // 2)
        reserve = max(self.config.teacher.max_new_tokens, self.config.evaluation.max_new_tokens)
        # letters list the options in the prompt: the longest of all styles
        style = "letter" if self.config.teacher.style == "auto" else self.config.teacher.style
        try:
            usual, worst = (
                answering.fit(counter, builder, longest, fitted, style, reserve=reserve)
                for fitted in (ordered[start : start + wanted], ordered[len(ordered) - wanted :])
            )
        except (InputError, ModelError) as error:
            return CheckResult(name, "fail", error.message, error.hint or "")
        tokens = counter.count_tokens([usual.prompt.text])[0]
        text = f"the longest question with {wanted} passages of median length:"
        text += f" {tokens} of {counter.context_length} tokens"
        remedy = "Lower knowledge.passages, split the corpus into shorter passages, or use a longer context."
        if usual.dropped:
            return CheckResult(name, "warn", f"{text}, with {usual.dropped} passages left out", remedy)
        if worst.dropped:
            return CheckResult(name, "pass", f"{text}; with the longest passages {worst.dropped} would be left out")
        return CheckResult(name, "pass", f"{text}; even the longest passages fit")

    def _answers(self, question: Question) -> Iterator[CheckResult]:
        """Load the model and let it answer."""
        self.console.note(f"loading {self.context.teacher.name}")
        try:
            engine, builder = self.context.teacher.engine, self.context.teacher.builder
            style = "text" if self.config.teacher.style == "auto" else self.config.teacher.style
            prompt = builder.ask(question, style)
            scores = engine.score([prompt], [builder.continuations(question, style) or [builder.continuation("yes")]])
            written = engine.generate([prompt], 8)[0]
        except SoloHubError as error:
            yield CheckResult("model", "fail", error.message, error.hint or "")
            return
        yield CheckResult("model", "pass", f"{engine.identity}; wrote {written.tokens} tokens")
        name = "log-probabilities"
        if scores[0] is None:
            text = "the engine returns none: labels will have no confidence"
            yield CheckResult(
                name, "warn", text, "Use a selection method that needs no confidence, e.g. selection.method=all."
            )
        elif not all(map(math.isfinite, scores[0])):
            yield CheckResult(name, "fail", "they are not finite", "Set engine.dtype=float32.")
        else:
            yield CheckResult(name, "pass", "available")
