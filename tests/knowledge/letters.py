"""An embedder that can be checked by hand, and a corpus of eight facts."""

from __future__ import annotations

import numpy as np

from solo_hub.core.records import Document


class LetterEmbedder:
    """A text's vector counts its letters a-z (length 1 afterwards); remembers what it was asked."""

    def __init__(self, identity="letters@1"):
        self.identity = identity
        self.asked = []

    def embed(self, texts, progress=None):
        self.asked += texts
        counts = np.array(
            [[1e-3 + text.lower().count(chr(97 + i)) for i in range(26)] for text in texts], dtype=np.float32
        )
        counts = counts.reshape(len(texts), 26)
        return counts / np.linalg.norm(counts, axis=1, keepdims=True)


FACTS = (
    "Dehydrating food is used for preserving food.",
    "Salt draws water out: dehydration by salting.",
    "Beads of water are formed by condensing water vapor.",
    "Clouds are made of water vapor.",
    "A magnet attracts iron.",
    "Iron rusts when it is wet.",
    "Plants need sunlight to grow.",
    "Bees carry pollen from flower to flower.",
)


def corpus(texts=FACTS):
    return [Document(f"d{number}", text, "facts") for number, text in enumerate(texts)]
