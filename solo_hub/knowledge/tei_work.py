"""Batches of texts that several connections to TEI servers work on together."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence

from solo_hub.core.plugins import Floats, Progress
from solo_hub.knowledge.chunking import estimate_tokens

REQUEST_BYTES = 1_000_000  # of text in a request; servers refuse bodies above 2 MB unless told otherwise


class Work:
    """Batches several threads work on.

    Args:
        texts: All texts.
        waiting: Batches of positions, each to be embedded once.
        progress: Told about texts done.
        name: Name of the prompt that servers put in front of them, or None.
    """

    def __init__(
        self, texts: Sequence[str], waiting: deque[list[int]], progress: Progress | None, name: str | None
    ) -> None:
        self.texts, self.name = texts, name
        self.waiting = waiting
        self.vectors: dict[int, Floats] = {}
        self.cut = 0
        self.losses: dict[str, str] = {}
        self.refused: BaseException | None = None
        self._progress = progress
        self._busy = 0
        self._changed = threading.Condition()

    def take(self) -> list[int] | None:
        """The next batch; waits while other threads work, because one of them may give its batch back."""
        with self._changed:
            while not self.waiting and self._busy and self.refused is None:
                self._changed.wait()
            if not self.waiting or self.refused is not None:
                return None
            self._busy += 1
            return self.waiting.popleft()

    def put(self, batch: list[int], vectors: list[Floats], cut: int) -> None:
        """Hand in a batch's vectors, and how many of its texts were cut."""
        with self._changed:
            self.cut += cut
            self.vectors.update(zip(batch, vectors, strict=True))
            self._end()
            if self._progress:
                self._progress(len(batch))

    def give_back(self, batch: list[int], url: str, reason: str) -> bool:
        """Leave a batch to others; whether the server is the first time said to be gone."""
        with self._changed:
            self.waiting.appendleft(batch)
            new = url not in self.losses
            self.losses[url] = reason
            self._end()
            return new

    def refuse(self, error: BaseException) -> None:
        """Stop all threads with an error."""
        with self._changed:
            self.refused = self.refused or error
            self._end()

    def _end(self) -> None:
        self._busy -= 1
        self._changed.notify_all()


def cut_batches(texts: Sequence[str], most: int, tokens: int, batch_tokens: int) -> list[list[int]]:
    """Positions of texts, cut to what a server takes.

    Args:
        texts: The texts.
        most: Texts in a batch.
        tokens: Tokens of a text that count.
        batch_tokens: Tokens in a batch, as estimated.
    """
    batches: list[list[int]] = []
    size = length = 0
    for position, (text, estimated) in enumerate(zip(texts, estimate_tokens(texts), strict=True)):
        own, count = len(text.encode()), min(tokens, estimated + 2)  # [CLS] and [SEP]
        full = batches and (len(batches[-1]) >= most or size + own > REQUEST_BYTES or length + count > batch_tokens)
        if full or not batches:
            batches.append([])
            size = length = 0
        batches[-1].append(position)
        size, length = size + own, length + count
    return batches
