"""Checks a published repo: is it complete, and are its claims true?

Works on a downloaded folder; what needs the Hub or a model is passed in, so that checks can be made without either.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from solo_hub.checks.result import CheckResult
from solo_hub.core.errors import SoloHubError
from solo_hub.core.parsing import parse_json, parse_yaml
from solo_hub.core.records import CuratedQuestion, Preference
from solo_hub.curation.step import PARTS
from solo_hub.knowledge.published import Description, published_rows
from solo_hub.publishing import dataset, facts, frontmatter, inventory, leaks
from solo_hub.publishing.adapter import WEIGHTS, check_weights

Exists = Callable[[str, str, str], bool]
"""`exists(repo_id, type, revision)`: whether the Hub has that repo at that commit or tag."""
Collection = Callable[[str, str], Sequence[tuple[str, str]] | None]
"""`collection(owner, title)`: (type, repo_id) of the Collection's items, or None if there is no such Collection."""
Probe = Callable[[Path], float]
"""`probe(folder)`: loads the adapter onto its base and returns the largest change of a log-probability, in nats."""

KNOWLEDGE = "knowledge-base"
LEAST_CHANGE = 1e-3  # nats; smaller changes are rounding


CHANGE = "adapter changes its base"
REMEDIES = {
    "made by solo-hub": "Name a dataset or adapter repo published by solo-hub, with its version: REPO@v1.",
    "files": "Do not rely on this version: use an earlier one, or ask the owner to publish it again.",
    "card": "The owner should publish it again with this version of solo-hub.",
    "passages": "Do not search this version: use an earlier one, or ask the owner to publish it again.",
    "rows": "Do not train on this version: use an earlier one, or ask the owner to publish it again.",
    "configuration kept": "Load the configuration `all` and filter by `kept`, or ask the owner to publish it again.",
    "written questions": "Do not train on this version: use an earlier one, or ask the owner to publish it again.",
    "feedback": "Do not train on these pairs: use an earlier version, or ask the owner to publish it again.",
    "weights": "Download or upload was interrupted: delete it from the cache and try again, then ask the owner.",
    "base": "Do not load it: an adapter on the wrong base gives nonsense. Ask the owner to publish it again.",
    "numbers of the card": "Trust report.json, not the card, and ask the owner to publish it again.",
    "results for the Hub": "Trust report.json, and ask the owner to publish it again.",
    "secrets": "Notify the owner at once: the token or key must be revoked; deleting the file is not enough.",
    "collection": "Use the links in the card instead, and ask the owner to run `solo-hub publish` again.",
    "loads with datasets": "Update the `datasets` package, or read the Parquet files under data/ directly.",
    CHANGE: "Do not rely on it: ask the owner to train and publish it again.",
}
LINK_REMEDY = "The run cannot be reproduced without it: ask the owner of that repo, or log in if it is private."


