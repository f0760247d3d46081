"""How fast questions are written by rule, and how much memory that takes as the corpus grows.

Sentences are those of QASC's corpus where it is there, from its second round on with other nouns so that no two are
alike; else those of a small grammar. Each size is curated with wrong options and every filter, by both writers by rule
or, as `solo-hub distill` does by default, by `cloze` alone (`--writers cloze`); in a process of its own, whose memory
is looked at twenty times a second: what is not pages of files (`RssAnon`). Processor seconds are counted: others' work
hardly changes them.

With `--gold` it is counted, for analysis only, which of QASC's combined facts the chains come upon.

    python benchmarks/curation.py            # 62k and 1M sentences: half an hour on one core
    python benchmarks/curation.py --quick    # 5k and 20k
    python benchmarks/curation.py --writers cloze
    python benchmarks/curation.py --quick --gold
"""

from __future__ import annotations

import json
import os
import platform
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from telling import alone, options_of, tell
from word_index import Peak

from solo_hub.core.records import CuratedQuestion, Document
from solo_hub.curation.chains import Chains
from solo_hub.curation.cloze import Cloze
from solo_hub.curation.curating import curate
from solo_hub.curation.frequencies import words

SHARED = Path(__file__).parents[2] / "shared" / "hub" / "datasets"
GOAL = 2000  # sentences a second
WRITERS = {"cloze": Cloze, "chains": Chains}
NEAR = 0.75  # Jaccard overlap of content words from which a question says a combined fact

_NAMES = ("river", "magnet", "compass", "plant", "crystal", "engine", "forest", "planet")
_VERBS = ("contains", "produces", "needs", "carries", "protects", "changes")


