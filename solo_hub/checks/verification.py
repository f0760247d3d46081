"""A stranger's check of a published repo, with the Hub and the model it needs: pulled, read, held against itself.

Nothing of the repo is run: what it says of its base, prompt and scoring is read as data, weights are safetensors.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

from solo_hub.checks import repo_contents as verification
from solo_hub.checks.result import CheckResult
from solo_hub.core.console import Console
from solo_hub.core.errors import DependencyError, GatedError, InputError, ModelError, RepoMissingError
from solo_hub.core.parsing import parse_yaml
from solo_hub.core.records import Question
from solo_hub.core.redaction import first_line_scrubbed
from solo_hub.hub.client import HubClient
from solo_hub.hub.repos import Pinned, RepoType, parse_reference
from solo_hub.models.prompts import PromptBuilder
from solo_hub.publishing import frontmatter

SAMPLE = (
    Question("1", "What falls from the clouds?", ("rain", "stones", "bread", "light")),
    Question("2", "Which of these can fly?", ("a river", "an owl", "a table", "a hill")),
    Question("3", "What do plants take up with their roots?", ("sound", "wind", "water", "glass")),
)
"""What the adapter is tried on; any question shows whether it does something, no data set has to be pulled."""

REMEDIES = {
    "made by solo-hub": "Give a dataset or adapter repo that `solo-hub publish` made, and its version: REPO@v1.",
    "files": "Do not rely on this version: take an earlier one, or ask the owner to publish it again.",
    "card": "The owner should publish it again with this version of solo-hub.",
    "passages": "Do not search this version: take an earlier one, or ask the owner to publish it again.",
    "rows": "Do not train on this version: take an earlier one, or ask the owner to publish it again.",
    "configuration kept": "Load the configuration `all` and keep the rows with `kept`, or ask the owner.",
    "weights": "The download or the upload broke off: delete it from the cache and try again, then ask the owner.",
    "base": "Do not load it: an adapter on another base answers nonsense. Ask the owner to publish it again.",
    "numbers of the card": "Believe report.json, not the card, and ask the owner to publish it again.",
    "results for the Hub": "Believe report.json, and ask the owner to publish it again.",
    "secrets": "Tell the owner at once: the token or key must be revoked, deleting the file is not enough.",
    "collection": "Follow the links of the card instead, and ask the owner to run `solo-hub publish` again.",
    "loads with datasets": "Update the package datasets, or read the Parquet files under data/ directly.",
    "adapter changes its base": "Do not rely on it: ask the owner to train and publish it again.",
}
_ELSEWHERE = re.compile(r"[:\\]|^[/~]|(?:^|/)\.\.(?:/|$)")  # an address, an absolute path, a step upwards
ELSEWHERE_REMEDY = "Do not load it: whoever does asks another server, or reads a file of this machine."
LINK_REMEDY = "The run cannot be repeated without it: ask the owner of that repo, or log in if it is private."


@dataclass(frozen=True, slots=True)
class Verified:
    """What was found in one repo.

    Attributes:
        repo: The repo and commit that were looked at.
        findings: Every check, in a fixed order.
    """

    repo: Pinned
    findings: tuple[CheckResult, ...]

    def to_row(self) -> dict[str, Any]:
        """As `--format json` prints it."""
        return {
            **self.repo.to_row(),
            "endpoint": self.repo.endpoint,
            "whole_and_true": not any(finding.state == "wrong" for finding in self.findings),
            "checks": [finding.to_row() for finding in self.findings],
        }


def verify_repo(client: HubClient, reference: str, console: Console, *, model: bool = True) -> Verified:
    """Pull a published repo and check it.

    Args:
        client: The Hub.
        reference: OWNER/NAME[@REVISION] of a dataset or an adapter; which of them is found out.
        console: Where progress is reported.
        model: Whether to load an adapter on its base.

    Raises:
        RepoMissingError: There is neither a dataset nor a model of that name, or no such revision.
        HubError: The Hub is out of reach.
    """
    pinned = find_repo(client, reference)
    console.note(f"pulling the {pinned.type} {pinned.repo_id} at {pinned.commit}")
    folder = client.pull(pinned, allow=["*"])
    missing = _missing_for_models() if model else None
    checks = verification.verify(
        folder,
        exists=lambda repo_id, kind, revision: exists(client, repo_id, kind, revision),
        collection=client.collection_items,
        probe=(lambda adapter: change_of_scores(client, adapter, console)) if model and missing is None else None,
    )
    findings = [_finding(check, missing) for check in checks]
    if pinned.type == "dataset" and findings[0].state == "ok":
        findings.append(load_with_datasets(folder))
    return Verified(pinned, tuple(findings))


def find_repo(client: HubClient, reference: str) -> Pinned:
    """Pin a reference that may be a dataset or a model.

    Raises:
        RepoMissingError: It is neither.
    """
    repo_id, _ = parse_reference(reference)
    missing: list[RepoMissingError] = []
    kinds: tuple[RepoType, RepoType] = ("dataset", "model")
    for kind in kinds:
        try:
            return client.pin(reference, kind)
        except RepoMissingError as error:
            missing.append(error)
    revisions = next((error for error in missing if "no revision" in error.message), None)
    if revisions is not None:
        raise revisions
    try:
        client.pin(reference, "space")
    except RepoMissingError:
        pass
    else:
        raise RepoMissingError(
            f"'{repo_id}' is a Space: it shows what other repos hold.",
            hint="Name the adapter or the dataset that its page leads to.",
        )
    raise RepoMissingError(
        f"There is neither a dataset nor a model '{repo_id}' on {client.endpoint}, or it is private.",
        hint="Check the name, or log in with `hf auth login`.",
    )


def exists(client: HubClient, repo_id: str, kind: str, revision: str) -> bool:
    """Whether the Hub has a repo at a commit or tag; a gated one is there, whoever may read it."""
    kinds: dict[str, RepoType] = {"model": "model", "dataset": "dataset", "space": "space"}
    try:
        client.pin(f"{repo_id}@{revision}", kinds.get(kind, "dataset"))
    except GatedError:
        return True
    except RepoMissingError:
        return False
    return True


def change_of_scores(client: HubClient, adapter: Path, console: Console) -> float:
    """Load base and adapter and compare their scores.

    Args:
        client: The Hub the base is pulled from, at the commit the adapter names.
        adapter: The downloaded adapter repo.
        console: Where progress is reported.

    Returns:
        The largest change of an answer's log-probability, in nats.

    Raises:
        ModelError: Base or adapter cannot be loaded.
        HubError: The base cannot be pulled.
    """
    from solo_hub.models import adapters
    from solo_hub.models.causal import CausalEngine
    from solo_hub.models.classifier import ClassifierEngine

    config = parse_yaml((adapter / "config.yaml").read_text("utf-8"))
    entry = config["resolved"]["repos"]["base"]
    base = Pinned(str(entry["repo_id"]), "model", "main", str(entry["commit"]), None, client.endpoint)
    console.note(f"loading the base {base.repo_id} at {base.commit}")
    # what a published config says of remote code is a stranger's word: it is not asked
    settings = config.get("settings") or {}
    classes = tuple(config["resolved"].get("classes") or ())  # an encoder's; a language model has none
    engine: Any = (ClassifierEngine if classes else CausalEngine)(
        client.pull(base), f"{base.repo_id}@{base.commit}", dtype="float32"
    )
    if classes:
        engine.name_classes(classes)
    chat = (settings.get("teacher") or {}).get("prompt") == "chat"
    if (day := _chat_day(config["resolved"])) is not None:
        engine.chat_day = day
    builder = PromptBuilder(engine.chat if chat else None)
    style = _style(config)
    sample = [replace(question, options=classes or question.options) for question in SAMPLE]
    prompts = [builder.ask(question, style) for question in sample]
    answers = [builder.continuations(question, style) for question in sample]
    before = _flat(engine.score(prompts, answers))
    console.note("loading the adapter")
    adapters.load(engine, adapter)
    after = _flat(engine.score(prompts, answers))
    if not np.all(np.isfinite(after)):
        raise ModelError("With the adapter the scores are not numbers.", hint=REMEDIES["adapter changes its base"])
    return float(np.max(np.abs(after - before)))


def _chat_day(resolved: Mapping[str, Any]) -> date | None:
    """The date that the run's chat template was given; None where it prints none."""
    try:
        return date.fromisoformat(str(resolved.get("chat_date")))
    except ValueError:
        return None


