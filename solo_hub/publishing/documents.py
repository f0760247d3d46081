"""Everything that publishing reads from a run, as one frozen value."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, cast
from urllib.parse import urlsplit

from solo_hub.core.config import Config, build
from solo_hub.core.errors import InputError
from solo_hub.core.records import CuratedQuestion, Passage, Preference, PseudoLabel, Question, Retrieval, Verdict
from solo_hub.publishing.licences import Licence, Source, derive
from solo_hub.run.resolved import Entry, LocalFile, PinnedRepo, Resolved, UsedEngine
from solo_hub.run.teachers import other_teachers

_ADDRESS = re.compile(r"https?://[\w:/.@%?=&#+~-]+", re.ASCII)
AFTER_LABELS = frozenset({"name", "student", "evaluation", "publish", "bert_score_model"})
"""Settings and repos that do not affect labels."""


@dataclass(frozen=True, slots=True)
class PromptExample:
    """An example of a closed-book prompt, so that a card can print code that uses the same prompt.

    Attributes:
        question: The example question.
        prompt: The closed-book prompt of that question, as the model reads it.
        style: Scoring style: `letter`, `text`, `text_minus_prior`, or `generate`.
        prior: The prompt without the question whose scores are subtracted (`text_minus_prior`), else None.
        continuations: Scored continuations of the prompt, one per option; empty for free text.
        special_tokens: Whether the tokenizer adds its own special tokens to the prompt.
        stop: Stop string of a generated answer, beside the end-of-turn token.
        teacher: The teacher's prompt for the same question, with passages, or None.
    """

    question: Question
    prompt: str
    style: str
    prior: str | None = None
    continuations: tuple[str, ...] = ()
    special_tokens: bool = True
    stop: str | None = None
    teacher: str | None = None


@dataclass(frozen=True)
class RunDocuments:
    """The run, as read from its folder.

    Attributes:
        config: `config.yaml`: config_version, settings, resolved.
        questions: The unlabelled questions.
        retrievals: Their retrieved passages.
        labels: One pseudo-label per question.
        verdicts: One selection verdict per label.
        report: `6-report.json`.
        adapter: The folder `5-adapter`.
        example: The student's prompt.
        adapter_files: Further text files of the adapter repo, by path (results in the Hub's format).
        curated: Questions generated from the documents, kept and dropped; empty if all are the user's.
        feedback: The teacher's rankings of answers; empty if the objective learns from none.
    """

    config: Mapping[str, Any]
    questions: tuple[Question, ...]
    retrievals: tuple[Retrieval, ...]
    labels: tuple[PseudoLabel, ...]
    verdicts: tuple[Verdict, ...]
    report: Mapping[str, Any]
    adapter: Path
    example: PromptExample
    adapter_files: Mapping[str, str] = field(default_factory=dict)
    curated: tuple[CuratedQuestion, ...] = ()
    feedback: tuple[Preference, ...] = ()

    @property
    def written(self) -> int:
        """Number of kept questions that were generated from the documents."""
        return sum(row.kept for row in self.curated)

    @cached_property
    def settings(self) -> Config:
        """The settings of the run."""
        return build(self.config["settings"])

    @cached_property
    def resolved(self) -> Resolved:
        """What the settings were resolved to: versions, commits."""
        return Resolved.read(self.config["resolved"])

    def repo(self, role: str) -> Entry | None:
        """The repo or file of a role (`base`, `questions`, `knowledge`, ...), or None."""
        return self.resolved.repos.get(role)

    @property
    def base(self) -> PinnedRepo:
        """The base model."""
        return cast("PinnedRepo", self.resolved.repos["base"])

    @property
    def teachers(self) -> tuple[str, ...]:
        """Who taught, if not the base itself: roles of repos, or a name on a server."""
        return tuple(other_teachers(self.resolved))

    def licence(self, roles: Iterable[str], what: str) -> Licence:
        """The licence of something made from the repos and files of some roles.

        Raises:
            InputError: A source forbids it.
        """
        repos = [(role, entry) for role in roles if (entry := self.repo(role))]
        return derive([source(role, entry, self.resolved.endpoint) for role, entry in repos], what)

    @property
    def subject(self) -> str:
        """What the run is about; earlier reports have it as `task`."""
        return str(self.report.get("subject") or self.report.get("task") or "a task")


def source(role: str, entry: Entry, endpoint: str | None = None) -> Source:
    """What an entry of `resolved.repos` contributes to the derivation of a licence.

    Args:
        role: Its role.
        entry: The repo or file.
        endpoint: Its Hub; the Hugging Face Hub if None.
    """
    licences = tuple(name for item in (entry.license or "").split(",") if (name := item.strip()))
    if isinstance(entry, LocalFile):
        return Source(role, entry.name, licences)
    link = entry.license_link
    if link and not _ADDRESS.fullmatch(link):
        prefix = "" if entry.type == "model" else f"{entry.type}s/"
        link = f"{hub_address(endpoint)}/{prefix}{entry.repo_id}/blob/{entry.commit}/{link.lstrip('./')}"
    return Source(role, entry.name, licences, entry.license_name, link)


@dataclass(frozen=True, slots=True)
class Row:
    """One pseudo-label with its question, verdict and passages.

    Attributes:
        question: The question.
        label: The teacher's label.
        verdict: The selection verdict.
        passages: Passages in the teacher's prompt, in order.
    """

    question: Question
    label: PseudoLabel
    verdict: Verdict
    passages: tuple[Passage, ...] = field(default=())

    def to_row(self) -> dict[str, Any]:
        """One row of the published dataset."""
        question, label, verdict = self.question, self.label, self.verdict
        return {
            "id": question.id,
            "question": question.text,
            "options": list(question.options),
            "label": label.option,
            "label_text": question.options[label.option] if label.option is not None else None,
            "probabilities": list(label.probabilities) if label.probabilities is not None else None,
            "confidence": label.confidence,
            "text": label.text,
            "explanation": label.explanation,
            "passages": [{"id": p.id, "text": p.text, "score": p.score, "source": p.source} for p in self.passages],
            "passages_dropped": label.passages_dropped,
            "kept": verdict.kept,
            "reason": verdict.reason,
            "uncertainty": verdict.uncertainty,
            "weight": verdict.weight,
            "style": label.style,
            "key": label.key,
        }


def rows(documents: RunDocuments) -> list[Row]:
    """Join labels with their questions, passages and verdicts by id, in the order of the labels.

    Raises:
        InputError: A label names a passage that was not retrieved.
    """
    questions = {question.id: question for question in documents.questions}
    retrieved = {retrieval.question_id: {p.id: p for p in retrieval.passages} for retrieval in documents.retrievals}
    verdicts = {verdict.question_id: verdict for verdict in documents.verdicts}
    joined: list[Row] = []
    for number, label in enumerate(documents.labels, start=1):
        passages = retrieved.get(label.question_id, {})
        if unknown := [passage for passage in label.passages if passage not in passages]:
            raise InputError(
                f"passage '{unknown[0]}' is not among those of question '{label.question_id}' in 2-passages.jsonl.",
                file="3-labels.jsonl",
                row=number,
                field="passages",
                hint="Run the label step again.",
            )
        used = tuple(passages[passage] for passage in label.passages)
        joined.append(Row(questions[label.question_id], label, verdicts[label.question_id], used))
    return joined


def hub_address(endpoint: str | None) -> str:
    """Prefix of links to the Hub: the endpoint; empty for a local one, where links are relative to the root.

    >>> hub_address("https://huggingface.co/"), hub_address("http://127.0.0.1:8123")
    ('https://huggingface.co', '')
    """
    address = urlsplit(endpoint or "https://huggingface.co")
    host = address.hostname or ""
    try:
        local = ipaddress.ip_address(host).is_private
    except ValueError:
        local = host == "localhost" or host.endswith((".localhost", ".local", ".internal")) or not host
    return "" if local else f"https://{address.netloc.rsplit('@', 1)[-1]}".rstrip("/")


def published_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration as it may be published: file names without folders, no address of this machine, no date.

    The same settings always give the same bytes, so publishing them again changes nothing.
    """
    clean: dict[str, Any] = without_paths(config)
    resolved = clean["resolved"]
    resolved.pop("created", None)
    resolved["endpoint"] = hub_address(resolved.get("endpoint")) or "local"
    for role, engine in Resolved.read(config["resolved"]).engines.items():
        resolved[f"{role}_engine"]["identity"] = public_identity(engine)
    return clean


def public_identity(engine: UsedEngine) -> str:
    """A teacher's identity as it may be published: a server may call its model by a path."""
    identity, model = engine.identity, engine.model
    return identity.replace(model, basename(model)) if model and _is_local_path(model) else identity


def basename(path: str) -> str:
    """Last part of a POSIX or Windows path."""
    return PureWindowsPath(PurePosixPath(path).name).name or path


def labels_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """The part of the published configuration that affects labels, without training, scoring and publishing.

    So another student on the same labels, or another run name, does not change the dataset.
    """
    clean = published_config(config)
    for part, name in ((clean, "settings"), (clean["resolved"], "repos")):
        part[name] = {key: value for key, value in part[name].items() if key not in AFTER_LABELS}
    return clean


def without_paths(value: Any) -> Any:
    """The same document with every local path reduced to the file name."""
    if isinstance(value, Mapping):
        return {str(key): without_paths(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [without_paths(item) for item in value]
    if isinstance(value, str) and _is_local_path(value):
        return basename(value)
    return value


def _is_local_path(text: str) -> bool:
    return text.startswith(("/", "~", "./", "../", "\\\\", "file:")) or PureWindowsPath(text).drive != ""
