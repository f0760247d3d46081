"""Opens a comparison: from a run folder, a published adapter repo, or the folder of a Space.

A published adapter names everything else (base, knowledge base, embedder) at exact commits. Nothing is written to a
run folder that is looked at.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import uuid
import weakref
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from solo_hub.core.config import Config, build, untrusted_settings
from solo_hub.core.console import Console
from solo_hub.core.errors import RunError, SoloHubError
from solo_hub.core.parsing import parse_json, parse_yaml
from solo_hub.core.records import CuratedQuestion
from solo_hub.core.redaction import first_line_scrubbed
from solo_hub.core.report_settings import EvaluationSettings
from solo_hub.core.settings import Section
from solo_hub.curation.step import as_held_out
from solo_hub.evaluation.comparison.asking import Comparison, Origin
from solo_hub.evaluation.comparison.cases import Case, read_cases
from solo_hub.evaluation.golds import golds as golds_of
from solo_hub.hub import tables
from solo_hub.hub.connection import Connection
from solo_hub.run.context import RunContext
from solo_hub.run.folder import RunFolder
from solo_hub.run.resolved import PinnedRepo, Resolved
from solo_hub.tasks import loading
from solo_hub.tasks import step as task_step

ADAPTER_FILES = ("adapter_config.json", "adapter_model.safetensors", "config.yaml", "provenance.json", "report.json")
CURATED = "data/curated"  # where a published dataset has the written questions
MOST_LISTED = 500  # questions of a published repo that are offered; a list beyond that helps nobody

Connect = Callable[[list[str]], Connection]


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
        raise RunError(f"'{folder}' is not a run folder.", hint="Name the folder of a run, e.g. runs/demo.")
    settings, resolved = _read_document(run.file("config"))
    report = _shown(run.read_json("report"), f"'{folder}'")
    published = run.read_json("published") if run.has("published") else {}
    cases = read_cases(run)
    context = make_context(settings, resolved, connect, console)
    origin = Origin(
        str(report.get("run", folder.name)), str(published.get("adapter", {}).get("url", "")), _repos(resolved)
    )
    return Comparison(context, run.file("adapter"), report, cases, origin, total=len(cases))


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
    client = connection.client()
    pinned = client.pin(reference, "model")
    folder = client.pull(pinned, allow=list(ADAPTER_FILES))
    missing = [name for name in ADAPTER_FILES if not (folder / name).is_file()]
    if missing:
        raise RunError(
            f"The model '{pinned.repo_id}' was not published by solo-hub: it has no {missing[0]}.",
            hint="Name an adapter repo made by `solo-hub publish`, or a run folder.",
        )
    settings, resolved = _read_document(folder / "config.yaml")
    settings = untrusted_settings(settings)
    settings["engine"]["trust_remote_code"] = trust_remote_code
    try:
        report = _shown(parse_json((folder / "report.json").read_text("utf-8")), f"The model '{pinned.repo_id}'")
    except (OSError, ValueError) as error:
        raise _no_report(f"The model '{pinned.repo_id}'") from error
    context = make_context(settings, resolved, lambda _: connection, console)
    origin = Origin(
        pinned.repo_id, f"{client.endpoint}/{pinned.repo_id}/tree/{pinned.commit}", _repos(resolved), published=True
    )
    cases, total = excerpt or (_questions_of(context, folder), int(report["n_questions"]))
    return Comparison(context, folder, report, cases, origin, total=total)


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
            "This folder does not name an adapter to show.", hint="Fill and publish it with `solo-hub space push`."
        ) from error
    connection = Connection(None, None, None)
    reference = f"{adapter['repo_id']}@{adapter['commit']}"
    return open_repo(reference, connection, console, excerpt=(cases, total))


def _shown(report: Any, whose: str) -> dict[str, Any]:
    """A report, once the page can be made of it.

    Raises:
        RunError: It is none.
    """
    from solo_hub.evaluation.comparison import pages

    try:
        pages.heading(Origin(""), report)
        pages.accuracy(report)
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise _no_report(whose) from error
    return dict(report)


def _no_report(whose: str) -> RunError:
    return RunError(f"{whose} has a report that was not written by solo-hub.", hint="Use another run or repo.")


def _questions_of(context: RunContext, adapter: Path) -> list[Case]:
    """The evaluation's questions with their known answers: from their own repo, or from the published dataset."""
    if context.config.writers and "evaluation_questions" not in context.resolved.repos:
        return _written_for(context, adapter)
    if not isinstance(context.resolved.repos.get("evaluation_questions"), PinnedRepo):
        return []
    questions = task_step.questions(context, "evaluation_questions")[:MOST_LISTED]
    golds = {gold.question_id: gold for gold in golds_of(context, "evaluation_questions", questions)}
    return [Case(question, golds.get(question.id)) for question in questions]


