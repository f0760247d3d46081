"""Lbl2TransformerVec: no training at all; a text gets the label whose words lie nearest to it.

    l_y  = unit(mean of the embeddings of y's words)
    y'_i = argmax_y cos(x_i, l_y),    p(y|x_i) = softmax_y(cos(x_i, l_y) / temperature)

Schopf et al. 2022, "Evaluating unsupervised text classification: zero-shot and similarity-based approaches", arXiv
2211.16285, without the refinement of label vectors by their nearest texts (Lbl2Vec, arXiv 2210.06023).

As an engine it is a teacher without a language model: the classes of a text are its options, and their names the words.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from solo_hub.core.errors import ModelError
from solo_hub.core.plugins import Generation, Prompt
from solo_hub.knowledge.embedding import SentenceTransformerEmbedder

Array = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
TEMPERATURE = 0.05
LONG = 1_000_000  # tokens: an embedder cuts a longer text off, so every text fits


def unit_rows(vectors: Array) -> Array:
    """Scale rows to length 1; a row of zeros stays."""
    values = np.asarray(vectors, dtype=np.float64)
    lengths = np.linalg.norm(values, axis=-1, keepdims=True)
    return np.asarray(values / np.where(lengths > 0, lengths, 1.0), dtype=np.float64)


def label_vectors(words: Sequence[Array]) -> Array:
    """One unit vector a label, `(C, D)`: the mean of its words' embeddings `(words, D)`."""
    return unit_rows(np.stack([unit_rows(vectors).mean(axis=0) for vectors in words]))


def classify(texts: Array, labels: Array, temperature: float = TEMPERATURE) -> tuple[Integers, Array]:
    """Give each text its nearest label.

    Args:
        texts: `(N, D)` text embeddings.
        labels: `(C, D)` label vectors.
        temperature: Cosines divided by it go through a softmax; it does not change the labels.

    Returns:
        Labels `(N,)` and probabilities `(N, C)`.
    """
    scores = unit_rows(texts) @ unit_rows(labels).T / temperature
    scores = np.exp(scores - scores.max(axis=1, keepdims=True))
    return scores.argmax(axis=1).astype(np.int64), scores / scores.sum(axis=1, keepdims=True)


class NearestLabelEngine:
    """Implements `plugins.Engine` for a teacher (`teacher.base`), not for a base: there is nothing to train.

    Args:
        path: Local snapshot of a sentence-transformers model.
        identity: Repo and commit.
        device: `auto`, `cpu`, `cuda`, `mps`, ...
        dtype: Only `auto` and `float32`: embeddings are float32.
        trust_remote_code: Not used; no code of the repo is run.
    """

    reads_text = True  # the bare text, not a prompt
    precision = "float32"

    def __init__(
        self,
        path: Path,
        identity: str,
        *,
        device: str = "auto",
        dtype: str = "auto",  # noqa: ARG002 - the protocol
        trust_remote_code: bool = False,  # noqa: ARG002 - the protocol
    ) -> None:
        self.embedder = SentenceTransformerEmbedder(path, identity, device)
        self.name, self.device = identity, device
        self.context_length = LONG
        self._labels: dict[str, Array] = {}
        self._asked: tuple[str, ...] = ()

    @property
    def identity(self) -> str:
        """Model and commit, engine."""
        return f"{self.name} lbl2transformervec"

    def chat(self, text: str) -> Prompt:  # noqa: ARG002 - the protocol
        """Not supported: an embedder has no chat format.

        Raises:
            ModelError: Always.
        """
        raise ModelError(f"{self.name} embeds texts and has no chat format.", hint="Set teacher.prompt=plain.")

    def cast(self, precision: str) -> None:
        """Embeddings are float32 whatever the precision of the evaluation."""

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text, without special tokens."""
        return self.embedder.count_tokens(texts)

    def score(self, prompts: Sequence[Prompt], continuations: Sequence[Sequence[str]]) -> list[list[float] | None]:
        """Log-probability of each label's name."""
        names = list(dict.fromkeys(name for row in continuations for name in row if name not in self._labels))
        vectors = [np.asarray(self.embedder.embed(name.split()), dtype=np.float64) for name in names]
        self._labels |= dict(zip(names, label_vectors(vectors), strict=True)) if names else {}
        texts = np.asarray(self.embedder.embed([prompt.text for prompt in prompts]), dtype=np.float64)
        self._asked = tuple(continuations[-1]) if continuations else ()
        rows = []
        for text, row in zip(texts, continuations, strict=True):
            _, probabilities = classify(text[None], np.stack([self._labels[name] for name in row]))
            rows.append([float(value) for value in np.log(probabilities[0])])
        return list(rows)

    def generate(self, prompts: Sequence[Prompt], max_new_tokens: int) -> list[Generation]:  # noqa: ARG002 - a name
        """The nearest of the labels that were scored last; nothing before."""
        names = self._asked
        if not names:
            return [Generation("", 0, None, finished=True)] * len(prompts)
        scored = self.score(prompts, [names] * len(prompts))
        best = [int(np.argmax(row or [0.0])) for row in scored]
        return [Generation(names[place].strip(), 1, None, finished=True) for place in best]
