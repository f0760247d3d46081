"""Fills the folder of the adapter: weights, configuration pinned to the base's commit, card, report."""

from __future__ import annotations

import json
import shutil
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from solo_hub.core.errors import InputError, ModelError
from solo_hub.core.files import write_text
from solo_hub.core.parsing import parse_json
from solo_hub.publishing import cards, curve, inventory, leaks
from solo_hub.publishing.adapter_card import AdapterVersion, adapter_card, loss_unit
from solo_hub.publishing.dataset import empty
from solo_hub.publishing.documents import RunDocuments, published_config, without_paths
from solo_hub.publishing.licences import Licence
from solo_hub.publishing.naming import Names

FORMAT_VERSION = 1
WEIGHTS = "adapter_model.safetensors"
LOG = "training.json"
CURVE = "training-curve.svg"
_HEADER_LIMIT = 100_000_000  # bytes; a longer header is invalid


def adapter_licence(documents: RunDocuments) -> Licence:
    """Licence of the adapter: it modifies the base and was trained on questions, knowledge and a teacher's answers.

    Raises:
        InputError: A source forbids it.
    """
    return documents.licence(("base", *documents.teachers, "questions", "knowledge", "labels"), "adapter")


def fill_adapter_folder(folder: Path, documents: RunDocuments, names: Names, version: AdapterVersion) -> None:
    """Fill `folder` anew with everything that is pushed, and check it.

    Args:
        folder: The folder; what is in it is removed first.
        documents: The run.
        names: Names of both repos.
        version: Its tag, and commit and tag of the dataset it was trained on.

    Raises:
        ModelError: The adapter is missing, broken, or changes nothing.
        InputError: A source's licence forbids publishing, or something looks like a secret.
    """
    licence = adapter_licence(documents)
    check_weights(documents.adapter / WEIGHTS)
    config = _adapter_config(documents)
    empty(folder)
    shutil.copyfile(documents.adapter / WEIGHTS, folder / WEIGHTS)
    write_text(folder / "adapter_config.json", json.dumps(config, ensure_ascii=False, indent=2, sort_keys=True) + "\n")
    if (documents.adapter / LOG).is_file():
        shutil.copyfile(documents.adapter / LOG, folder / LOG)
    image = curve.draw(curve.read_log(documents.adapter / LOG), loss_unit(documents))
    if image is not None:
        write_text(folder / CURVE, image)
    write_text(
        folder / "report.json",
        json.dumps(without_paths(documents.report), ensure_ascii=False, indent=2, allow_nan=False) + "\n",
    )
    settings = published_config(documents.config)
    write_text(folder / "config.yaml", yaml.safe_dump(settings, sort_keys=False, allow_unicode=True, width=120))
    for name, text in documents.adapter_files.items():
        write_text(folder / name, text)
    if licence.id == "other":
        write_text(folder / "LICENSE.md", cards.licence_file(licence, "adapter"))
    card = adapter_card(documents, names, licence, version, curve=CURVE if image is not None else None)
    write_text(folder / "README.md", card)
    provenance = {**_provenance(settings, names, version), "files": inventory.hashes(folder)}
    write_text(folder / "provenance.json", json.dumps(provenance, ensure_ascii=False, indent=2) + "\n")
    leaks.refuse(folder)


def read_header(path: Path) -> dict[str, Any]:
    """Header of a safetensors file: tensor names with dtype, shape and offsets; read without loading a tensor.

    Raises:
        ModelError: The file is missing, truncated, or not safetensors.
    """
    broken = "Delete the adapter folder and train again."
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            header = parse_json(file.read(min(length, _HEADER_LIMIT)))
        entries = {name: entry for name, entry in header.items() if name != "__metadata__"}
        end = 8 + length + max((entry["data_offsets"][1] for entry in entries.values()), default=0)
    except FileNotFoundError:
        raise ModelError(f"There are no adapter weights at '{path}'.", hint="Run the train step again.") from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError, struct.error) as error:
        raise ModelError(f"'{path}' is not a safetensors file.", hint=broken) from error
    if end != size:
        raise ModelError(f"'{path}' is truncated: expected {end} bytes, got {size}.", hint=broken)
    return {"__offset__": 8 + length, **entries}


def check_weights(path: Path) -> None:
    """Check that the adapter is complete and has an effect: LoRA starts with B = 0, so an untrained one has none.

    Raises:
        ModelError: It is broken, holds no LoRA weights, or every B is zero.
    """
    header = read_header(path)
    offset = header.pop("__offset__")
    matrices = [
        entry["data_offsets"] for name, entry in header.items() if ".lora_B." in name or ".lora_embedding_B" in name
    ]
    if not matrices:
        raise ModelError(f"'{path}' contains no LoRA weights.", hint="Delete the adapter folder and train again.")
    with path.open("rb") as file:
        for start, end in matrices:
            file.seek(offset + start)
            if file.read(end - start).strip(b"\0"):
                return
    raise ModelError(
        f"The adapter in '{path}' has no effect: all of its B matrices are zero.",
        hint="It was never trained; delete the folder and train again.",
    )


def _adapter_config(documents: RunDocuments) -> dict[str, Any]:
    path = documents.adapter / "adapter_config.json"
    try:
        config = parse_json(path.read_text("utf-8"))
    except FileNotFoundError:
        raise ModelError(f"There is no adapter configuration at '{path}'.", hint="Run the train step again.") from None
    except (OSError, ValueError) as error:
        raise ModelError(
            f"'{path}' cannot be read: {error}.", hint="Delete the adapter folder and train again."
        ) from error
    if not isinstance(config, dict):
        raise InputError("is not a JSON object.", file=str(path), hint="Delete the adapter folder and train again.")
    # peft looks up the base here: the repo at the commit that was trained on, not a local folder
    config |= {"base_model_name_or_path": documents.base.repo_id, "revision": documents.base.commit}
    # peft stores them as sets, so their order varies
    return {key: sorted(value) if _is_names(value) else value for key, value in config.items()}


def _is_names(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _provenance(settings: Mapping[str, Any], names: Names, version: AdapterVersion) -> dict[str, Any]:
    resolved = settings["resolved"]
    return {
        "format_version": FORMAT_VERSION,
        "kind": "solo-adapter",
        "adapter": {"repo_id": names.adapter, "tag": version.tag},
        "dataset": {"repo_id": names.dataset, "commit": version.dataset_commit, "tag": version.dataset_tag},
        **({"space": {"repo_id": names.space, "tag": version.tag}} if names.space else {}),
        **(
            {"collection": {"owner": names.adapter.split("/")[0], "title": names.collection}}
            if names.collection
            else {}
        ),
        "sources": resolved["repos"],
        "solo_hub": resolved.get("solo_hub"),
        "libraries": resolved.get("libraries") or {},
    }
