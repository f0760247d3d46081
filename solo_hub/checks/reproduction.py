"""Reproduces a published result: runs its settings at its commits again and compares."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import yaml

from solo_hub import pipeline
from solo_hub.checks.tolerances import (
    Compared,
    Tolerances,
    compare_labels,
    compare_reports,
    compare_weights,
    compare_written,
)
from solo_hub.checks.verification import find_repo
from solo_hub.core.errors import InputError
from solo_hub.core.parsing import parse_json, parse_yaml
from solo_hub.core.records import CuratedQuestion
from solo_hub.curation.step import RunCuration
from solo_hub.hub.client import HubClient
from solo_hub.hub.repos import Pinned
from solo_hub.hub.tables import sha256_of
from solo_hub.publishing.adapter import WEIGHTS
from solo_hub.publishing.dataset import read_rows
from solo_hub.run import references
from solo_hub.run.context import RunContext
from solo_hub.run.resolved import Entry, LocalFile, Resolved

SETTINGS = {
    "base": "base",
    "questions": "task.questions",
    "evaluation_questions": "task.evaluation_questions",
    "knowledge": "knowledge.source",
    "embedder": "knowledge.embedding_model",
    "bert_score_model": "evaluation.bert_score_model",
    "general_text": "evaluation.general_text",
    "second_task": "evaluation.second_task",
    "labels": "teacher.labels",
}
"""Role of a repo -> the setting that names it."""


@dataclass(frozen=True, slots=True)
class Claim:
    """What was published, ready to be compared with a run.

    Attributes:
        repo: The published repo at its commit.
        settings: Its settings, every repo at the commit the run pulled.
        files: Local files it was made from, as role -> (name, SHA-256); they are needed to reproduce it.
        rows: The published pseudo-labels.
        report: The published report; None for a dataset, which has labels only.
        environment: Versions and platform it was made with.
        weights: SHA-256 of the adapter's weights; None for a dataset.
        chat_date: The date used by its chat template, if any.
        curated: The questions written from documents, kept and dropped; empty where all are the user's.
        left_out: Paths of the original machine that are ignored here, as (setting, value).
    """

    repo: Pinned
    settings: dict[str, Any]
    files: dict[str, tuple[str, str]]
    rows: tuple[Mapping[str, Any], ...]
    report: Mapping[str, Any] | None
    environment: Mapping[str, str]
    weights: str | None = None
    left_out: tuple[tuple[str, str], ...] = ()
    chat_date: date | None = None
    curated: tuple[CuratedQuestion, ...] = ()


def read_claim(client: HubClient, reference: str) -> Claim:
    """Pull a published repo, and with an adapter the dataset it was trained on.

    Args:
        client: The Hub.
        reference: OWNER/NAME[@REVISION] of a dataset or an adapter.

    Raises:
        RepoMissingError: There is no such repo or revision, or the dataset of an adapter no longer exists.
        InputError: It was not made by solo-hub.
    """
    repo = find_repo(client, reference)
    folder = client.pull(repo, allow=["*"])
    try:
        provenance = parse_json((folder / "provenance.json").read_text("utf-8"))
        document = parse_yaml((folder / "config.yaml").read_text("utf-8"))
        resolved = Resolved.read(document["resolved"])
        settings, files = _pinned_settings(document["settings"], resolved)
        left_out = _left_out(document["settings"], settings)
        environment, day = environment_of(resolved), resolved.chat_date
        is_adapter = provenance["kind"] == "solo-adapter"
        if not is_adapter:
            rows, curated = _rows_of(folder)
            return Claim(repo, settings, files, rows, None, environment, None, left_out, day, curated)
        labels = provenance["dataset"]
        report = parse_json((folder / "report.json").read_text("utf-8"))
        weights = provenance["files"].get(WEIGHTS)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, yaml.YAMLError) as error:
        raise InputError(
            f"'{repo.repo_id}' cannot be read as a repo published by solo-hub ({type(error).__name__}: {error}).",
            hint="Name a dataset or adapter published by solo-hub; `solo-hub verify` shows what is wrong.",
        ) from error
    dataset = client.pull(client.pin(f"{labels['repo_id']}@{labels['commit']}", "dataset"), allow=["*"])
    rows, curated = _rows_of(dataset)
    return Claim(repo, settings, files, rows, report, environment, weights, left_out, day, curated)


def _rows_of(dataset: Path) -> tuple[tuple[Mapping[str, Any], ...], tuple[CuratedQuestion, ...]]:
    """The pseudo-labels of a published dataset, and its written questions."""
    written = tuple(CuratedQuestion.from_row(row) for row in read_rows(dataset, "curated"))
    return tuple(read_rows(dataset)), written


def environment_of(resolved: Resolved) -> dict[str, str]:
    """Versions, platform and precision, on which the last digits of a result depend."""
    used = resolved.engine
    engine = {"engine device": used and used.device, "engine dtype": used and used.dtype}
    return {**resolved.versions, **{name: value for name, value in engine.items() if value}}


def _pinned_settings(
    published: Mapping[str, Any], resolved: Resolved
) -> tuple[dict[str, Any], dict[str, tuple[str, str]]]:
    """The settings with every repo at its commit, and the local files they name.

    What is specific to the original machine is left out: its Hub, names and servers, the permission to run code of a
    model repo (see `untrusted_settings`), and every reference that has neither a commit nor a hash, because it would
    name a file of this machine.
    """
    from solo_hub.core.config import put, untrusted_settings

    settings: dict[str, Any] = untrusted_settings(json.loads(json.dumps(published)))
    for role, dotted in SETTINGS.items():
        section, _, key = dotted.rpartition(".")
        if role not in resolved.repos:
            (settings.get(section) or {} if section else settings).pop(key, None)
    if arms := (settings.get("evaluation") or {}).get("arms"):
        pinned_arms = {role for role, entry in resolved.repos.items() if entry.commit}
        names = {arm: f"{references.ARM}{arm.partition('=')[0]}" for arm in arms if "=" in arm}
        settings["evaluation"]["arms"] = [arm for arm in arms if arm not in names or names[arm] in pinned_arms]
    _pin_teachers(settings, resolved.repos)
    files: dict[str, tuple[str, str]] = {}
    for role, entry in resolved.repos.items():
        if role.startswith(references.ARM) and entry.commit:
            arms = settings["evaluation"]["arms"]
            name = role.removeprefix(references.ARM)
            pinned = f"{name}={entry.identity}"
            settings["evaluation"]["arms"] = [pinned if arm.startswith(f"{name}=") else arm for arm in arms]
        elif role not in SETTINGS:
            continue
        elif isinstance(entry, LocalFile):
            files[role] = entry.file, entry.sha256
        else:
            put(settings, SETTINGS[role], entry.identity)
    for key in ("hub", "publish", "name"):
        settings.pop(key, None)
    settings["engine"]["device"] = "auto"
    precision = resolved.engine and resolved.engine.dtype
    if precision in {"float32", "bfloat16"}:
        settings["engine"]["dtype"] = precision
    return settings, files


def _pin_teachers(settings: Mapping[str, Any], repos: Mapping[str, Entry]) -> None:
    """Name the models of `teacher.base` at the commits of the run."""
    for number, model in enumerate((settings.get("teacher") or {}).get("base") or ()):
        model["base"] = repos[references.teacher_role(number)].identity


def _left_out(theirs: Mapping[str, Any], kept: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """Files and folders that `_pinned_settings` leaves out although the result depends on them."""
    examples = (theirs.get("teacher") or {}).get("examples")
    names = {arm.partition("=")[0] for arm in (kept.get("evaluation") or {}).get("arms") or ()}
    arms = [arm for arm in (theirs.get("evaluation") or {}).get("arms") or () if arm.partition("=")[0] not in names]
    return (
        *((("teacher.examples", str(examples)),) if examples else ()),
        *(("evaluation.arms", str(arm)) for arm in arms),
    )


def check_files(claim: Claim, given: Mapping[str, Path | None]) -> None:
    """Check that local files are those of the published run.

    Args:
        claim: What was published.
        given: The local files, by role.

    Raises:
        InputError: One is missing or differs.
    """
    for role, (name, sha256) in claim.files.items():
        file = given.get(role)
        option = {
            "knowledge": "--knowledge FILE",
            "evaluation_questions": "--set task.evaluation_questions=FILE",
            "labels": "--set teacher.labels=FILE",
        }.get(role, "--questions FILE")
        if file is None or not file.is_file():
            raise InputError(
                f"'{claim.repo.repo_id}' was made from the file '{name}', which is not on the Hub.",
                hint=f"Give it with {option}; its SHA-256 is {sha256}.",
            )
        if sha256_of(file) != sha256:
            raise InputError(
                "is not the file of the published run: its SHA-256 differs.",
                file=str(file),
                hint=f"The SHA-256 of '{name}' is {sha256}.",
            )


def reproduce(context: RunContext, claim: Claim, allowed: Tolerances) -> list[Compared]:
    """Run what was published again, and compare.

    Args:
        context: A run with the settings of the claim.
        claim: What was published.
        allowed: What may differ.

    Returns:
        Every comparison; what is not `same` was not reproduced.
    """
    _warn(context, claim)
    if claim.chat_date and context.resolved.chat_date is None:
        context.record(chat_date=claim.chat_date)  # the same prompts, although the date differs
    if claim.report is not None:
        pipeline.check_early(context)
    questions = pipeline.load_questions(context)
    passages = pipeline.find_passages(context, questions)
    labels = pipeline.label(context, questions, passages)
    selection = pipeline.select(context, questions, passages, labels)
    compared = compare_written(claim.curated, context.shared(RunCuration).rows, allowed) if claim.curated else []
    compared += compare_labels(claim.rows, labels, selection.verdicts, allowed)
    if claim.report is not None:
        preferences = pipeline.rank(context, questions, passages, labels)
        trained = pipeline.train(context, questions, passages, labels, selection, preferences)
        report = pipeline.evaluate(context, questions, passages, labels, selection, preferences, trained)
        compared += compare_weights(claim.weights, sha256_of(context.run.file("adapter") / WEIGHTS))
        compared += compare_reports(claim.report, report, allowed)
    return compared


def _warn(context: RunContext, claim: Claim) -> None:
    """Warn of settings that are left out, and of questions that are sent to a server at the user's expense."""
    config = context.config
    arms = {arm.partition("=")[0] for arm in config.evaluation.arms}
    for setting, value in claim.left_out:
        own = config.teacher.examples if setting == "teacher.examples" else value.partition("=")[0] in arms
        if not own:
            context.console.warn(
                f"'{claim.repo.repo_id}' was made with the local path {value!r:.200}, which is ignored here. "
                f"Set your own with --set {setting}=..., or the results will differ."
            )
    paid = [teacher for teacher in context.teachers if teacher.settings.name == "inference"]
    for teacher in paid if config.teacher.labels is None and not context.run.has("labels") else ():
        engine = teacher.settings
        model = engine.model or teacher.name.partition("@")[0]
        place = engine.url or f"Inference Providers (engine.provider={engine.provider!r:.100})"
        context.console.warn(
            f"The teacher is {model!r:.200} at {place}: every question "
            f"{f'of {config.task.questions}' if config.task.questions else 'written'}, with its passages, "
            "is sent there with your token and at your expense. Stop now if you do not want that, or run the "
            "model locally with --set engine.name=transformers."
        )
