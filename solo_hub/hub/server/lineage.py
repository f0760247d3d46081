"""Which models a model was made from and how, and how many were made from it: derived from cards and files."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Literal, cast, get_args

from solo_hub.hub.server import limits
from solo_hub.hub.server.cards import strings

if TYPE_CHECKING:
    from collections.abc import Collection

    from solo_hub.hub.server.core import Hub
    from solo_hub.hub.server.history import Commit

Relation = Literal["adapter", "finetune", "merge", "quantized"]
_ADAPTER_LIBRARIES = frozenset({"peft", "adapter-transformers"})
_ADAPTER_TAGS = frozenset({"lora", "peft", "adapter"})
_MERGE_TAGS = frozenset({"merge", "mergekit"})
_QUANTIZED_TAGS = frozenset({"gguf", "gptq", "awq", "exl2", "exl3", "hqq", "bitsandbytes", "onnx"})
_QUANTIZED_ENDINGS = (".gguf", ".onnx")


def relation(card: dict[str, Any], files: Collection[str], *, quantized_config: bool = False) -> Relation:
    """How a model was made from its base models.

    ``base_model_relation`` of the card decides where it is given. The rest is inferred, as the Hub documents it
    (https://huggingface.co/docs/hub/model-cards#specifying-a-base-model): an adapter by its configuration file, a
    merge by several base models, a quantization by its format. The Hub does not document which rule comes first; here
    it is the order of this sentence.

    Args:
        card: Metadata of the card.
        files: Names in the repo's top folder.
        quantized_config: Whether ``config.json`` has a ``quantization_config``.
    """
    stated = card.get("base_model_relation")
    if stated in get_args(Relation):
        return cast("Relation", stated)
    tags = {tag.lower() for tag in strings(card.get("tags"))}
    if "adapter_config.json" in files or card.get("library_name") in _ADAPTER_LIBRARIES or tags & _ADAPTER_TAGS:
        return "adapter"
    if len(set(strings(card.get("base_model")))) > 1:
        return "merge"
    if quantized_config or tags & _QUANTIZED_TAGS or any(name.endswith(_QUANTIZED_ENDINGS) for name in files):
        return "quantized"
    return "merge" if tags & _MERGE_TAGS else "finetune"


def base_models(hub: Hub, commit: Commit, card: dict[str, Any]) -> tuple[Relation, list[str]] | None:
    """The relation of a model to its base models and their ids; None when the card names none."""
    names = list(dict.fromkeys(strings(card.get("base_model"))))
    if not names:
        return None
    files = hub.trees.listing(commit.tree)
    return relation(card, files, quantized_config=_has_quantization(hub, commit)), names


def children(hub: Hub, wanted: str, cards: list[tuple[Commit, dict[str, Any]]]) -> dict[str, int]:
    """Number of models made from a model, by relation; relations without any are left out.

    Args:
        hub: The Hub.
        wanted: Id of the model.
        cards: Newest commit and card of every model the caller may see.
    """
    counts: dict[str, int] = {}
    for commit, card in cards:
        if any(name.lower() == wanted.lower() for name in strings(card.get("base_model"))):
            found = base_models(hub, commit, card)
            if found is not None:
                counts[found[0]] = counts.get(found[0], 0) + 1
    return counts


def _has_quantization(hub: Hub, commit: Commit) -> bool:
    return "quantization_config" in json_file(hub, commit, "config.json")


def json_file(hub: Hub, commit: Commit, path: str) -> dict[str, Any]:
    """A JSON object of a repo; empty when the file is missing, too long or something else."""
    text = hub.read_text(commit.tree, path, limit=limits.MAX_YAML)
    try:
        data = json.loads(text) if text else None
    except (ValueError, RecursionError):
        return {}
    return data if isinstance(data, dict) else {}
