"""A stranger's check of a published repo: is it whole, and is what it says true?

Works on a downloaded folder; what needs the Hub or a model is handed in, so that checks can be made without either.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import yaml

from solo_hub.core.errors import SoloHubError
from solo_hub.core.parsing import parse_json, parse_yaml
from solo_hub.publishing import dataset, facts, frontmatter, inventory, leaks
from solo_hub.publishing.adapter import WEIGHTS, check_weights

Exists = Callable[[str, str, str], bool]
"""`exists(repo_id, type, revision)`: whether the Hub has that repo at that commit or tag."""
Collection = Callable[[str, str], Sequence[tuple[str, str]] | None]
"""`collection(owner, title)`: (type, repo_id) of what the Collection holds, or None where there is none."""
Probe = Callable[[Path], float]
"""`probe(folder)`: loads the adapter onto its base and returns the largest change of a log-probability, in nats."""

KNOWLEDGE = "knowledge-base"
LENGTH_SLACK = 0.01  # how far from 1 a vector of 16-bit numbers may be
LEAST_CHANGE = 1e-3  # nats; less is rounding


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at.

    Attributes:
        name: What, in a few words.
        ok: Whether it is as it should be; None where it could not be looked at.
        detail: What was found.
    """

    name: str
    ok: bool | None
    detail: str


