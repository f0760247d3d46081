"""Resolution of settings: the section `resolved` of a run's `config.yaml`.

Every repo is pinned to a commit and every file to its hash once; a reopened run keeps them. Changed settings are
rejected, or with `--update` accepted, and the affected steps are redone.
"""

from __future__ import annotations

import json
import platform
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from solo_hub import __version__
from solo_hub.core.config import CONFIG_VERSION, Config, build
from solo_hub.core.console import Console
from solo_hub.core.errors import ConfigError, RunError
from solo_hub.core.files import write_text
from solo_hub.core.plugins import find
from solo_hub.core.settings import EngineSettings
from solo_hub.core.system import version_of
from solo_hub.hub.client import HubClient
from solo_hub.run import arm_bases, references, replaced, settings_checks
from solo_hub.run.folder import STEPS, RunFolder
from solo_hub.run.resolved import Entry, LocalFile, PinnedRepo, Resolved, UsedEngine

LIBRARIES = (
    "torch", "transformers", "peft", "datasets", "huggingface-hub", "sentence-transformers", "faiss-cpu",
    "evaluate", "bert-score", "rouge-score", "numpy",
)  # fmt: skip
"""Libraries whose versions are recorded in `config.yaml`: those that can affect results."""

FIRST_STEP = {
    "base": "labels",
    "seed": "questions",
    "task": "questions",
    "curation": "questions",
    "knowledge": "passages",
    "engine": "labels",
    "teacher": "labels",
    "filters": "selection",
    "selection": "selection",
    "student": "adapter",
    "evaluation": "report",
}
"""The first step affected by each section of the settings; other sections affect only publishing."""

LATER = {"task.evaluation_limit": "report"}
"""Settings that affect a later step than the rest of their section."""

RETRIEVAL = ("retriever", "retriever_options", "passages")
"""Settings of `knowledge` that change what is found for a question, and not the documents it may be written from."""

FIRST_STEP_OF_ROLE = {
    "base": "labels",
    "questions": "questions",
    "evaluation_questions": "questions",
    "knowledge": "passages",
    "embedder": "passages",
    "labels": "labels",
    references.EARLIER_STUDENT: "labels",
}
"""The first step that reads each role; other roles are read only by the report."""

CONNECTION_SETTINGS = (
    *(f"engine.{name}" for name in ("url", "token_variable", "concurrency", "attempts", "timeout")),
    "knowledge.embedder_options",
    *(f"knowledge.embedder_{name}" for name in ("urls", "token", "concurrency", "attempts", "timeout")),
)
"""Settings of server connections, which do not affect answers: they may differ in a resumed run.

The last five were settings of earlier versions, and are not part of their hashes.
"""


def reopen(
    run: RunFolder, config: Config, client: Callable[[], HubClient], console: Console, *, update: bool
) -> Resolved:
    """Reopen a run: its resolved settings, with `update` brought up to date with changed settings.

    Args:
        run: The run folder; results of steps affected by changed settings are moved aside, in one transaction with the
            new `config.yaml`, after everything that can fail. Settings that have no results yet may change without
            `update`.
        config: The current settings.
        client: Opens the Hub; called only if something must be pinned.
        console: Where it reports which steps are redone.
        update: Accept changed settings.

    Raises:
        RunError: `config.yaml` cannot be read, or belongs to another configuration and `update` is off.
        ConfigError: The changed settings are invalid; nothing was changed.
        HubError: A repo is missing, gated, or unreachable; nothing was changed.
    """
    before, resolved = _read(run)
    now = config.model_dump(mode="json")
    differing = differences(_without_servers(before), _without_servers(now))
    changed = {key: values for key, values in differing.items() if _affects_results(key, config)}
    edited = _edited(run)
    resolved, files = _without_changed_files(run, resolved, config, update=update)
    steps = [*(_first_step(key, config) for key in (*changed, *edited)), *files.values()]
    if not steps:
        return resolved
    step = min(steps, key=STEPS.index)
    touched = replaced.touched(run, step)
    if touched and not update:
        done = [key for key in (*changed, *edited) if replaced.touched(run, _first_step(key, config))]
        key = (done or edited)[0]
        message = (
            f"The run folder '{run}' belongs to another configuration: "
            f"{key} is {changed[key][0]!r} there and {changed[key][1]!r} here."
            if key in changed
            else f"'{run.file('config')}' was edited: its '{key}' does not match the hash in .sums.json."
        )
        raise RunError(
            message, hint="Choose another folder with --run DIR, or redo the steps that changed with --update."
        )
    settings_checks.check(config)
    earlier = None if edited or files else replaced.find(run, now, _completed)
    updated = _validated(run, earlier.resolved) if earlier else _resolve_again(config, client, resolved, step)
    # nothing below can fail: change the folder in one transaction
    if touched or earlier:
        made = document(config, updated)
        run.record_hashes(_parts(made), _parts(run.read_config()))
        if earlier:
            console.note("settings match an earlier state again: restoring its results")
            replaced.take_back(run, earlier, _text(made))
        else:
            console.note(f"settings changed: redoing the steps from {step} on; previous results are kept until then")
            replaced.set_aside(run, step, _text(made), known=not edited)
    return updated


