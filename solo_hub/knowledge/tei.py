"""Texts to unit vectors by one or several text-embeddings-inference servers (TEI).

What a server can take is read from its `/info`; requests are split to fit. A server that is busy, slow, failing or gone
for a moment is asked again after a pause; one that stays away hands its work to the others.
"""

from __future__ import annotations

import logging
import random
import threading
import time
import weakref
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from solo_hub.errors import DependencyError, ModelError
from solo_hub.knowledge.embedding import unit_rows
from solo_hub.plugins import Floats, Progress
from solo_hub.redaction import LONGEST, remember, scrub

logger = logging.getLogger(__name__)

REQUEST_BYTES = 1_000_000  # of text in a request; servers refuse bodies above 2 MB unless told otherwise
LONGEST_PAUSE = 30.0  # seconds between two attempts
BUSY_OR_FAILING = frozenset((408, 424, 425, 429, 500, 502, 503, 504))  # 424: the model behind the server failed
TOO_LARGE = 413
OK = 200


@dataclass(frozen=True, slots=True)
class Limits:
    """What a server says of itself.

    Attributes:
        model: Model id.
        commit: Commit of the model, or an empty text where the server does not say.
        batch: Most texts in a request.
        tokens: Most tokens of a text; what is longer is cut by the server.
    """

    model: str
    commit: str
    batch: int
    tokens: int


class _ServerGone(Exception):  # noqa: N818 - an event inside this module, never seen outside
    """A server did not answer usefully after all attempts."""


