"""What everything around the model costs: many questions and passages through label, select and publish.

The engine is a fake that takes a set time for each question, really spent (it sleeps), and the embedder one that
hashes words; questions, passages, files, checks, selection, Parquet, cards, the upload and the Hub are the real ones.
Each step runs in a process of its own, so that its peak memory is its own; the Hub is another process. A step counts
from opening the run folder to its end, reading what earlier steps wrote included; starting Python and importing
libraries is not in it.

    overhead = processor time of label, select and publish outside the engine / time inside the engine

One thread works, and its processor time is not lengthened by whatever else runs on the machine; what it waits for (the
disk, the Hub) is in the wall times beside it. Finding the passages is work of its own that grows with the corpus: it is
in the table, and in a second overhead.

    python benchmarks/machinery.py [--quick] [--questions N] [--passages N] [--engine-ms MS] [--format human|json]

Needs no model and no network. Training is not part of it: adapter and report are made up.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import resource
import shutil
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

GOAL = 0.05  # of the engine's own time
STEPS = ("index", "passages", "label", "select", "publish")
COUNTED = ("label", "select", "publish")
OPTIONS, WORDS, DIMENSION, HELD_OUT = 8, 20_000, 64, 200
MODEL = "bench/nothing"
ENTRY_POINTS = """[solo_hub.engines]
spending = machinery:SpendingEngine
[solo_hub.embedders]
hashing = machinery:HashingEmbedder
"""


class SpendingEngine:
    """A `plugins.Engine`: takes `MACHINERY_ENGINE_MS` a question; its scores are random and repeatable."""

    device, dtype, precision, chat, context_length = "cpu", "float32", "float32", None, 4096
    spent, computed = 0.0, 0.0
    """Seconds inside any engine of this process, and those of them in which the processor worked."""

    def __init__(self, path: Path, identity: str, **_: Any) -> None:  # noqa: ARG002 - as every engine
        self.identity = f"spending {identity}"
        self.seconds = float(os.environ["MACHINERY_ENGINE_MS"]) / 1000

    def adapter(self, on: bool) -> contextlib.AbstractContextManager[Any]:  # noqa: FBT001, ARG002 - the protocol's
        """Nothing to switch."""
        return contextlib.nullcontext(self)

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """A word is a token."""
        return [len(text.split()) for text in texts]

    def score(self, prompts: Sequence[Any], continuations: Sequence[Sequence[str]]) -> list[list[float]]:
        """Spend the time, and score by a hash of the prompt."""
        start, processor = time.perf_counter(), time.thread_time()
        scores = []
        for prompt, answers in zip(prompts, continuations, strict=True):
            seed = zlib.crc32(prompt.text.encode())
            scores.append([-((seed * (number + 3) * 2654435761 >> 7) % 1000) / 100 for number in range(len(answers))])
        time.sleep(max(0.0, self.seconds * len(prompts) - (time.perf_counter() - start)))
        SpendingEngine.spent += time.perf_counter() - start
        SpendingEngine.computed += time.thread_time() - processor
        return scores


class HashingEmbedder:
    """Fits `solo_hub.core.plugins.Embedder`: a text is the sum of its words' random vectors."""

    dimension = DIMENSION

    def __init__(self, path: Path, identity: str) -> None:  # noqa: ARG002 - as every embedder
        self.identity = f"hashing {identity}"
        self.table = np.random.default_rng(0).standard_normal((4096, DIMENSION)).astype(np.float32)

    def embed(self, texts: Sequence[str], progress: Any = None) -> Any:
        """Unit vectors."""
        words = [[zlib.crc32(word.encode()) % 4096 for word in text.split()] for text in texts]
        vectors = np.stack([self.table[some].sum(axis=0) for some in words]) if words else np.zeros((0, DIMENSION))
        if progress:
            progress(len(texts))
        return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def texts(count: int, words: int, seed: int) -> Iterator[str]:
    """Made-up sentences; words are drawn by Zipf's law, as in real text."""
    chance = np.random.default_rng(seed)
    vocabulary = np.array([f"{'bdfgklmnprstv'[n % 13]}{'aeiou'[n // 13 % 5]}{n:x}" for n in range(WORDS)])
    share = 1 / np.arange(10, WORDS + 10)
    for start in range(0, count, 10_000):
        drawn = vocabulary[chance.choice(WORDS, (min(10_000, count - start), words), p=share / share.sum())]
        yield from map(" ".join, drawn)