def verify(
    folder: Path, *, exists: Exists | None = None, collection: Collection | None = None, probe: Probe | None = None
) -> list[CheckResult]:
    """Check a downloaded repo of solo-hub.

    Args:
        folder: The repo at the revision in question.
        exists: Asks the Hub; without it linked commits are not checked.
        collection: Looks up a Collection; without it that is not checked.
        probe: Tries the adapter; without it the adapter is not loaded.

    Returns:
        Every check, in a fixed order; the repo is fine if none failed.
    """
    try:
        provenance = _read_json(folder / "provenance.json")
        kind = {"pseudo-labels": "dataset", "solo-adapter": "model", KNOWLEDGE: "dataset"}[provenance["kind"]]
    except (OSError, ValueError, KeyError, TypeError):
        return [_result("made by solo-hub", False, "there is no readable provenance.json")]
    version = f", solo-hub {provenance['solo_hub']}" if provenance.get("solo_hub") else ""
    checks = [_result("made by solo-hub", True, f"{provenance['kind']}{version}")]
    checks.append(_run("files", lambda: _files(folder, provenance)))
    checks.append(_run("card", lambda: _card(folder, kind)))
    if provenance["kind"] == KNOWLEDGE:
        checks.append(_run("passages", lambda: _passages(folder, provenance)))
    elif kind == "dataset":
        checks += [
            _run("rows", lambda: _rows(folder, provenance)),
            _run("configuration kept", lambda: _kept(folder)),
            *([_run("written questions", lambda: _curated(folder))] if _has(folder, "curated") else []),
            *([_run("feedback", lambda: _feedback(folder))] if _has(folder, "feedback") else []),
        ]
    else:
        checks += [
            _run("weights", lambda: _weights(folder)),
            _run("base", lambda: _base(folder, provenance)),
            _run("numbers of the card", lambda: _numbers(folder)),
            *([_run("results for the Hub", lambda: _results(folder, provenance))] if _entered(folder) else []),
        ]
    checks.append(_run("secrets", lambda: _secrets(folder)))
    checks += _links(
        {**provenance, "sources": _knowledge_sources(folder, provenance)}
        if provenance["kind"] == KNOWLEDGE
        else provenance,
        exists,
    )
    if "collection" in provenance:
        checks.append(_run("collection", lambda: _collection(provenance, collection)))
    if kind == "model":
        checks.append(_run(CHANGE, lambda: _change(folder, probe)))
    return checks


def _run(name: str, look: Callable[[], tuple[bool | None, str]]) -> CheckResult:
    """Make one check; a file that cannot be read is a failed check, not a crash."""
    try:
        return _result(name, *look())
    except (SoloHubError, OSError, ValueError, KeyError, TypeError, AttributeError, yaml.YAMLError) as error:
        return _result(
            name, False, error.message if isinstance(error, SoloHubError) else f"{type(error).__name__}: {error}"
        )


def _result(name: str, ok: bool | None, detail: str) -> CheckResult:  # noqa: FBT001
    """The result of a check that passed, did not, or could not be made."""
    if ok is None:
        return CheckResult(name, "skipped", detail)
    remedy = "" if ok else LINK_REMEDY if name.startswith("linked ") else REMEDIES[name]
    return CheckResult(name, "pass" if ok else "fail", detail, remedy)


def _files(folder: Path, provenance: Mapping[str, Any]) -> tuple[bool, str]:
    differing = inventory.differences(folder, dict(provenance["files"]))
    return not differing, ", ".join(
        differing[:5]
    ) if differing else f"{len(provenance['files'])} files, hashes as published"


def _card(folder: Path, kind: str) -> tuple[bool, str]:
    data, _ = frontmatter.split((folder / "README.md").read_text("utf-8"))
    unknown = frontmatter.unknown_keys(data, kind)
    return not unknown, f"unknown to the Hub: {', '.join(unknown)}" if unknown else f"{len(data)} valid entries"


def _rows(folder: Path, provenance: Mapping[str, Any]) -> tuple[bool, str]:
    rows = dataset.read_rows(folder)
    if len(rows) != provenance["rows"]:
        return False, f"{len(rows)} rows, but provenance.json lists {provenance['rows']}"
    if dataset.content_hash(rows) != provenance["content_sha256"]:
        return False, "the rows do not match the hash in provenance.json"
    return True, f"{len(rows)} rows, hash as published"


def _passages(folder: Path, provenance: Mapping[str, Any]) -> tuple[bool, str]:
    """Read a knowledge base's rows as a run does: each has a text, and a vector that is finite and of length 1."""
    description = Description.read(folder)
    if description is None:
        return False, "there is no readable manifest.json"
    count = sum(len(documents) for documents, _ in published_rows(folder, description))
    if count != provenance["documents"]:
        return False, f"{count} passages, but provenance.json lists {provenance['documents']}"
    return True, f"{count:,} passages, each with a vector of length 1"


def _knowledge_sources(folder: Path, provenance: Mapping[str, Any]) -> dict[str, Any]:
    """The sources of a knowledge base, and its embedder."""
    repo_id, _, commit = str(provenance.get("embedder") or "").partition("@")
    try:
        listed = _read_json(folder / "manifest.json").get("sources") or ()
    except (OSError, ValueError):
        listed = ()
    embedder = {"repo_id": repo_id, "commit": commit, "type": "model"}
    return {"embedder": embedder, **{f"source {n}": entry for n, entry in enumerate(listed, start=1)}}


