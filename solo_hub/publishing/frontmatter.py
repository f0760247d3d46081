"""The YAML block of a card: dumped safely, parsed back, and validated against the keys the Hub knows.

huggingface_hub accepts any key, so a misspelt one (`licence:`) would be published without effect; here it is an error.
Keys: the Hub's model card and dataset card specifications (hub-docs `modelcard.md`, `datasetcard.md`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import yaml

from solo_hub.core.errors import InputError, nearest
from solo_hub.core.parsing import parse_yaml

_COMMON = frozenset((
    "language", "license", "license_name", "license_link", "tags", "pretty_name", "thumbnail", "extra_gated_prompt",
    "extra_gated_fields", "extra_gated_heading", "extra_gated_description", "extra_gated_button_content",
))  # fmt: skip
MODEL_KEYS = _COMMON.union((
    "library_name", "datasets", "metrics", "base_model", "base_model_relation", "pipeline_tag", "model-index",
    "model_name", "new_version", "inference", "widget", "co2_eq_emissions", "buckets",
))  # fmt: skip
DATASET_KEYS = _COMMON.union((
    "annotations_creators", "language_creators", "language_details", "multilinguality", "license_details",
    "size_categories", "source_datasets", "task_categories", "task_ids", "paperswithcode_id", "configs",
    "dataset_info", "train-eval-index", "viewer",
))  # fmt: skip
KNOWN = {"model": MODEL_KEYS, "dataset": DATASET_KEYS}

_BLOCK = re.compile(r"\A---\n(.*?\n)---\n", re.DOTALL)


class _OneLine(yaml.SafeDumper):
    """Writes every string on one line, so that a `---` inside it cannot look like the end of the block."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = '"' if any(not character.isprintable() for character in text) else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_OneLine.add_representer(str, _text)


def write(data: Mapping[str, Any], kind: str) -> str:
    """Return the block with its `---` lines; entries that are None or empty are left out.

    Args:
        data: The entries, in the order they are written.
        kind: `model` or `dataset`.

    Raises:
        ValueError: An unknown key, or YAML that does not read back the same: always a bug, never a user error.
    """
    kept = {key: value for key, value in data.items() if value is not None and value not in ("", [], {})}
    for key in kept:
        if key not in KNOWN[kind]:
            raise ValueError(f"invalid {kind} card key '{key}'. {nearest(key, KNOWN[kind])}")
    text = yaml.dump(kept, Dumper=_OneLine, sort_keys=False, allow_unicode=True, width=float("inf"))
    block = f"---\n{text}---\n"
    if split(block + "\n")[0] != kept:
        raise ValueError("the card's YAML does not read back as it was written")
    return block


def split(card: str) -> tuple[dict[str, Any], str]:
    """Split a card into its YAML entries and its text.

    Raises:
        InputError: There is no YAML block, it is not YAML, or not a mapping.
    """
    match = _BLOCK.match(card)
    if not match:
        raise InputError("the card has no YAML block.", file="README.md", hint="Publish it again.")
    try:
        data = parse_yaml(match[1])
    except yaml.YAMLError as error:
        raise InputError("the card's YAML cannot be read.", file="README.md", hint="Publish it again.") from error
    if not isinstance(data, dict):
        raise InputError("the card's YAML is not a mapping.", file="README.md", hint="Publish it again.")
    return data, card[match.end() :]


def unknown_keys(data: Mapping[str, Any], kind: str) -> list[str]:
    """Keys of a card that the Hub does not know."""
    return [str(key) for key in data if key not in KNOWN[kind]]