def write_inputs(folder: Path, questions: int, passages: int) -> None:
    """Questions with options, held-out ones with answers, and a corpus, a batch of rows at a time."""
    import pyarrow as pa
    from pyarrow import parquet

    def table(path: Path, rows: Iterator[dict[str, Any]], schema: pa.Schema) -> None:
        with parquet.ParquetWriter(path, schema) as writer:
            while batch := [row for _, row in zip(range(10_000), rows, strict=False)]:
                writer.write_batch(pa.RecordBatch.from_pylist(batch, schema=schema))

    def asked(count: int, seed: int) -> Iterator[dict[str, Any]]:
        answers = texts(count * OPTIONS, 2, seed + 1)
        for number, text in enumerate(texts(count, 12, seed)):
            options = [f"{next(answers)} {letter}" for letter in "abcdefgh"]
            yield {"id": f"{seed}-{number}", "question": f"What is {text}?", "options": options, "answer": number % 8}

    kinds = [("id", pa.string()), ("question", pa.string()), ("options", pa.list_(pa.string())), ("answer", pa.int64())]
    table(folder / "questions.parquet", asked(questions, 1), pa.schema(kinds))
    table(folder / "held-out.parquet", asked(HELD_OUT, 100), pa.schema(kinds))
    rows = ({"id": f"p{n}", "text": text, "source": "made up"} for n, text in enumerate(texts(passages, 16, 7)))
    table(folder / "corpus.parquet", rows, pa.schema([(name, pa.string()) for name in ("id", "text", "source")]))


def settings(folder: Path) -> dict[str, Any]:
    """The run's settings; what is not here has its default."""
    return {
        "name": "machinery",
        "base": MODEL,
        "task": {
            "name": "multiple_choice",
            "questions": str(folder / "questions.parquet"),
            "evaluation_questions": str(folder / "held-out.parquet"),
            "train_limit": None,
        },
        "knowledge": {"source": str(folder / "corpus.parquet"), "embedder": "hashing", "embedding_model": MODEL},
        "engine": {"name": "spending"},
        "teacher": {"style": "text", "explain": "never"},
        "evaluation": {"bert_score_model": MODEL, "forgetting": False, "map": "off", "cost_questions": 0, "arms": []},
        "publish": {"space": False, "collection": False, "allow_no_gain": True},
    }  # fmt: skip


def step(folder: Path, name: str) -> dict[str, Any]:
    """Do one step in this process and measure it."""
    from solo_hub import pipeline
    from solo_hub.core.config import build
    from solo_hub.core.console import Console
    from solo_hub.hub.opening import open_hub
    from solo_hub.knowledge.step import RunKnowledge
    from solo_hub.run.context import RunContext
    from solo_hub.run.folder import RunFolder

    if name in ("index", "passages"):
        import faiss  # noqa: F401 - imports are not what is measured
    import pyarrow.parquet  # noqa: F401
    import torch  # noqa: F401

    imported = peak_rss()
    wall, processor = time.perf_counter(), time.process_time()
    run = RunFolder(folder / "run")
    with run.lock():
        context = RunContext(build(settings(folder)), run, lambda _: open_hub("local", needs=[]), Console("quiet"))
        if name == "index":
            _ = context.shared(RunKnowledge).index.nearest
        elif name == "publish":
            pipeline.publish(context)
        else:
            questions = pipeline.load_questions(context)
            passages = pipeline.find_passages(context, questions)
            if name != "passages":
                labels = pipeline.label(context, questions, passages)
            if name == "select":
                pipeline.select(context, questions, passages, labels)
    return {
        "step": name,
        "seconds": time.perf_counter() - wall,
        "processor_seconds": time.process_time() - processor - SpendingEngine.computed,
        "engine_seconds": SpendingEngine.spent,
        "peak_rss_mb": peak_rss(),
        "rss_imported_mb": imported,
    }