class TeiEmbedder:
    """A model behind TEI servers; nothing is sent before it is needed.

    Args:
        urls: Address of a server, or of several replicas that share the work.
        identity: Model and commit the vectors are to count as; as the servers say when None.
        token: Bearer token, where the servers ask for one.
        dimension: Length a vector must have (the index's), or None for any.
        attempts: How often a request is tried before its server is given up.
        timeout: Seconds to wait for an answer.
        pause: Seconds before the second attempt; doubled for each further one.
    """

    served: ClassVar[bool] = True
    """It is made from addresses, not from a model's folder."""

    def __init__(
        self,
        urls: str | Sequence[str],
        identity: str | None = None,
        *,
        token: str | None = None,
        dimension: int | None = None,
        attempts: int = 6,
        timeout: float = 120.0,
        pause: float = 0.5,
    ) -> None:
        self.urls = [urls] if isinstance(urls, str) else list(urls)
        if not self.urls:
            raise ModelError("No TEI server is named.", hint="Give the address of one, e.g. http://127.0.0.1:8080.")
        self.dimension = dimension
        self.attempts = attempts
        self.pause = pause
        self._wanted = identity
        self._clients = [_client(url, token, timeout) for url in self.urls]
        for client in self._clients:
            weakref.finalize(self, client.close)  # its connections, when the run that asked is gone
        self._limits: list[Limits] | None = None

    @property
    def identity(self) -> str:
        """Model and commit: vectors of equal identity may be compared."""
        if self._wanted is not None:
            return self._wanted
        limits = self.limits[0]
        return f"{limits.model}@{limits.commit}" if limits.commit else limits.model

    @property
    def limits(self) -> list[Limits]:
        """What each server says of itself; asked once.

        Raises:
            ModelError: A server is not there or not healthy, or they serve different models.
        """
        if self._limits is None:
            found = [self._connect(number) for number in range(len(self._clients))]
            for url, limits in zip(self.urls, found, strict=True):
                if (limits.model, limits.commit) != (found[0].model, found[0].commit):
                    raise ModelError(
                        f"The server {url} serves '{limits.model}', {self.urls[0]} '{found[0].model}'.",
                        hint="Give replicas of one model: vectors of different models cannot be compared.",
                    )
            commit = (self._wanted or "").rpartition("@")[2] if "@" in (self._wanted or "") else ""
            if commit and found[0].commit and commit != found[0].commit:
                raise ModelError(
                    f"The server {self.urls[0]} serves '{found[0].model}' at {found[0].commit}, not '{self._wanted}'.",
                    hint="Start it with --revision, or name the revision it serves.",
                )
            self._limits = found
        return self._limits

    def embed(self, texts: Sequence[str], progress: Progress | None = None) -> Floats:
        """Embed texts; returns `(texts, dimension)`, rows of length 1.

        Raises:
            ModelError: No server is left, a text is refused, or vectors have another length than the index's.
        """
        if not texts:
            return np.zeros((0, self.dimension or 0), dtype=np.float32)
        smallest = min(limits.batch for limits in self.limits)
        work = _Work(texts, deque(_batches(texts, smallest)), progress)
        threads = [
            threading.Thread(target=self._serve, args=(number, work), name=f"tei-{number}", daemon=True)
            for number in range(len(self._clients))
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if work.refused is not None:
            raise work.refused
        if work.waiting:
            last = work.losses[-1] if work.losses else "no answer"
            raise ModelError(
                f"No TEI server is left to embed with: {last}.",
                hint="Start it again and repeat the command: nothing is lost.",
            )
        return unit_rows(np.stack([work.vectors[i] for i in range(len(texts))]), self.identity)

    def close(self) -> None:
        """Close the connections."""
        for client in self._clients:
            client.close()

    def _serve(self, number: int, work: _Work) -> None:
        """Work on batches with one server until there are none, or the server is gone."""
        while (batch := work.take()) is not None:
            try:
                vectors = self._embed_batch(number, [work.texts[i] for i in batch])
            except _ServerGone as gone:
                work.give_back(batch, f"{self.urls[number]}: {gone}")
                logger.warning("The TEI server %s is given up: %s.", self.urls[number], gone)
                return
            except ModelError as error:
                work.refuse(error)
                return
            except BaseException as error:  # noqa: BLE001 - a thread's error must reach the caller, who is waiting for it
                work.refuse(error)
                return
            work.put(batch, vectors)

    def _embed_batch(self, number: int, texts: list[str]) -> list[Floats]:
        from text_embeddings_inference_client.models import EmbedRequest

        body = EmbedRequest(inputs=list(texts), truncate=True).to_dict()
        status, answer = self._ask(number, "POST", "/embed", body)
        if status == TOO_LARGE and len(texts) > 1:
            half = len(texts) // 2
            return self._embed_batch(number, texts[:half]) + self._embed_batch(number, texts[half:])
        if status != OK:
            start = texts[0][:60]
            raise ModelError(
                f"The TEI server {self.urls[number]} refused texts (the first: '{start}'): {_said(status, answer)}.",
                hint="Shorten the text; chunk long documents." if status == TOO_LARGE else "See the server's log.",
            )
        return self._checked(number, answer, len(texts))

    def _checked(self, number: int, answer: Any, count: int) -> list[Floats]:
        try:
            vectors = np.asarray(answer, dtype=np.float32)
        except (TypeError, ValueError):
            vectors = np.zeros(0, dtype=np.float32)
        if vectors.ndim != 2 or len(vectors) != count:  # noqa: PLR2004 - (texts, dimension)
            raise ModelError(
                f"The TEI server {self.urls[number]} did not answer with {count} vectors.",
                hint="Is it an embedding server?",
            )
        if self.dimension is None:
            self.dimension = int(vectors.shape[1])
        if vectors.shape[1] != self.dimension:
            raise ModelError(
                f"The TEI server {self.urls[number]} gives {vectors.shape[1]} numbers a text, not {self.dimension}.",
                hint="Serve the model the index was made with, or build the index again.",
            )
        return list(vectors)

    def _connect(self, number: int) -> Limits:
        url = self.urls[number]
        try:
            status, answer = self._ask(number, "GET", "/health", None)
            if status == OK:
                status, answer = self._ask(number, "GET", "/info", None)
        except _ServerGone as gone:
            raise ModelError(
                f"The TEI server {url} cannot be used: {gone}.", hint="Is it running, and is the address right?"
            ) from None
        if status != OK:
            raise ModelError(
                f"The TEI server {url} cannot be used: {_said(status, answer)}.", hint=_REMEDIES.get(status)
            )
        try:
            return Limits(
                model=str(answer["model_id"]),
                commit=str(answer.get("model_sha") or ""),
                batch=max(1, int(answer.get("max_client_batch_size") or 32)),
                tokens=int(answer.get("max_input_length") or 512),
            )
        except (KeyError, TypeError, ValueError, AttributeError):
            raise ModelError(
                f"{url}/info does not answer as a TEI server does.", hint="Is the address right?"
            ) from None

    def _ask(self, number: int, method: str, path: str, body: Any) -> tuple[int, Any]:
        """Send a request until it is answered with something that is not a passing trouble.

        Raises:
            _ServerGone: It never was.
        """
        import httpx

        trouble = "no answer"
        for attempt in range(self.attempts):
            wait = 0.0
            try:
                response = self._clients[number].request(method, path, json=body)
                if response.status_code not in BUSY_OR_FAILING:
                    return response.status_code, _json(response)
                trouble = _said(response.status_code, _json(response))
                wait = _retry_after(response.headers.get("retry-after"))
            except httpx.TransportError as error:  # refused, dropped, timed out
                trouble = str(error) or type(error).__name__
            if attempt + 1 < self.attempts:
                # Jitter, so that several clients of a busy server do not come back at the same moment.
                backoff = self.pause * 2**attempt * random.uniform(0.5, 1.0)  # noqa: S311 - no secret
                time.sleep(min(LONGEST_PAUSE, max(wait, backoff)))
        raise _ServerGone(f"{trouble} ({self.attempts} attempts)")


_REMEDIES = {401: "Give its token.", 403: "Give a token that is allowed to use it.", 404: "Is the address right?"}


class _Work:
    """Batches several threads work on.

    Args:
        texts: All texts.
        waiting: Batches of positions, each to be embedded once.
        progress: Told about texts done.
    """

    def __init__(self, texts: Sequence[str], waiting: deque[list[int]], progress: Progress | None) -> None:
        self.texts = texts
        self.waiting = waiting
        self.vectors: dict[int, Floats] = {}
        self.losses: list[str] = []
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

    def put(self, batch: list[int], vectors: list[Floats]) -> None:
        """Hand in a batch's vectors."""
        with self._changed:
            self.vectors.update(zip(batch, vectors, strict=True))
            self._end()
            if self._progress:
                self._progress(len(batch))

    def give_back(self, batch: list[int], reason: str) -> None:
        """Leave a batch to others."""
        with self._changed:
            self.waiting.appendleft(batch)
            self.losses.append(reason)
            self._end()

    def refuse(self, error: BaseException) -> None:
        """Stop all threads with an error."""
        with self._changed:
            self.refused = self.refused or error
            self._end()

    def _end(self) -> None:
        self._busy -= 1
        self._changed.notify_all()


def _batches(texts: Sequence[str], most: int) -> list[list[int]]:
    batches: list[list[int]] = []
    size = 0
    for position, text in enumerate(texts):
        length = len(text.encode())
        if not batches or len(batches[-1]) >= most or size + length > REQUEST_BYTES:
            batches.append([])
            size = 0
        batches[-1].append(position)
        size += length
    return batches


def _client(url: str, token: str | None, timeout: float) -> Any:
    try:
        import httpx
        from text_embeddings_inference_client import AuthenticatedClient, Client
    except ImportError as error:
        raise DependencyError("text-embeddings-inference-client", extra="tei", purpose="A TEI server") from error
    limits = httpx.Timeout(timeout, connect=min(timeout, 10.0))
    base = url.rstrip("/")
    client = AuthenticatedClient(base, token=remember(token), timeout=limits) if token else Client(base, timeout=limits)
    return client.get_httpx_client()


def _json(response: Any) -> Any:
    try:
        return response.json()
    except ValueError:  # a proxy's page
        return None


def _said(status: int, answer: Any) -> str:
    message = answer.get("error") if isinstance(answer, dict) else None
    return f"{status} {scrub(str(message))[:LONGEST]}" if message else f"status {status}"


def _retry_after(value: str | None) -> float:
    try:
        return max(0.0, float(value or 0))
    except ValueError:  # a date
        return 0.0