def verify(
    folder: Path, *, exists: Exists | None = None, collection: Collection | None = None, probe: Probe | None = None
) -> list[Check]:
    """Check a downloaded repo of solo-hub.

    Args:
        folder: The repo at the revision in question.
        exists: Asks the Hub; without it linked commits are not looked at.
        collection: Looks up a Collection; without it that is not looked at.
        probe: Tries the adapter; without it is not loaded.

    Returns:
        Every check that was made, in a fixed order; all is well where none has `ok` False.
    """
    try:
        provenance = _read_json(folder / "provenance.json")
        kind = {"pseudo-labels": "dataset", "solo-adapter": "model", KNOWLEDGE: "dataset"}[provenance["kind"]]
    except (OSError, ValueError, KeyError, TypeError):
        return [Check("made by solo-hub", False, "there is no readable provenance.json that says what this is")]
    version = f", solo-hub {provenance['solo_hub']}" if provenance.get("solo_hub") else ""
    checks = [Check("made by solo-hub", True, f"{provenance['kind']}{version}")]
    checks.append(_run("files", lambda: _files(folder, provenance)))
    checks.append(_run("card", lambda: _card(folder, kind)))
    if provenance["kind"] == KNOWLEDGE:
        checks.append(_run("passages", lambda: _passages(folder, provenance)))
    elif kind == "dataset":
        checks += [
            _run("rows", lambda: _rows(folder, provenance)),
            _run("configuration kept", lambda: _kept(folder)),
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
        checks.append(_run("adapter changes its base", lambda: _change(folder, probe)))
    return checks


def _run(name: str, look: Callable[[], tuple[bool | None, str]]) -> Check:
    """Make one check; a file that cannot be read is a finding, not a crash."""
    try:
        ok, detail = look()
    except (SoloHubError, OSError, ValueError, KeyError, TypeError, AttributeError, yaml.YAMLError) as error:
        return Check(
            name, False, error.message if isinstance(error, SoloHubError) else f"{type(error).__name__}: {error}"
        )
    return Check(name, ok, detail)


def _files(folder: Path, provenance: Mapping[str, Any]) -> tuple[bool, str]:
    wrong = inventory.differences(folder, dict(provenance["files"]))
    return not wrong, ", ".join(wrong[:5]) if wrong else f"{len(provenance['files'])} files, hashes as published"


def _card(folder: Path, kind: str) -> tuple[bool, str]:
    data, _ = frontmatter.split((folder / "README.md").read_text("utf-8"))
    unknown = frontmatter.unknown_keys(data, kind)
    return not unknown, f"the Hub does not know: {', '.join(unknown)}" if unknown else f"{len(data)} known entries"


def _rows(folder: Path, provenance: Mapping[str, Any]) -> tuple[bool, str]:
    rows = dataset.read_rows(folder)
    if len(rows) != provenance["rows"]:
        return False, f"{len(rows)} rows where provenance.json tells of {provenance['rows']}"
    if dataset.content_hash(rows) != provenance["content_sha256"]:
        return False, "the rows are not those that provenance.json was written for: their hash differs"
    return True, f"{len(rows)} rows, hash as published"


def _passages(folder: Path, provenance: Mapping[str, Any]) -> tuple[bool, str]:
    """Count a knowledge base's rows, and look at every vector: finite, of length 1."""
    count = 0
    for path in sorted((folder / "data").glob("train-*.parquet")):
        for batch in pq.ParquetFile(path).iter_batches(columns=["embedding"]):
            vectors = np.asarray(batch.column(0).flatten(), dtype=np.float32).reshape(len(batch), -1)
            lengths = np.linalg.norm(vectors, axis=1)
            if not np.all(np.abs(lengths - 1) < LENGTH_SLACK):  # what is not a number is not near 1 either
                return False, f"{path.name}: vectors that are not of length 1"
            count += len(batch)
    if count != provenance["documents"]:
        return False, f"{count} passages where provenance.json tells of {provenance['documents']}"
    return True, f"{count:,} passages, each with a vector of length 1"


def _knowledge_sources(folder: Path, provenance: Mapping[str, Any]) -> dict[str, Any]:
    """What a knowledge base was made from, and its embedder."""
    repo_id, _, commit = str(provenance.get("embedder") or "").partition("@")
    try:
        listed = _read_json(folder / "manifest.json").get("sources") or ()
    except (OSError, ValueError):
        listed = ()
    embedder = {"repo_id": repo_id, "commit": commit, "type": "model"}
    return {"embedder": embedder, **{f"source {n}": entry for n, entry in enumerate(listed, start=1)}}


def _kept(folder: Path) -> tuple[bool, str]:
    wanted = [row for row in dataset.read_rows(folder) if row["kept"]]
    found = dataset.read_rows(folder, "kept")
    return found == wanted, f"{len(found)} rows, of {len(wanted)} that were kept"


def _weights(folder: Path) -> tuple[bool, str]:
    check_weights(folder / WEIGHTS)
    return True, f"whole, {(folder / WEIGHTS).stat().st_size:,} bytes"


def _base(folder: Path, provenance: Mapping[str, Any]) -> tuple[bool, str]:
    config = _read_json(folder / "adapter_config.json")
    base = provenance["sources"]["base"]
    named = (config.get("base_model_name_or_path"), config.get("revision"))
    if named != (base["repo_id"], base["commit"]):
        return False, f"adapter_config.json names {named[0]} at {named[1]}, provenance.json {base['repo_id']}"
    return True, f"{base['repo_id']} at {base['commit']}"


def _numbers(folder: Path) -> tuple[bool, str]:
    """Hold the card's numbers against the report: the metadata exactly, the table as it would be written now."""
    report = _read_json(folder / "report.json")
    data, text = frontmatter.split((folder / "README.md").read_text("utf-8"))
    stated = [metric["value"] for entry in data.get("model-index") or () for metric in entry["results"][0]["metrics"]]
    measured = [found["value"] for name in facts.METRICS if (found := facts.measure(report, "student", name))]
    if stated != measured:
        return False, f"the card's metadata says {stated}, the report {measured}"
    if report.get("arms") and facts.results(report) not in text:
        return False, "the result table of the card is not the report's"
    return True, f"{len(stated)} numbers as in report.json"


def _entered(folder: Path) -> list[Path]:
    """Files in which the Hub collects results."""
    return sorted((folder / ".eval_results").glob("*.yaml"))


def _results(folder: Path, provenance: Mapping[str, Any]) -> tuple[bool, str]:
    """Hold what the Hub collects against the report and the commit of the held-out questions."""
    from huggingface_hub import parse_eval_result_entries

    measured = facts.measure(_read_json(folder / "report.json"), "student", "accuracy") or {}
    asked = provenance["sources"].get("evaluation_questions") or {}
    for path in _entered(folder):
        for entry in parse_eval_result_entries(parse_yaml(path.read_text("utf-8"))):
            if entry.value != measured.get("value"):
                return False, f"{path.name} says {entry.value}, the report {measured.get('value')}"
            if (entry.dataset_id, entry.dataset_revision) != (asked.get("repo_id"), asked.get("commit")):
                return False, f"{path.name} names {entry.dataset_id}, which is not what the run was measured on"
    return True, f"{len(_entered(folder))} files as in report.json"


def _secrets(folder: Path) -> tuple[bool, str]:
    found = [f"{leak.file} ({leak.kind})" for leak in leaks.find(folder)]
    return not found, f"looks like a secret: {', '.join(found[:5])}" if found else "nothing looks like one"


def _change(folder: Path, probe: Probe | None) -> tuple[bool | None, str]:
    if probe is None:
        return None, "not loaded"
    change = probe(folder)
    return change >= LEAST_CHANGE, f"largest change of a log-probability {change:.3g} nats"


def _links(provenance: Mapping[str, Any], exists: Exists | None) -> Iterator[Check]:
    """One check for each repo the provenance names."""
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
            yield Check(name, None, "a local file, known by its hash alone")
            continue
        revision = str(entry.get("commit") or entry.get("tag") or "main")
        where = f"{entry['repo_id']} at {revision}"
        if exists is None:
            yield Check(name, None, f"{where}: the Hub was not asked")
        else:
            there = exists(str(entry["repo_id"]), str(entry.get("type") or "dataset"), revision)
            yield Check(name, there, where if there else f"{where} is not there")


def _collection(provenance: Mapping[str, Any], collection: Collection | None) -> tuple[bool | None, str]:
    """Whether the Collection holds the adapter and what was published with it."""
    named = f"'{provenance['collection']['title']}' of {provenance['collection']['owner']}"
    if collection is None:
        return None, f"{named}: the Hub was not asked"
    held = collection(str(provenance["collection"]["owner"]), str(provenance["collection"]["title"]))
    if held is None:
        return False, f"there is no Collection {named}"
    wanted = [("model", provenance["adapter"]["repo_id"]), ("dataset", provenance["dataset"]["repo_id"])]
    if "space" in provenance:
        wanted.append(("space", provenance["space"]["repo_id"]))
    missing = [repo_id for kind, repo_id in wanted if (kind, repo_id) not in set(held)]
    return not missing, f"{named} lacks {', '.join(missing)}" if missing else f"{named} holds {len(held)} repos"


def _read_json(path: Path) -> dict[str, Any]:
    return dict(parse_json(path.read_text("utf-8")))