def _affects_results(key: str, config: Config) -> bool:
    """Whether results of a run depend on a setting; those of curation only where questions are written."""
    section, _, name = key.partition(".")
    idle = section == "curation" and name != "writers" and not config.writers
    is_connection = f"{section}.{name.partition('.')[0]}" in CONNECTION_SETTINGS
    return section in FIRST_STEP and not is_connection and not idle


def _without_servers(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings without the connections of the models in `teacher.base`, which do not affect answers."""
    teacher = settings.get("teacher") or {}
    models = [{**model, "engine": _answering(model.get("engine"))} for model in teacher.get("base") or ()]
    return {**settings, "teacher": {**teacher, "base": models}}


def _answering(engine: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Settings of an engine that affect its answers."""
    if engine is None:
        return None
    return {key: value for key, value in engine.items() if f"engine.{key}" not in CONNECTION_SETTINGS}


def _first_step(key: str, config: Config) -> str:
    """The first step that a changed setting, or any of a section, touches; documents may decide what is asked."""
    section, _, name = key.partition(".")
    documents = section == "knowledge" and name.split(".")[0] not in RETRIEVAL
    written = documents and bool(config.writers)
    by_model = section in ("base", "engine") and any(
        getattr(find("question_writers", writer), "needs_engine", False) for writer in config.writers
    )
    return "questions" if written or by_model else LATER.get(key) or FIRST_STEP[section]


def _completed(settings: Mapping[str, Any]) -> dict[str, Any] | None:
    """Settings with defaults for newer settings; None if they are not valid in this version."""
    try:
        return build(settings, "earlier settings").model_dump(mode="json")
    except ConfigError:
        return None


def _without_changed_files(
    run: RunFolder, resolved: Resolved, config: Config, *, update: bool
) -> tuple[Resolved, dict[str, str]]:
    """Drop the entries of files that have changed, if they have no results yet or `update` is on.

    Returns:
        The resolved settings without these files; and role -> first step that reads it.
    """
    repos, changed = dict(resolved.repos), {}
    for role, entry in resolved.repos.items():
        written = role == "knowledge" and bool(config.writers)
        step = "questions" if written else FIRST_STEP_OF_ROLE.get(role, "report")
        if not isinstance(entry, LocalFile) or (not update and replaced.touched(run, step)):
            continue  # a changed file is rejected when it is opened
        if not references.is_unchanged(Path(entry.file), entry.sha256):
            changed[role] = step
            del repos[role]
    return resolved.model_copy(update={"repos": repos}), changed


def _resolve_again(config: Config, client: Callable[[], HubClient], before: Resolved, step: str) -> Resolved:
    """Resolve changed settings; decisions of the steps before the first redone one are kept."""
    again = resolve(config, client, before)
    decided = (
        ("curated", "questions"),
        ("classes", "questions"),
        ("setups", "labels"),
        ("teachers", "labels"),
        ("filtered", "selection"),
    )
    kept = {name: getattr(before, name) for name, by in decided if STEPS.index(by) < STEPS.index(step)}
    return again.model_copy(update={name: value for name, value in kept.items() if value is not None})


def document(config: Config, resolved: Resolved) -> dict[str, Any]:
    """The content of `config.yaml`."""
    return {"config_version": CONFIG_VERSION, "settings": config.model_dump(mode="json"), "resolved": resolved.to_row()}


def _text(made: Mapping[str, Any]) -> str:
    return yaml.safe_dump(made, sort_keys=False, allow_unicode=True, width=120)


def save(run: RunFolder, made: Mapping[str, Any]) -> None:
    """Write `config.yaml`, and record a hash of each part that results depend on."""
    text = _text(made)
    path = run.file("config")
    present = run.read_config() if path.exists() else None
    if present == made:  # an earlier version may have had its keys in another order
        return
    run.record_hashes(_parts(made), _parts(present) if present else {})
    write_text(path, text)


def _parts(made: Mapping[str, Any]) -> dict[str, bytes]:
    """The parts of `config.yaml` that results depend on, by the names of their hashes; without comments and order.

    A part that is missing or invalid is empty.
    """
    settings = {section: made["settings"].get(section) for section in FIRST_STEP}
    for dotted in CONNECTION_SETTINGS:
        section, key = dotted.split(".")
        if isinstance(settings[section], Mapping):
            settings[section] = {name: value for name, value in settings[section].items() if name != key}
    parts = {**settings, "resolved": made["resolved"]}
    return {f"config.{name}": _canonical(value) for name, value in parts.items()}


def _canonical(value: Any) -> bytes:
    """The same bytes for the same value, whatever the order of its keys."""
    try:
        return json.dumps(value, sort_keys=True).encode() if value is not None else b""
    except (TypeError, ValueError, RecursionError):  # keys or values that YAML has but JSON does not
        return b""


def _edited(run: RunFolder) -> list[str]:
    """Sections of the settings in `config.yaml` that were edited by hand.

    Raises:
        RunError: The section `resolved` was edited.
    """
    parts = _parts(run.read_config())
    edited = [name.removeprefix("config.") for name, content in parts.items() if not run.hash_matches(name, content)]
    if "resolved" in edited:
        raise not_resolved(run, "its hash differs from .sums.json")
    return edited


def not_resolved(run: RunFolder, why: str) -> RunError:
    """The error about an edited section `resolved`, to be raised."""
    return RunError(
        f"The section 'resolved' of '{run.file('config')}' was edited: {why}.",
        hint="Restore it, or choose another folder with --run DIR.",
    )


def _read(run: RunFolder) -> tuple[dict[str, Any], Resolved]:
    """The settings as JSON types, and the resolved settings."""
    path, document = run.file("config"), run.read_config()
    before, resolved, version = document["settings"], document["resolved"], document.get("config_version")
    if version != CONFIG_VERSION:
        raise RunError(
            f"'{path}' was written by another version (format {version}, here {CONFIG_VERSION}).",
            hint="Choose another folder with --run DIR.",
        )
    # settings newer than the run get their defaults
    return build(before, str(path)).model_dump(mode="json"), _validated(run, resolved)


def read_resolved(run: RunFolder) -> Resolved:
    """The section `resolved` of a run's `config.yaml`.

    Raises:
        RunError: It is missing or invalid.
    """
    return _validated(run, run.read_config()["resolved"])


def _validated(run: RunFolder, row: Any) -> Resolved:
    try:
        return Resolved.read(row)
    except ValueError as error:
        raise not_resolved(run, str(error)) from None


def resolve(config: Config, client: Callable[[], HubClient], before: Resolved | None = None) -> Resolved:
    """Pin every repo and record versions; what an earlier resolution pinned for the same reference is kept.

    Args:
        config: The settings.
        client: Opens the Hub; called only if something must be pinned.
        before: An earlier resolution.

    Raises:
        HubError: A repo is missing, gated, or unreachable.
    """
    before = before or Resolved(repos={})
    repos: dict[str, Entry] = {}
    named = references.references_of(config)
    for role, (reference, kind) in named.items():
        old = before.repos.get(role)
        if old is not None and old.reference == reference:
            repos[role] = old
            continue
        file = references.local(role, reference, kind)
        if file is not None:
            hash_now = references.sha256(file)
            repos[role] = LocalFile(file=str(file), sha256=hash_now, license=None, reference=reference)
        else:
            repos[role] = PinnedRepo(**client().pin(reference, kind).to_row(), reference=reference)
    repos |= arm_bases.pin_all(repos, before.repos, client)
    engines = _known_engines(config, before, repos)
    versions = {name: version for name in LIBRARIES if (version := version_of(name))}
    return Resolved(
        created=before.created or datetime.now(UTC).isoformat(timespec="seconds"),
        solo_hub=__version__,
        python=platform.python_version(),
        platform=f"{platform.system()} {platform.machine()}",
        libraries=versions,
        endpoint=before.endpoint or (client().endpoint if any(entry.commit for entry in repos.values()) else None),
        repos=repos,
        **({"chat_date": before.chat_date} if before.chat_date else {}),
        **engines,
    )


def _known_engines(config: Config, before: Resolved, repos: Mapping[str, Entry]) -> dict[str, Any]:
    """Engines of an earlier resolution that give the same answers now, with the settings they were found with."""
    same: dict[str, Any] = {}
    if before.engine and _answers_alike(before.engine_settings, config.engine):
        same["engine"] = before.engine
    engines: dict[str, UsedEngine] = {}
    models = config.teacher.base or (None,)
    for number, model in enumerate(models):
        role = references.teacher_role(number)
        known = before.engines.get(role)
        pinned, pinned_before = (found.get(role if model else "base") for found in (repos, before.repos))
        settings = model.engine if model and model.engine else config.engine
        if known is None or pinned != pinned_before:
            continue
        if _answers_alike(known.settings or before.engine_settings, settings):
            engines[role] = known
    same |= {"engines": engines} if engines else {}
    return {**same, "engine_settings": config.engine.model_dump()} if same else {}


def _answers_alike(before: Mapping[str, Any] | None, now: EngineSettings) -> bool:
    """Whether an engine with earlier settings gives the same answers."""
    if before is None:
        return False
    earlier = EngineSettings.model_validate(before).model_dump()  # newer settings get their defaults
    return all(
        earlier[key] == value for key, value in now.model_dump().items() if f"engine.{key}" not in CONNECTION_SETTINGS
    )


def differences(before: Mapping[str, Any], after: Mapping[str, Any], prefix: str = "") -> dict[str, tuple[Any, Any]]:
    """Dotted keys in which two documents differ, with both values; None where one lacks a key."""
    found: dict[str, tuple[Any, Any]] = {}
    for key in sorted({*before, *after}):
        a, b = before.get(key), after.get(key)
        if isinstance(a, Mapping) and isinstance(b, Mapping):
            found |= differences(a, b, f"{prefix}{key}.")
        elif a != b:
            found[f"{prefix}{key}"] = a, b
    return found
