"""Fills the folder of the pseudo-label dataset: parquet, card, provenance, configuration.

The same documents give the same bytes, so that publishing them again changes nothing on the Hub. Gold answers are
never written here: the input types (`Question`, `PseudoLabel`) cannot carry them.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from operator import methodcaller
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from solo_hub.core.errors import InputError
from solo_hub.core.files import write_text
from solo_hub.core.records import Example
from solo_hub.models.prompts import PromptBuilder, messages
from solo_hub.publishing import cards, inventory, leaks
from solo_hub.publishing.dataset_card import Change, DatasetVersion, dataset_card
from solo_hub.publishing.documents import Row, RunDocuments, labels_config, rows
from solo_hub.publishing.licences import Licence
from solo_hub.publishing.naming import Names
from solo_hub.student.objectives.material import completion

R = TypeVar("R")

FORMAT_VERSION = 1
ROWS_PER_FILE = 100_000
ROWS_PER_GROUP = 1_000  # small groups let the dataset viewer page without reading whole files

TEXT, TEXTS, NUMBER, COUNT = pa.string(), pa.list_(pa.string()), pa.float64(), pa.int32()
SCHEMA = pa.schema({
    "id": TEXT, "question": TEXT, "options": TEXTS, "label": COUNT, "label_text": TEXT,
    "probabilities": pa.list_(NUMBER), "confidence": NUMBER, "text": TEXT, "explanation": TEXT,
    "passages": pa.list_(pa.struct({"id": TEXT, "text": TEXT, "score": NUMBER, "source": TEXT})),
    "passages_dropped": COUNT, "kept": pa.bool_(), "reason": TEXT, "uncertainty": NUMBER, "weight": NUMBER,
    "style": TEXT, "key": TEXT,
})  # fmt: skip
CURATED = pa.schema({
    "id": TEXT, "text": TEXT, "answer": TEXT, "options": TEXTS, "documents": TEXTS, "sentences": TEXTS, "writer": TEXT,
    "form": TEXT, "language": TEXT, "dropped": TEXT,
})  # fmt: skip
"""The configuration `curated`: every generated question with its source, and why it is not used for training."""
MESSAGES = pa.schema({
    "id": TEXT, "messages": pa.list_(pa.struct({"role": TEXT, "content": TEXT})), "weight": NUMBER,
})  # fmt: skip
"""The configuration `messages`: the kept labels as conversations, which trainers of chat models read."""
FEEDBACK = pa.schema({
    "question_id": TEXT, "chosen": TEXT, "rejected": TEXT, "chosen_option": COUNT, "rejected_option": COUNT,
    "chosen_probability": NUMBER, "rejected_probability": NUMBER, "chosen_by": TEXT,
})  # fmt: skip
"""The configuration `feedback`: the teacher's rankings, as `records.Preference` has them."""
WRITER: dict[str, Any] = {
    "compression": "zstd",
    "compression_level": 9,
    "version": "2.6",
    "data_page_version": "1.0",
    "use_dictionary": True,
    "write_statistics": True,
    "write_page_index": True,  # lets the dataset viewer read single pages
    "store_schema": False,
}
"""All settings that affect the bytes, so that new defaults of the library change nothing."""


def dataset_licence(documents: RunDocuments) -> Licence:
    """Licence of the dataset: it quotes questions and passages, and contains the teacher's answers.

    Raises:
        InputError: A source forbids it.
    """
    # the answers are the base's, or of who taught instead
    return documents.licence(("questions", "knowledge", "labels", *(documents.teachers or ("base",))), "dataset")


def fill_dataset_folder(folder: Path, documents: RunDocuments, names: Names, version: DatasetVersion) -> list[Row]:
    """Fill `folder` anew with everything that is pushed, and check it.

    Args:
        folder: The folder; what is in it is removed first.
        documents: The run.
        names: Names of both repos.
        version: Tag and history.

    Returns:
        The rows of the configuration `all`.

    Raises:
        InputError: A passage is missing, no label was kept, a source's licence forbids publishing, or something looks
            like a secret; the sentence names file and row.
    """
    licence = dataset_licence(documents)
    joined = rows(documents)
    if not any(row.verdict.kept for row in joined):
        # `datasets` cannot load a split without rows
        raise InputError(
            f"none of the {len(joined)} pseudo-labels was kept, so there is nothing to publish.",
            file="4-selected.jsonl",
            hint="Relax the selection (selection.method, selection.options) and run the select step again.",
        )
    empty(folder)
    kept = [row for row in joined if row.verdict.kept]
    _write_parquet(folder / "data" / "all", joined)
    _write_parquet(folder / "data" / "kept", kept)
    _write_parquet(folder / "data" / "messages", kept, MESSAGES, lambda row: conversation(row, documents.example.style))
    if documents.curated:
        _write_parquet(folder / "data" / "curated", documents.curated, CURATED)
    if documents.feedback:
        _write_parquet(folder / "data" / "feedback", documents.feedback, FEEDBACK)
    config = labels_config(documents.config)
    write_text(folder / "config.yaml", yaml.safe_dump(config, sort_keys=False, allow_unicode=True, width=120))
    if licence.id == "other":
        write_text(folder / "LICENSE.md", cards.licence_file(licence, "dataset"))
    write_text(folder / "README.md", dataset_card(documents, joined, names, licence, version))
    provenance = _provenance(documents, config, names, version, joined)
    write_text(folder / "provenance.json", _json({**provenance, "files": inventory.hashes(folder)}))
    leaks.refuse(folder)
    return joined