def _kept(folder: Path) -> tuple[bool, str]:
    expected = [row for row in dataset.read_rows(folder) if row["kept"]]
    kept = dataset.read_rows(folder, "kept")
    return kept == expected, f"{len(kept)} rows; {len(expected)} are marked as kept"


def _has(folder: Path, configuration: str) -> bool:
    return any((folder / "data" / configuration).glob("*"))


def _feedback(folder: Path) -> tuple[bool, str]:
    """Whether every pair belongs to a labelled question, and the more probable answer was chosen."""
    labelled = {row["id"] for row in dataset.stream_rows(folder)}
    rows = [Preference.from_row(row) for row in dataset.stream_rows(folder, "feedback")]
    for row in rows:
        if row.question_id not in labelled:
            return False, f"'{row.question_id}' is not among the labelled questions"
        if row.chosen_probability <= row.rejected_probability:
            return False, f"of '{row.question_id}' the less probable answer is said to be chosen"
    return True, f"{len(rows):,} pairs"


def _curated(folder: Path) -> tuple[bool, str]:
    """Whether every written question has its source, and those held out are not among the labelled ones."""
    labelled = {row["id"]: (row["question"], tuple(row["options"] or ())) for row in dataset.read_rows(folder)}
    counts = {"learnt": 0, "held out": 0, "dropped": 0}
    for entry in dataset.stream_rows(folder, "curated"):
        row = CuratedQuestion.from_row(entry)
        if not row.documents or len(row.documents) != len(row.sentences) or not all(row.sentences):
            return False, f"'{row.id}' does not say from which sentences it was written"
        if row.options and row.answer not in row.options:
            return False, f"the answer of '{row.id}' is not one of its options"
        if row.kept and labelled.get(row.id) != (row.text, row.options):
            return False, f"'{row.id}' is said to be learnt, and is not among the labelled questions"
        if not row.kept and row.id in labelled:
            return False, f"'{row.id}' is said not to be learnt, and is among the labelled questions"
        counts["learnt" if row.kept else "held out" if row.dropped in PARTS.values() else "dropped"] += 1
    return True, ", ".join(f"{count:,} {name}" for name, count in counts.items())


def _weights(folder: Path) -> tuple[bool, str]:
    check_weights(folder / WEIGHTS)
    return True, f"complete, {(folder / WEIGHTS).stat().st_size:,} bytes"


def _base(folder: Path, provenance: Mapping[str, Any]) -> tuple[bool, str]:
    config = _read_json(folder / "adapter_config.json")
    base = provenance["sources"]["base"]
    named = (config.get("base_model_name_or_path"), config.get("revision"))
    if named != (base["repo_id"], base["commit"]):
        return False, f"adapter_config.json names {named[0]} at {named[1]}, provenance.json {base['repo_id']}"
    return True, f"{base['repo_id']} at {base['commit']}"


def _numbers(folder: Path) -> tuple[bool, str]:
    """Compare the card's numbers with the report: the metadata exactly, the table as formatted."""
    report = _read_json(folder / "report.json")
    data, text = frontmatter.split((folder / "README.md").read_text("utf-8"))
    stated = [metric["value"] for entry in data.get("model-index") or () for metric in entry["results"][0]["metrics"]]
    measured = [row["value"] for name in facts.HUB_METRICS if (row := facts.measure(report, "student", name))]
    if stated != measured:
        return False, f"the card's metadata says {stated}, the report {measured}"
    # cells only: the names of the metrics may differ between versions
    rows = facts.results(report).splitlines()[2:] if report.get("arms") else []
    if any(row.split("|", 2)[2] not in text for row in rows):
        return False, "the card's result table does not match the report"
    verdict = facts.verdict(report) if report.get("arms") else None
    lines = [verdict[0], *verdict[1].splitlines()] if verdict else []
    # cards of earlier versions have no verdict
    if any(line in text for line in lines[1:2]) and not all(line in text for line in lines):
        return False, "the card's verdict does not match the report"
    return True, f"{len(stated)} numbers as in report.json"