def load_with_datasets(folder: Path) -> CheckResult:
    """Load a dataset as its card says, by the library everybody uses, from the files that were pulled."""
    import tempfile

    import datasets

    name = "loads with datasets"
    if (place := _named_elsewhere(folder)) is not None:
        return CheckResult(name, "wrong", f"a file outside the repo is named as its data: {place}", ELSEWHERE_REMEDY)
    counts = {}
    with tempfile.TemporaryDirectory(prefix="solo-hub-verify-") as cache:
        try:
            for config in datasets.get_dataset_config_names(str(folder)):
                loaded = datasets.load_dataset(str(folder), config, split="train", cache_dir=cache)
                counts[config] = loaded.num_rows
                del loaded  # the files of the cache are mapped until then
        except (OSError, ValueError, TypeError, KeyError, RuntimeError) as error:
            said = first_line_scrubbed(error)
            return CheckResult(name, "wrong", f"{type(error).__name__}: {said}", REMEDIES[name])
    return CheckResult(name, "ok", ", ".join(f"{config} {rows:,} rows" for config, rows in sorted(counts.items())))


def _named_elsewhere(folder: Path) -> str | None:
    """What is named as data that is not in the repo: the library would fetch it from anywhere, or read it here."""
    card, settings = folder / "README.md", folder / ".huggingface.yaml"  # the library follows the second one too
    if settings.exists():
        return settings.name
    if not card.exists():
        return None
    try:
        data, _ = frontmatter.split(card.read_text("utf-8"))
    except (InputError, OSError, ValueError):
        return f"{card.name}, which cannot be read"  # what the library makes of it nobody knows

    configs = (config for config in data.get("configs") or () if isinstance(config, Mapping))
    named = (text for config in configs for text in _texts([config.get("data_files"), config.get("data_dir")]))
    return next((first_line_scrubbed(text) for text in named if _ELSEWHERE.search(text)), None)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | Mapping):
        for item in value.values() if isinstance(value, Mapping) else value:
            yield from _texts(item)