def conversation(row: Row, style: str) -> dict[str, Any]:
    """A label as a conversation: what the student is asked without passages, and what it is taught to answer.

    Args:
        row: The label with its question.
        style: Scoring style: whether the options are listed, and answered by letter.

    Returns:
        A row of the configuration `messages`.
    """
    answer = completion(PromptBuilder(), Example(row.question, row.label), style)
    return {
        "id": row.question.id,
        "messages": messages(row.question, style, answer),
        "weight": row.verdict.weight,
    }


def empty(folder: Path) -> None:
    """Create `folder`, or remove its content."""
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)


def content_hash(records: Iterable[Mapping[str, Any]]) -> str:
    """Hash of rows (`Row.to_row`, or as read back), whatever library wrote the parquet files."""
    digest = hashlib.sha256()
    for row in records:
        digest.update(json.dumps(row, ensure_ascii=True, sort_keys=True).encode() + b"\n")
    return digest.hexdigest()


def read_rows(folder: Path, configuration: str = "all") -> list[dict[str, Any]]:
    """Rows of a configuration of a filled or downloaded folder; see `stream_rows`."""
    return list(stream_rows(folder, configuration))


def stream_rows(folder: Path, configuration: str = "all") -> Iterator[dict[str, Any]]:
    """Rows of a configuration, one at a time.

    Raises:
        InputError: A file is not parquet.
    """
    for path in sorted((folder / "data" / configuration).glob("train-*.parquet")):
        try:
            with pq.ParquetFile(path) as file:
                for batch in file.iter_batches(batch_size=ROWS_PER_GROUP):
                    yield from batch.to_pylist()
        except (pa.ArrowException, OSError) as error:
            raise InputError(f"cannot be read: {error}", file=str(path), hint="Download it again.") from error


def change(tag: str, message: str, before: Iterable[dict[str, Any]], after: Iterable[dict[str, Any]]) -> Change:
    """Count what changed between two versions, by the rows' ids; of the older rows only hashes are kept.

    >>> one, two = {"id": "a", "text": "x"}, {"id": "b", "text": "y"}
    >>> change("v2", "", [one], [one | {"text": "z"}, two])
    Change(tag='v2', rows=2, added=1, removed=0, changed=1, message='')
    """
    old = {row["id"]: hash(_frozen(row)) for row in before}
    count = added = changed = 0
    for row in after:
        count += 1
        known = old.pop(row["id"], None)
        added += known is None
        changed += known is not None and known != hash(_frozen(row))
    return Change(tag=tag, rows=count, added=added, removed=len(old), changed=changed, message=message)


def _frozen(value: Any) -> Any:
    """A hashable form of a value; 1 and 1.0 hash equally."""
    if isinstance(value, dict):
        return tuple((key, _frozen(item)) for key, item in sorted(value.items()))
    return tuple(map(_frozen, value)) if isinstance(value, list) else value


def _write_parquet(
    folder: Path,
    joined: Sequence[R],
    schema: pa.Schema = SCHEMA,
    to_row: Callable[[R], dict[str, Any]] = methodcaller("to_row"),
) -> None:
    """Write the files of a configuration, a row group at a time: as columns only that many rows are in memory."""
    folder.mkdir(parents=True)
    parts = [joined[at : at + ROWS_PER_FILE] for at in range(0, len(joined), ROWS_PER_FILE)]
    for number, part in enumerate(parts):
        path = folder / f"train-{number:05d}-of-{len(parts):05d}.parquet"
        with pq.ParquetWriter(path, schema, **WRITER) as writer:
            for at in range(0, len(part), ROWS_PER_GROUP):
                batch = [to_row(row) for row in part[at : at + ROWS_PER_GROUP]]
                writer.write_table(_table(batch, schema), row_group_size=ROWS_PER_GROUP)


def _table(batch: Sequence[Mapping[str, Any]], schema: pa.Schema) -> pa.Table:
    return pa.table({name: [row[name] for row in batch] for name in schema.names}, schema=schema)


def _provenance(
    documents: RunDocuments, config: dict[str, Any], names: Names, version: DatasetVersion, joined: Sequence[Row]
) -> dict[str, Any]:
    resolved = config["resolved"]
    return {
        "format_version": FORMAT_VERSION,
        "kind": "pseudo-labels",
        "dataset": {"repo_id": names.dataset, "tag": version.tag},
        "adapter": {"repo_id": names.adapter, "tag": version.adapter_tag},
        "seed": documents.report.get("seed"),
        "rows": len(joined),
        "kept": sum(1 for row in joined if row.verdict.kept),
        "content_sha256": content_hash(row.to_row() for row in joined),
        "sources": resolved["repos"],
        "solo_hub": resolved.get("solo_hub"),
        "libraries": resolved.get("libraries") or {},
        "labels": documents.report.get("labels"),
        "selection": documents.report.get("selection"),
        "history": [asdict(entry) for entry in version.history],
    }


def _json(document: dict[str, Any]) -> str:
    return json.dumps(document, ensure_ascii=False, indent=2, allow_nan=False) + "\n"
