"""Builds a word index in bounded memory: what `lexicon` reads.

Two passes. The first appends every document's words to files, a checkpoint after each part, so that a killed build goes
on after its last whole part. The second turns words by document into documents by word, again a part at a time: within
a part by a stable sort, and each word's run is written where the word's earlier runs ended. Memory: the vocabulary, and
about `PART` documents' words; what is written is pages of files.
"""

from __future__ import annotations

import json
import os
import shutil
from array import array
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
from filelock import FileLock

from solo_hub.core.files import write_text
from solo_hub.core.plugins import Progress
from solo_hub.core.records import Document
from solo_hub.knowledge.words import Analysis

PART = 200_000  # documents between checkpoints, and sorted at once
K1 = 1.5  # how fast a repeated word stops adding
B = 0.75  # how much long documents are held back, 0..1
MOST = 65_535  # times a word counts in one document

_RAW = {"words": "i", "counts": "H", "ends": "q", "lengths": "i"}
"""Files of the first pass with their kinds of number (codes of `array`)."""
_KINDS = {"words": np.int32, "counts": np.uint16, "ends": np.int64, "lengths": np.int32}


def build_words(folder: Path, documents: Sequence[Document], progress: Progress | None = None) -> Analysis:
    """Make the word index of a folder, or finish one that was begun; does nothing where it is whole.

    One made by another version of the tokenizer or of the stemmer is made again.

    Args:
        folder: Where it will be; appears when it is whole.
        documents: What is indexed: the same documents as when it was begun.
        progress: Called with documents done.

    Returns:
        How it turns texts into words.
    """
    if (found := Analysis.read(folder)) is not None:
        return found
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_name(f".{folder.name}.lock")):  # a second process waits and finds it built
        if (found := Analysis.read(folder)) is not None:
            return found
        building = folder.with_name(f".{folder.name}-building")
        if (analysis := Analysis.read(building)) is None:  # nothing is begun, or by another version
            shutil.rmtree(building, ignore_errors=True)
            building.mkdir()
            analysis = Analysis.of(documents)
            analysis.write(building)
        vocabulary, tokens = _read_all(building, documents, analysis, progress)
        _transpose(building, len(documents), len(vocabulary), tokens)
        for path in (*map(building.joinpath, _RAW), building / "checkpoint.json"):
            path.unlink()
        shutil.rmtree(folder, ignore_errors=True)
        shutil.move(building, folder)
        return analysis


def _read_all(
    folder: Path, documents: Sequence[Document], analysis: Analysis, progress: Progress | None
) -> tuple[dict[str, int], int]:
    """First pass; returns the vocabulary and how many words all documents have, counting each once a document."""
    done, tokens, size = _checkpoint(folder)
    names = {**{name: folder / name for name in _RAW}, "vocabulary": folder / "words.txt"}
    bytes_ = {
        "words": 4 * tokens, "counts": 2 * tokens, "ends": 8 * done, "lengths": 4 * done, "vocabulary": size,
    }  # fmt: skip
    for name, path in names.items():  # what was written after the checkpoint is not whole
        with path.open("ab") as file:
            file.truncate(bytes_[name])
    ids = {word: number for number, word in enumerate(names["vocabulary"].read_text("utf-8").split("\n")[:-1])}
    if progress:
        progress(done)
    files = {name: path.open("ab") for name, path in names.items()}
    try:
        for start in range(done, len(documents), PART):
            part = range(start, min(start + PART, len(documents)))
            counted = (Counter(analysis.words(documents[i].text)) for i in part)
            tokens, size = _read_part(counted, ids, files, tokens, size)
            _mark(folder, part.stop, tokens, size)
            if progress:
                progress(len(part))
    finally:
        for file in files.values():
            file.close()
    _mark(folder, len(documents), tokens, size)  # there may have been none to read
    return ids, tokens


def _mark(folder: Path, documents: int, tokens: int, size: int) -> None:
    marks = {"documents": documents, "tokens": tokens, "vocabulary_bytes": size}
    write_text(folder / "checkpoint.json", json.dumps(marks) + "\n")