def _entered(folder: Path) -> list[Path]:
    """Files from which the Hub collects results."""
    return sorted((folder / ".eval_results").glob("*.yaml"))


def _results(folder: Path, provenance: Mapping[str, Any]) -> tuple[bool, str]:
    """Compare what the Hub collects with the report and the commit of the held-out questions."""
    from huggingface_hub import parse_eval_result_entries

    measured = facts.measure(_read_json(folder / "report.json"), "student", "accuracy") or {}
    held_out = provenance["sources"].get("evaluation_questions") or {}
    for path in _entered(folder):
        for entry in parse_eval_result_entries(parse_yaml(path.read_text("utf-8"))):
            if entry.value != measured.get("value"):
                return False, f"{path.name} says {entry.value}, the report {measured.get('value')}"
            if (entry.dataset_id, entry.dataset_revision) != (held_out.get("repo_id"), held_out.get("commit")):
                return False, f"{path.name} names {entry.dataset_id}, which is not the evaluation data of the run"
    return True, f"{len(_entered(folder))} files as in report.json"


def _secrets(folder: Path) -> tuple[bool, str]:
    secrets = [f"{leak.file} ({leak.kind})" for leak in leaks.find(folder)]
    return not secrets, f"looks like a secret: {', '.join(secrets[:5])}" if secrets else "none found"


def _change(folder: Path, probe: Probe | None) -> tuple[bool | None, str]:
    if probe is None:
        return None, "not loaded"
    change = probe(folder)
    return change >= LEAST_CHANGE, f"largest change in log-probability: {change:.3g} nats"


def _links(provenance: Mapping[str, Any], exists: Exists | None) -> Iterator[CheckResult]:
    """One check for each repo named in the provenance."""
    sources = provenance.get("sources")
    entries = dict(sources) if isinstance(sources, Mapping) else {}
    if provenance["kind"] == KNOWLEDGE:
        pass  # published before any adapter
    elif provenance["kind"] == "pseudo-labels":
        entries["adapter"] = {"type": "model", **provenance["adapter"]}
    else:
        entries["dataset"] = {"type": "dataset", **provenance["dataset"]}
        if "space" in provenance:
            entries["space"] = {"type": "space", **provenance["space"]}
    for role, entry in entries.items():
        name = f"linked {role}"
        if not isinstance(entry, Mapping) or not entry.get("repo_id"):
            yield _result(name, None, "a local file, identified by its hash only")
            continue
        revision = str(entry.get("commit") or entry.get("tag") or "main")
        where = f"{entry['repo_id']} at {revision}"
        if exists is None:
            yield _result(name, None, f"{where}: not looked up on the Hub")
        else:
            found = exists(str(entry["repo_id"]), str(entry.get("type") or "dataset"), revision)
            yield _result(name, found, where if found else f"{where} does not exist")


def _collection(provenance: Mapping[str, Any], collection: Collection | None) -> tuple[bool | None, str]:
    """Whether the Collection contains the adapter and what was published with it."""
    named = f"'{provenance['collection']['title']}' of {provenance['collection']['owner']}"
    if collection is None:
        return None, f"{named}: not looked up on the Hub"
    items = collection(str(provenance["collection"]["owner"]), str(provenance["collection"]["title"]))
    if items is None:
        return False, f"there is no Collection {named}"
    expected = [("model", provenance["adapter"]["repo_id"]), ("dataset", provenance["dataset"]["repo_id"])]
    if "space" in provenance:
        expected.append(("space", provenance["space"]["repo_id"]))
    missing = [repo_id for kind, repo_id in expected if (kind, repo_id) not in set(items)]
    return not missing, f"{named} lacks {', '.join(missing)}" if missing else f"{named} contains {len(items)} repos"


def _read_json(path: Path) -> dict[str, Any]:
    return dict(parse_json(path.read_text("utf-8")))
