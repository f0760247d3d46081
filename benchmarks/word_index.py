"""How much memory the word index needs while it is built and searched, as the corpus grows.

Synthetic sentences: eight words each, drawn by Zipf's law from 50,000. Each size is built, and then searched with 100
queries of six words, in a process of its own, whose memory is looked at twenty times a second: what is not pages of
files (`RssAnon`), which the system cannot drop. The claim is that this hardly grows while the corpus does.

    python benchmarks/word_index.py            # 62k, 250k and 1M sentences: two minutes on one core
    python benchmarks/word_index.py --quick    # 62k and 250k
"""

from __future__ import annotations

import json
import os
import platform
import re
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
from telling import alone, options_of, tell

from solo_hub.core.records import Document
from solo_hub.knowledge.counting import PART
from solo_hub.knowledge.lexicon import Lexicon

WORDS, LENGTH, BLOCK = 50_000, 8, 10_000
GOAL = 4 * 2**30  # bytes, of 10 million sentences and more


class Sentences(Sequence[Document]):
    """Sentences made when they are asked for, a block at a time, so that they cost no memory."""

    def __init__(self, count: int) -> None:
        self.count = count
        share = 1 / np.arange(1, WORDS + 1)
        self._bounds = np.cumsum(share / share.sum())
        self._block, self._rows = -1, np.zeros((0, LENGTH), dtype=np.int64)

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: Any) -> Any:
        if not 0 <= index < self.count:
            raise IndexError(index)
        if index // BLOCK != self._block:
            self._block = index // BLOCK
            drawn = np.random.default_rng(self._block).random((BLOCK, LENGTH))
            self._rows = np.minimum(np.searchsorted(self._bounds, drawn), WORDS - 1)
        return Document(str(index), " ".join(f"q{word}" for word in self._rows[index % BLOCK].tolist()))


def resident(name: str = "RssAnon") -> int:
    """A figure of this process in bytes, as Linux tells it."""
    match = re.search(rf"{name}:\s+(\d+) kB", Path("/proc/self/status").read_text("ascii"))
    return 1024 * int(match.group(1)) if match else 0


class Peak:
    """The most memory beyond what the process had before, looked at twenty times a second."""

    def __enter__(self) -> Self:
        self.before = self.most = resident()
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._end.wait(0.05):
            self.most = max(self.most, resident())

    @property
    def grown(self) -> int:
        """Bytes."""
        return self.most - self.before


def build_and_search(count: int, folder: Path) -> dict[str, Any]:
    """One table row, measured in this process."""
    import scipy.sparse  # noqa: F401 - loaded before memory is looked at

    path = folder / f"words-{count}"
    start = time.process_time()
    with Peak() as building:
        lexicon = Lexicon.open_or_build(path, Sentences(count))
    built = time.process_time() - start
    asked = Sentences(BLOCK)
    queries = [lexicon.encode(asked[row].text) for row in range(100)]
    start = time.process_time()
    with Peak() as searching:
        lexicon.search(queries, 10)
        for query in queries[:20]:
            lexicon.second_facts([query[:3]], [query[3:]], 6, 10.0)
    return {
        "sentences": count,
        "build_peak_bytes": building.grown,
        "search_peak_bytes": searching.grown,
        "build_processor_seconds": built,
        "search_processor_seconds": time.process_time() - start,
        "index_bytes": sum(file.stat().st_size for file in path.iterdir()),
    }


def show(table: Sequence[Mapping[str, Any]], conditions: Mapping[str, Any]) -> None:
    """Print the table and the conditions."""
    print(f"{'sentences':>12}{'build peak MB':>15}{'search peak MB':>16}{'build CPU s':>13}{'index MB':>10}")
    for row in table:
        print(
            f"{row['sentences']:>12,}{row['build_peak_bytes'] / 1e6:>15.0f}{row['search_peak_bytes'] / 1e6:>16.0f}"
            f"{row['build_processor_seconds']:>13.0f}{row['index_bytes'] / 1e6:>10.0f}"
        )
    print("\nConditions: " + json.dumps(conditions))


def main() -> None:
    """Run the benchmark."""
    parser = options_of(__doc__, "62k and 250k sentences")
    parser.add_argument("--sizes", help="comma-separated numbers of sentences")
    given = parser.parse_args()
    sizes = [62_191, 250_000, *(() if given.quick else (1_000_000,))]
    if given.sizes:
        sizes = [int(size) for size in given.sizes.split(",")]
    with tempfile.TemporaryDirectory() as folder:
        table = [alone(build_and_search, size, Path(folder)) for size in sizes]
    conditions = {
        "sentences": f"{LENGTH} words of {WORDS}, by Zipf's law",
        "part": PART,
        "memory": "beyond the process before, pages of files not counted",
        "processor": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "quick": given.quick,
    }
    document = {
        "claim": "the word index is built and searched in bounded memory",
        "value": max(max(row["build_peak_bytes"], row["search_peak_bytes"]) for row in table),
        "unit": "bytes at the peak",
        "goal": GOAL,
        "conditions": conditions,
        "table": table,
    }
    tell(document, given.format, lambda made: show(made["table"], made["conditions"]))


if __name__ == "__main__":
    main()