def make_up_training(folder: Path) -> None:
    """An adapter, a report and what else publishing reads, without a model."""
    from safetensors.numpy import save_file

    from solo_hub.core.config import build
    from solo_hub.core.records import Gold, Prediction, PseudoLabel, Question, Retrieval, Selection, Verdict
    from solo_hub.evaluation.label_quality import summarise_labels, summarise_selection
    from solo_hub.evaluation.report.report import build_report
    from solo_hub.hub import tables
    from solo_hub.run.folder import FORMAT_VERSION, RunFolder
    from solo_hub.student import training

    run, config = RunFolder(folder / "run"), build(settings(folder))
    adapter = run.file("adapter")
    adapter.mkdir()
    weights = {f"base_model.model.layer.lora_{part}.weight": np.ones((4, 4), np.float32) for part in "AB"}
    save_file(weights, adapter / "adapter_model.safetensors")
    kind = {"peft_type": "LORA", "task_type": "CAUSAL_LM", "r": 4, "lora_alpha": 8, "target_modules": ["q_proj"]}
    (adapter / "adapter_config.json").write_text(json.dumps({**kind, "base_model_name_or_path": MODEL}))
    log = [{"step": n, "loss": 2.0 / n, "learning_rate": 0.001} for n in range(1, 5)]
    done = {"steps": 4, "tokens": 100, "final_loss": 0.5, "seconds": 1.0, "peak_memory_bytes": 1}
    done |= {"trainable_parameters": 32, "largest_change": 1.0, "log": log}
    (adapter / "training.json").write_text(json.dumps(done))
    rows = [row for _, row in tables.read_table(folder / "held-out.parquet")]
    questions = [Question(row["id"], row["question"], tuple(row["options"])) for row in rows]
    golds = [Gold(row["id"], row["answer"], row["options"][row["answer"]]) for row in rows]
    predictions = {
        arm: [
            Prediction(q.id, arm, option := gold.option if n % 10 < right else 0, None, q.options[option or 0])
            for n, (q, gold) in enumerate(zip(questions, golds, strict=True))
        ]
        for arm, right in (("base", 2), ("teacher", 7), ("student", 6))
    }
    measured = build_report(questions, golds, predictions, settings=config.evaluation, seed=0)
    run.write_rows("held_out", questions)
    run.write_rows("golds", golds)
    run.write_rows("held_out_passages", [Retrieval(q.id, ()) for q in questions])
    run.write_rows("predictions", [row for rows in predictions.values() for row in rows])
    labels = run.read_rows("labels", PseudoLabel)
    judged = {row.question_id: row for name in ("selected", "dropped") for row in run.read_rows(name, Verdict)}
    selection = Selection(config.selection.method, tuple(judged[row.question_id] for row in labels))
    aside = {
        "labels": summarise_labels(labels, []),
        "selection": summarise_selection(selection, labels, []),
        "training": {**training.summary(training.read_training(adapter)), "examples": len(selection.kept)},
    }
    head = {"format_version": FORMAT_VERSION, "run": "machinery", "seed": 0, "base": MODEL, "task": "multiple_choice"}
    run.write_json("report", {**head, **measured, **aside})


def peak_rss(process: int | str = "self") -> float:
    """Most megabytes a process ever held."""
    status = Path(f"/proc/{process}/status")
    if status.exists():  # `ru_maxrss` begins with what the parent held
        return next(int(line.split()[1]) for line in status.read_text().splitlines() if "VmHWM" in line) / 1000
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1_000_000 if sys.platform == "darwin" else 1000)


def start_hub(folder: Path) -> int:
    """Start the embedded Hub in a process of its own, with a model repo that holds nothing; returns its process id."""
    from safetensors.numpy import save_file

    from solo_hub.hub.opening import open_hub, start_embedded
    from solo_hub.hub.server.processes import running

    start_embedded([MODEL.partition("/")[0]])
    source = folder / "model"
    source.mkdir()
    save_file({"nothing": np.zeros(1, np.float32)}, source / "model.safetensors")
    (source / "config.json").write_text("{}")
    (source / "README.md").write_text("---\nlicense: mit\n---\nNothing.\n")
    open_hub("local", needs=[]).client().push(source, MODEL, "model", message="nothing")
    state = running(folder / "home" / "hub") or {}
    return int(state["pid"])


def measure(folder: Path, questions: int, passages: int, engine_ms: float) -> tuple[list[dict[str, Any]], float | None]:
    """All steps in their order, and the Hub's peak memory in MB."""
    from solo_hub.hub.server.processes import stop

    site = folder / "site" / "machinery_plugin-1.0.dist-info"
    site.mkdir(parents=True)
    (site / "METADATA").write_text("Metadata-Version: 2.1\nName: machinery-plugin\nVersion: 1.0\n")
    (site / "entry_points.txt").write_text(ENTRY_POINTS)
    own = Path(__file__).resolve().parent
    path = [str(site.parent), str(own), str(own.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    os.environ |= {"SOLO_HUB_HOME": str(folder / "home"), "MACHINERY_ENGINE_MS": str(engine_ms), "HF_TOKEN": ""}
    os.environ.pop("HF_ENDPOINT", None)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path), "OMP_NUM_THREADS": "1"}
    write_inputs(folder, questions, passages)
    hub = start_hub(folder)
    rows = []
    try:
        for name in STEPS:
            if name == "publish":
                make_up_training(folder)
            line = [sys.executable, "-c", f"import machinery; machinery.child({str(folder)!r}, {name!r})"]
            before = time.perf_counter()
            done = subprocess.run(line, env=environment, capture_output=True, text=True, check=False)
            if done.returncode:
                raise SystemExit(f"The step {name} failed:\n{done.stderr}")
            row = json.loads(done.stdout.splitlines()[-1])
            row["with_start_seconds"] = time.perf_counter() - before
            row["rows"] = passages if name == "index" else questions
            row["rows_per_second"] = row["rows"] / row["seconds"]
            rows.append(row)
            sys.stderr.write(f"{name}: {row['seconds']:.1f} s, {row['peak_rss_mb']:.0f} MB\n")
        return rows, peak_rss(hub) if Path(f"/proc/{hub}").exists() else None
    finally:
        stop(folder / "home" / "hub")