def _missing_for_models() -> DependencyError | None:
    """What would be needed to load a model and is not installed: no fault of the repo."""
    from importlib import util

    missing = [name for name in ("torch", "transformers", "peft") if util.find_spec(name) is None]
    return DependencyError(missing[0], extra="train", purpose="Loading an adapter") if missing else None


def _finding(check: verification.Check, missing: DependencyError | None = None) -> CheckResult:
    if check.ok is None and missing is not None and check.name == "adapter changes its base":
        return CheckResult(check.name, "open", f"{check.detail}: {missing.message}", missing.hint or "")
    if check.ok is None:
        return CheckResult(check.name, "open", check.detail)
    if check.ok:
        return CheckResult(check.name, "ok", check.detail)
    remedy = LINK_REMEDY if check.name.startswith("linked ") else REMEDIES[check.name]
    return CheckResult(check.name, "wrong", check.detail, remedy)


def _style(config: Mapping[str, Any]) -> str:
    """The scoring style of the run; a run of free-text questions has none, its options are then scored as texts."""
    style = ((config.get("resolved") or {}).get("teacher") or {}).get("style")
    return str(style) if style in {"letter", "text", "text_minus_prior", "class"} else "text"


def _flat(scores: list[list[float] | None]) -> np.ndarray[Any, np.dtype[np.float64]]:
    return np.array([value for some in scores for value in some or ()], dtype=np.float64)