def _written_for(context: RunContext, adapter: Path) -> list[Case]:
    """The written questions that were held out; none where the dataset is gone or is not one of solo-hub's."""
    try:
        named = parse_json((adapter / "provenance.json").read_text("utf-8"))["dataset"]
        client = context.client
        pinned = client.pin(f"{named['repo_id']}@{named['commit']}", "dataset")
        files = sorted(client.pull(pinned, allow=[f"{CURATED}/*"]).glob(f"{CURATED}/*.parquet"))
        rows = [CuratedQuestion.from_row(row) for file in files for _, row in tables.read_table(file)]
    except (OSError, ValueError, KeyError, TypeError, SoloHubError) as error:
        context.console.note(f"the questions of the evaluation cannot be shown: {first_line_scrubbed(error)}")
        return []
    questions, golds = as_held_out(rows)
    known = {gold.question_id: gold for gold in golds}
    chosen = loading.sample(questions, context.config.task.evaluation_limit, context.config.seed)
    return [Case(question, known[question.id]) for question in chosen[:MOST_LISTED]]


def make_context(settings: Mapping[str, Any], resolved: Resolved, connect: Connect, console: Console) -> RunContext:
    """A run context in a folder of its own, so that looking at a run changes nothing in it.

    The device is chosen anew: a run trained on a GPU is also shown where there is none. The precision is that of the
    evaluation from the start.
    """
    # created only if rows are left out: `serve` becomes another process, which would leave it behind
    run = RunFolder(Path(tempfile.gettempdir(), f"solo-hub-compare-{uuid.uuid4().hex}"))
    settings = _of_this_version(settings, Config, console)
    evaluation = settings.get("evaluation")
    given = evaluation if isinstance(evaluation, Mapping) else {}  # what is none is refused below
    evaluated = given.get("dtype", EvaluationSettings().dtype)
    shown = {"device": "auto", **({} if evaluated == "same" else {"dtype": evaluated})}
    settings["engine"] = {**settings.get("engine", {}), **shown}
    config = build(settings, "the run's settings")
    served = {role: engine for role, engine in resolved.engines.items() if not engine.device}
    resolved = resolved.model_copy(update={"engine": None, "engine_settings": None, "engines": served})
    if "teacher" not in resolved.setups:
        raise RunError("The run's config.yaml has no scoring style of the teacher.", hint="Finish the run first.")
    context = RunContext(config, run, connect, console, resolved=resolved)
    weakref.finalize(context, shutil.rmtree, run.path, ignore_errors=True)
    return context


def _of_this_version(
    data: Mapping[str, Any], section: type[Section], console: Console, prefix: str = ""
) -> dict[str, Any]:
    """Leave out settings this version does not know: what another version published can still be shown."""
    kept: dict[str, Any] = {}
    for name, value in data.items():
        known = section.model_fields.get(name)
        if known is None:
            console.note(f"the setting {prefix}{name} is of another version and is ignored")
            continue
        inner = known.annotation
        if isinstance(inner, type) and issubclass(inner, Section) and isinstance(value, Mapping):
            kept[name] = _of_this_version(value, inner, console, f"{prefix}{name}.")
        else:
            kept[name] = value
    return kept


def _read_document(path: Path) -> tuple[dict[str, Any], Resolved]:
    try:
        document = parse_yaml(path.read_text("utf-8"))
        resolved = Resolved.read(document["resolved"])
        if isinstance(document["settings"], dict) and "base" in resolved.repos:
            return document["settings"], resolved
    except (OSError, ValueError, yaml.YAMLError, KeyError, TypeError, RecursionError) as error:
        raise RunError(f"'{path}' is not the configuration of a run.", hint="Use another run or repo.") from error
    raise RunError(f"'{path}' is not the configuration of a run.", hint="Use another run or repo.")


def _repos(resolved: Resolved) -> dict[str, str]:
    return {
        role: f"{entry.repo_id} at {entry.commit[:7]}" if isinstance(entry, PinnedRepo) else Path(entry.file).name
        for role in ("base", "teacher", "knowledge", "embedder", "evaluation_questions")
        if (entry := resolved.repos.get(role))
    }