def child(folder: str, name: str) -> None:
    """A step's own process."""
    import machinery  # the module that the plugins are found in; this one may be `__main__`

    sys.stdout.write(json.dumps(machinery.step(Path(folder), name)) + "\n")


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="2,000 questions, 5,000 passages; too few for the goal")
    parser.add_argument("--questions", type=int, default=100_000)
    parser.add_argument("--passages", type=int, default=1_000_000)
    parser.add_argument("--engine-ms", type=float, default=15.0, help="time the engine takes for a question")
    parser.add_argument("--folder", type=Path, help="work here and leave everything there")
    parser.add_argument("--format", choices=["human", "json"], default="human")
    options = parser.parse_args()
    questions, passages = (2_000, 5_000) if options.quick else (options.questions, options.passages)
    folder = options.folder or Path(tempfile.mkdtemp(prefix="machinery-"))
    folder.mkdir(parents=True, exist_ok=True)
    try:
        table, hub = measure(folder.resolve(), questions, passages, options.engine_ms)
    finally:
        if options.folder is None:
            shutil.rmtree(folder, ignore_errors=True)
    engine = sum(row["engine_seconds"] for row in table)
    counted = sum(row["processor_seconds"] for row in table if row["step"] in COUNTED)
    everything = sum(row["processor_seconds"] for row in table)
    waited = sum(row["seconds"] for row in table if row["step"] in COUNTED) - engine
    overhead = counted / engine
    document = {
        "claim": "the machinery around the model (label, select, publish), beside the time inside the engine",
        "value": overhead,
        "unit": "of the engine's own time",
        "goal": GOAL,
        "conditions": {
            "questions": questions,
            "passages": passages,
            "options": OPTIONS,
            "engine": f"a fake that sleeps {options.engine_ms:g} ms a question, {engine:.0f} s in all",
            "machinery": f"{1000 * counted / questions:.3f} ms of the processor a question",
            "an engine beside which that is 5 %": f"{1000 * counted / questions / GOAL:.1f} ms a question or slower",
            "overhead by the wall clock, waiting for disk and Hub included": round(waited / engine, 4),
            "overhead with index and passages": round(everything / engine, 4),
            "embedder": f"a fake, {DIMENSION} dimensions",
            "peak memory of the Hub's process, MB": hub,
            "machine": f"{platform.machine()}, {platform.system()}, {os.cpu_count()} cores",
            "load": round(os.getloadavg()[0], 1),
            "python": platform.python_version(),
        },
        "table": table,
    }
    if options.format == "json":
        sys.stdout.write(json.dumps(document, indent=2) + "\n")
    else:
        heads = ("rows", "seconds", "in engine", "processor", "rows/s", "peak MB", "imports MB")
        print(" " * 10 + "".join(f"{head:>11}" for head in heads))
        for row in table:
            cells = (f"{row['rows']:,}", *(f"{row[name]:.1f}" for name in ("seconds", "engine_seconds")))
            cells += tuple(f"{row[name]:.0f}" for name in ("processor_seconds", "rows_per_second", "peak_rss_mb"))
            print(f"{row['step']:10}" + "".join(f"{cell:>11}" for cell in (*cells, f"{row['rss_imported_mb']:.0f}")))
        print(f"\n{document['claim']}: {overhead:.1%} (goal {GOAL:.0%})")
        for name, value in document["conditions"].items():
            print(f"  {name}: {value}")
    # a few thousand questions do not outweigh what opening a run and a Hub takes
    return 0 if options.quick or overhead <= GOAL else 1


if __name__ == "__main__":
    sys.exit(main())
