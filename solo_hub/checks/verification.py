"""Checks a published repo, with the Hub and the model this needs: pulls it, reads it, and compares its parts.

No code of the repo is run: its base, prompt and scoring are read as data, weights are safetensors.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np

from solo_hub.checks import repo_contents
from solo_hub.checks.repo_contents import CHANGE, REMEDIES
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
from solo_hub.run.resolved import PinnedRepo, Resolved

SAMPLE = (
    Question("1", "What falls from the clouds?", ("rain", "stones", "bread", "light")),
    Question("2", "Which of these can fly?", ("a river", "an owl", "a table", "a hill")),
    Question("3", "What do plants take up with their roots?", ("sound", "wind", "water", "glass")),
)
"""Questions to try the adapter on; any question shows whether it has an effect, so no dataset has to be pulled."""

SCORED = ("letter", "text", "text_minus_prior", "class")
"""Styles that score options."""

_ELSEWHERE = re.compile(r"[:\\]|^[/~]|(?:^|/)\.\.(?:/|$)")  # a URL, an absolute path, a parent folder
ELSEWHERE_REMEDY = "Do not load it: loading contacts another server, or reads a file of this machine."


@dataclass(frozen=True, slots=True)
class Verified:
    """The checks of one repo.

    Attributes:
        repo: The repo and commit that were checked.
        results: Every check, in a fixed order.
    """

    repo: Pinned
    results: tuple[CheckResult, ...]

    def to_row(self) -> dict[str, Any]:
        """As `--format json` prints it."""
        return {
            **self.repo.to_row(),
            "endpoint": self.repo.endpoint,
            "whole_and_true": not any(result.state == "fail" for result in self.results),
            "checks": [result.to_row() for result in self.results],
        }


def verify_repo(client: HubClient, reference: str, console: Console, *, model: bool = True) -> Verified:
    """Pull a published repo and check it.

    Args:
        client: The Hub.
        reference: OWNER/NAME[@REVISION] of a dataset or an adapter; which of them is detected.
        console: Where progress is reported.
        model: Whether to load an adapter on its base.

    Raises:
        RepoMissingError: There is neither a dataset nor a model of that name, or no such revision.
        HubError: The Hub is unreachable.
    """
    pinned = find_repo(client, reference)
    console.note(f"pulling the {pinned.type} {pinned.repo_id} at {pinned.commit}")
    folder = client.pull(pinned, allow=["*"])
    missing = _missing_for_models() if model else None
    checks = repo_contents.verify(
        folder,
        exists=lambda repo_id, kind, revision: exists(client, repo_id, kind, revision),
        collection=client.collection_items,
        probe=(lambda adapter: change_of_scores(client, adapter, console)) if model and missing is None else None,
    )
    results = [
        replace(check, detail=f"{check.detail}: {missing.message}", remedy=missing.hint or "")
        if missing is not None and check.name == CHANGE
        else check
        for check in checks
    ]
    if pinned.type == "dataset" and results[0].state == "pass":
        results.append(load_with_datasets(folder))
    return Verified(pinned, tuple(results))


def find_repo(client: HubClient, reference: str) -> Pinned:
    """Pin a reference to a dataset or a model.

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
            f"'{repo_id}' is a Space, which only shows other repos.",
            hint="Name the adapter or the dataset that it links to.",
        )
    raise RepoMissingError(
        f"There is neither a dataset nor a model '{repo_id}' on {client.endpoint}, or it is private.",
        hint="Check the name, or log in with `hf auth login`.",
    )


def exists(client: HubClient, repo_id: str, kind: str, revision: str) -> bool:
    """Whether the Hub has a repo at a commit or tag; a gated one exists even if it cannot be read."""
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
    resolved = Resolved.read(config["resolved"])
    base = cast("PinnedRepo", resolved.repos["base"]).on(client.endpoint)
    console.note(f"loading the base {base.repo_id} at {base.commit}")
    # the published config is untrusted: its setting for remote code is ignored
    settings = config.get("settings") or {}
    classes = resolved.classes or ()  # of an encoder; a language model has none
    engine: Any = (ClassifierEngine if classes else CausalEngine)(
        client.pull(base), f"{base.repo_id}@{base.commit}", dtype="float32"
    )
    if classes:
        engine.name_classes(classes)
    chat = (settings.get("teacher") or {}).get("prompt") == "chat"
    if resolved.chat_date:
        engine.chat_day = resolved.chat_date
    builder = PromptBuilder(engine.chat if chat else None)
    teacher = resolved.setups.get("teacher")
    # of a free-text run options are scored as texts
    style = teacher.style if teacher and teacher.style in SCORED else "text"
    sample = [replace(question, options=classes or question.options) for question in SAMPLE]
    prompts = [builder.ask(question, style) for question in sample]
    answers = [builder.continuations(question, style) for question in sample]
    before = _flat(engine.score(prompts, answers))
    console.note("loading the adapter")
    adapters.load(engine, adapter)
    after = _flat(engine.score(prompts, answers))
    if not np.all(np.isfinite(after)):
        raise ModelError("With the adapter the scores are not finite.", hint=REMEDIES[CHANGE])
    return float(np.max(np.abs(after - before)))


def load_with_datasets(folder: Path) -> CheckResult:
    """Load a dataset as its card says, with the `datasets` library, from the files that were pulled."""
    import tempfile

    import datasets

    name = "loads with datasets"
    if (place := _named_elsewhere(folder)) is not None:
        return CheckResult(name, "fail", f"its card names data outside the repo: {place}", ELSEWHERE_REMEDY)
    counts = {}
    with tempfile.TemporaryDirectory(prefix="solo-hub-verify-") as cache:
        try:
            for config in datasets.get_dataset_config_names(str(folder)):
                loaded = datasets.load_dataset(str(folder), config, split="train", cache_dir=cache)
                counts[config] = loaded.num_rows
                del loaded  # unmaps the files of the cache
        except (OSError, ValueError, TypeError, KeyError, RuntimeError) as error:
            message = first_line_scrubbed(error)
            return CheckResult(name, "fail", f"{type(error).__name__}: {message}", REMEDIES[name])
    return CheckResult(name, "pass", ", ".join(f"{config} {rows:,} rows" for config, rows in sorted(counts.items())))


def _named_elsewhere(folder: Path) -> str | None:
    """Data that a card names outside the repo: the library would fetch it, or read it from this machine."""
    card, settings = folder / "README.md", folder / ".huggingface.yaml"  # the library reads both
    if settings.exists():
        return settings.name
    if not card.exists():
        return None
    try:
        data, _ = frontmatter.split(card.read_text("utf-8"))
    except (InputError, OSError, ValueError):
        return f"{card.name}, which cannot be read"  # the library's behaviour is unknown
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
    """A package that is needed to load a model but not installed, which is not the repo's fault."""
    from importlib import util

    missing = [name for name in ("torch", "transformers", "peft") if util.find_spec(name) is None]
    return DependencyError(missing[0], extra="train", purpose="Loading an adapter") if missing else None


def _flat(scores: list[list[float] | None]) -> np.ndarray[Any, np.dtype[np.float64]]:
    return np.array([value for row in scores for value in row or ()], dtype=np.float64)