class Sentences(Sequence[Document]):
    """As many sentences as are asked for, made when they are read, so that they cost no memory."""

    def __init__(self, count: int, texts: Sequence[str]) -> None:
        self.count, self.texts = count, texts

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[place] for place in range(*index.indices(self.count))]
        if not 0 <= index < self.count:
            raise IndexError(index)
        return Document(str(index), self._text(index), f"part {index % 5}")

    def _text(self, index: int) -> str:
        if not self.texts:
            first, second = _NAMES[index % 8], _NAMES[(index // 8) % 8]
            return f"The {first}{index // 3} {_VERBS[index % 6]} a {second}{index // 2} near the lake."
        lap, place = divmod(index, len(self.texts))
        # another lap: nouns of its own, as many times as there are laps, so that terms are not all shared
        return self.texts[place] if not lap else " ".join(
            f"{word}{lap}" if word.isalpha() and len(word) > 5 and word.islower() else word
            for word in self.texts[place].split(" ")
        )  # fmt: skip


def texts_of(folder: Path) -> list[str]:
    """QASC's sentences, or none where they are not there."""
    path = folder / "solo-hub" / "qasc-corpus-62k" / "data" / "train-00000-of-00001.parquet"
    if not path.exists():
        return []
    import pyarrow.parquet as pq

    return [str(text) for text in pq.read_table(path, columns=["text"]).column("text").to_pylist()]


def run(count: int, texts: Sequence[str], names: Sequence[str]) -> dict[str, Any]:
    """One table row, measured in this process."""
    documents = Sentences(count, texts)
    kept: Counter[str] = Counter()
    dropped: Counter[str] = Counter()
    asked = bytearray(count)
    start = time.process_time()
    with Peak() as peak:
        for question in curate(documents, [WRITERS[name]({}, 0) for name in names]):
            if question.dropped:
                dropped[question.dropped] += 1
                continue
            kept[question.writer] += 1
            for name in question.documents:
                asked[int(name)] = 1
    seconds = time.process_time() - start
    return {
        "sentences": count,
        "processor_seconds": seconds,
        "sentences_per_second": count / seconds,
        "peak_bytes": peak.grown,
        "cloze": kept["cloze"],
        "chains": kept["chains"],
        "coverage": sum(asked) / max(1, count),
        "dropped": dict(dropped.most_common()),
    }


def combined_facts(folder: Path) -> list[tuple[frozenset[str], frozenset[str]]]:
    """Of QASC's validation questions: content words of the combined fact, and the two facts' sentences."""
    import pyarrow.parquet as pq

    rows = pq.read_table(folder / "allenai" / "qasc" / "data" / "validation-00000-of-00001.parquet").to_pylist()
    return [
        (frozenset(words(row["combinedfact"])), frozenset((_letters(row["fact1"]), _letters(row["fact2"]))))
        for row in rows
    ]


def _letters(sentence: str) -> str:
    return " ".join(sentence.casefold().split()).rstrip(" .")


def hits(texts: Sequence[str], folder: Path) -> dict[str, float]:
    """Share of gold pairs that a chain was made of, and of combined facts that some question says."""
    facts = combined_facts(folder)
    documents = Sentences(len(texts), texts)
    chains = [question for question in Chains({}, 0).write(documents) if question.kept]
    pairs = {frozenset(map(_letters, question.sentences)) for question in chains}
    holders: dict[str, list[frozenset[str]]] = {}
    for stems in _said(chains):
        for stem in stems:
            holders.setdefault(stem, []).append(stems)
    said = [bool(stems) and _is_said(stems, holders) for stems, _ in facts]
    return {
        "combined_facts": len(facts),
        "chains": len(chains),
        "gold_pairs_composed": sum(pair in pairs for _, pair in facts) / len(facts),
        "combined_facts_said": sum(said) / len(facts),
    }


def _said(questions: Sequence[CuratedQuestion]) -> Iterator[frozenset[str]]:
    for question in questions:
        yield frozenset(words(f"{question.text} {question.answer}"))


def _is_said(stems: frozenset[str], holders: Mapping[str, list[frozenset[str]]]) -> bool:
    rarest = sorted(stems, key=lambda stem: (len(holders.get(stem, ())), stem))[:3]
    return any(len(stems & other) >= NEAR * len(stems | other) for stem in rarest for other in holders.get(stem, ()))


def show(made: Mapping[str, Any]) -> None:
    """Print the table and the conditions."""
    print(f"{'sentences':>12}{'a second':>10}{'peak MB':>9}{'cloze':>11}{'chains':>11}{'asked about':>13}  dropped")
    for row in made["table"]:
        dropped = ", ".join(f"{reason}: {count:,}" for reason, count in row["dropped"].items())
        print(
            f"{row['sentences']:>12,}{row['sentences_per_second']:>10,.0f}{row['peak_bytes'] / 1e6:>9.0f}"
            f"{row['cloze']:>11,}{row['chains']:>11,}{row['coverage']:>13.3f}  {dropped}"
        )
    if made.get("gold"):
        print("\nQASC, for analysis only: " + json.dumps(made["gold"]))
    print("\nConditions: " + json.dumps(made["conditions"]))


def main() -> int:
    """Run the benchmark."""
    parser = options_of(__doc__, "5k and 20k sentences")
    parser.add_argument("--sizes", help="comma-separated numbers of sentences")
    parser.add_argument("--data", type=Path, default=SHARED, help="folder with the dataset repos of QASC")
    parser.add_argument("--gold", action="store_true", help="count QASC's combined facts, too")
    parser.add_argument("--writers", nargs="+", choices=list(WRITERS), default=list(WRITERS))
    given = parser.parse_args()
    texts = texts_of(given.data)
    sizes = [5_000, 20_000] if given.quick else [62_191, 1_000_000]
    if given.sizes:
        sizes = [int(size) for size in given.sizes.split(",")]
    table = [alone(run, size, texts, given.writers) for size in sizes]
    document = {
        "claim": "questions are written by rule from every document at a steady speed and in bounded memory",
        "value": min(row["sentences_per_second"] for row in table),
        "unit": "sentences a processor second, writers and filters together",
        "goal": GOAL,
        "conditions": {
            "writers": given.writers,
            "sentences": "QASC's corpus" if texts else "a small grammar",
            "memory": "beyond the process before, pages of files not counted",
            "processor": platform.processor() or platform.machine(),
            "cores": os.cpu_count(),
            "quick": given.quick,
        },
        "table": table,
        "gold": hits(texts, given.data) if given.gold and texts else None,
    }
    tell(document, given.format, show)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