def _checkpoint(folder: Path) -> tuple[int, int, int]:
    try:
        marks = json.loads((folder / "checkpoint.json").read_text("utf-8"))
    except FileNotFoundError:
        return 0, 0, 0
    return int(marks["documents"]), int(marks["tokens"]), int(marks["vocabulary_bytes"])


def _read_part(
    documents: Iterable[Counter[str]], ids: dict[str, int], files: Mapping[str, BinaryIO], tokens: int, size: int
) -> tuple[int, int]:
    columns = {name: array(code) for name, code in _RAW.items()}
    contents, counts = columns["words"], columns["counts"]
    known = len(ids)
    for found in documents:
        for word, count in found.items():
            contents.append(ids.setdefault(word, len(ids)))
            counts.append(min(count, MOST))
        columns["ends"].append(tokens + len(contents))
        columns["lengths"].append(found.total())
    new = "".join(f"{word}\n" for word in list(ids)[known:]).encode()
    files["vocabulary"].write(new)
    for name, column in columns.items():
        column.tofile(files[name])
    for file in files.values():
        file.flush()
        os.fsync(file.fileno())
    return tokens + len(contents), size + len(new)


def _transpose(folder: Path, documents: int, size: int, tokens: int) -> None:
    """Second pass: from words by document to documents by word, with BM25 weights."""
    raw = {
        name: np.memmap(folder / name, dtype=kind, mode="r")
        if (folder / name).stat().st_size
        else np.zeros(0, dtype=kind)
        for name, kind in _KINDS.items()
    }
    word, lengths = raw["words"], raw["lengths"]
    ends = _array(folder, "contents_ends", np.int64, documents + 1)
    ends[0] = 0
    contents = _array(folder, "contents_words", np.int32, tokens)
    frequency = np.zeros(size, dtype=np.int64)
    length_sum = 0
    for part in _parts(documents):
        ends[part.start + 1 : part.stop + 1] = raw["ends"][part]
        span = slice(int(ends[part.start]), int(ends[part.stop]))
        contents[span] = word[span]
        frequency += np.bincount(word[span], minlength=size)
        length_sum += int(lengths[part].sum(dtype=np.int64))
    mean = length_sum / documents if length_sum else 1.0
    idf = np.log(1 + (documents - frequency + 0.5) / (frequency + 0.5)).astype(np.float32)
    starts = np.concatenate(([0], np.cumsum(frequency)))
    np.save(folder / "document_frequency.npy", frequency)
    np.save(folder / "postings_ends.npy", starts)
    holders = _array(folder, "postings_documents", np.int32, tokens)
    weights = _array(folder, "postings_weights", np.float32, tokens)
    filled = starts[:-1].copy()
    for part in _parts(documents):
        bounds = np.asarray(ends[part.start : part.stop + 1])
        span = slice(int(bounds[0]), int(bounds[-1]))
        holder = np.repeat(np.arange(part.start, part.stop, dtype=np.int32), np.diff(bounds))
        here, count = np.asarray(word[span]), raw["counts"][span].astype(np.float32)
        length = lengths[part].astype(np.float32)[holder - part.start]
        weight = idf[here] * count / (count + K1 * (1 - B + B * length / np.float32(mean)))
        order = np.argsort(here, kind="stable")  # documents of a word stay in their order
        met, first, times = np.unique(here[order], return_index=True, return_counts=True)
        places = np.arange(len(here)) - np.repeat(first, times) + np.repeat(filled[met], times)
        holders[places], weights[places] = holder[order], weight[order]
        filled[met] += times


def _parts(documents: int) -> list[slice]:
    return [slice(start, min(start + PART, documents)) for start in range(0, documents, PART)]


def _array(folder: Path, name: str, kind: type[Any], length: int) -> npt.NDArray[Any]:
    made: npt.NDArray[Any] = np.lib.format.open_memmap(folder / f"{name}.npy", mode="w+", dtype=kind, shape=(length,))
    return made
