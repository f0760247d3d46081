"""Embeds texts with one or several text-embeddings-inference servers (TEI).

A server's limits are read from its `/info`; requests are split to fit. A server that is busy, slow or failing is
retried with back-off and a lower request rate; the work of one that stays unavailable is done by the others.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from solo_hub.core.errors import DependencyError, ModelError
from solo_hub.core.plugins import Floats, Progress
from solo_hub.core.redaction import register_secret
from solo_hub.knowledge.embedder_prompts import EmbedderPrompts
from solo_hub.knowledge.embedding import unit_rows
from solo_hub.knowledge.tei_work import Work, cut_batches
from solo_hub.models.calls import Calls, GoneError
from solo_hub.models.wire import OK, TOO_LARGE, Wire, describe_error

logger = logging.getLogger(__name__)

TOO_LONG = frozenset({TOO_LARGE, 422})
"""Status codes for a text with too many tokens; 413 can also mean a large request."""
_PROBE = "What is rain made of?"
TOLERANCE = 1e-2  # deviation of a vector's length from 1; 16-bit rounding is a tenth of that


@dataclass(frozen=True, slots=True)
class Limits:
    """A server's model and limits.

    Attributes:
        model: Model id.
        commit: Commit of the model; empty if the server does not return it.
        batch: Maximum number of texts per request.
        tokens: Maximum number of tokens per text; the server truncates longer texts on request.
        batch_tokens: Maximum number of tokens per batch.
    """

    model: str
    commit: str
    batch: int
    tokens: int
    batch_tokens: int


class TeiEmbedder:
    """A model on TEI servers, which are contacted on first use.

    Args:
        urls: URL of a server, or of several replicas that share the work.
        identity: Model and commit of the vectors; as reported by the servers when None.
        token: Bearer token, if required.
        dimension: Required vector dimension (the index's), or None for any.
        concurrency: Maximum concurrent requests per server.
        attempts: Attempts per request before its server is given up.
        timeout: Time limit for a complete response, in seconds.
        pause: Seconds before the second attempt; doubled for each further one.
    """

    served: ClassVar[bool] = True
    """Constructed from URLs, not from a model's folder."""

    def __init__(
        self,
        urls: str | Sequence[str],
        identity: str | None = None,
        *,
        token: str | None = None,
        dimension: int | None = None,
        concurrency: int = 4,
        attempts: int = 6,
        timeout: float = 120.0,
        pause: float = 0.5,
    ) -> None:
        self.urls = [urls] if isinstance(urls, str) else list(urls)
        if not self.urls:
            raise ModelError("No TEI server is configured.", hint="Set the URL of one, e.g. http://127.0.0.1:8080.")
        self.dimension = dimension
        self.concurrency = concurrency
        self._named = identity
        self._wires = [_wire(url, token, timeout, self) for url in self.urls]
        self._calls = [
            Calls(f"The TEI server {url}", concurrency=concurrency, attempts=attempts, pause=pause) for url in self.urls
        ]
        self._known: dict[str, bool] = {}  # name of a prompt -> whether all servers support it
        self.read_prompts: Callable[[], EmbedderPrompts] = EmbedderPrompts  # none by default

    @property
    def identity(self) -> str:
        """Model and commit: vectors with the same identity are comparable."""
        if self._named is not None:
            return self.prompts.identity(self._named)
        limits = self.limits[0]
        return f"{limits.model}@{limits.commit}" if limits.commit else limits.model

    @cached_property
    def prompts(self) -> EmbedderPrompts:
        """The model's prompts."""
        return self.read_prompts()

    @cached_property
    def limits(self) -> list[Limits]:
        """Model and limits of each server; requested once.

        Raises:
            ModelError: A server is unavailable, or they serve different models.
        """
        reported = [self._connect(number) for number in range(len(self.urls))]
        first = reported[0]
        for url, limits in zip(self.urls, reported, strict=True):
            if (limits.model, limits.commit) != (first.model, first.commit):
                raise ModelError(
                    f"The server {url} serves '{limits.model}', {self.urls[0]} '{first.model}'.",
                    hint="Use replicas of one model: vectors of different models are not comparable.",
                )
        _, _, commit = (self._named or "").partition("@")
        if commit and first.commit and commit != first.commit:
            raise ModelError(
                f"The server {self.urls[0]} serves '{first.model}' at {first.commit}, not '{self._named}'.",
                hint="Start it with --revision, or set the revision it serves.",
            )
        return reported

    def embed(self, texts: Sequence[str], progress: Progress | None = None) -> Floats:
        """Embed documents; returns `(texts, dimension)`, rows of length 1.

        Raises:
            ModelError: No server is available, a text is rejected, or the vectors have another dimension than the
                index.
        """
        return self._embed(texts, "document", progress)

    def embed_queries(self, texts: Sequence[str], progress: Progress | None = None) -> Floats:
        """Embed queries, with the model's query prompt; otherwise like `embed`."""
        return self._embed(texts, "query", progress)

    def _embed(self, texts: Sequence[str], kind: str, progress: Progress | None) -> Floats:
        if not texts:
            return np.zeros((0, self.dimension or 0), dtype=np.float32)
        prompt, name = self.prompts.prompt_for(kind)
        if prompt and not (name and self._knows(name)):
            texts, name = [prompt + text for text in texts], None
        smallest = min(limits.batch for limits in self.limits)
        tokens = min(limits.tokens for limits in self.limits)
        batches = cut_batches(texts, smallest, tokens, min(limits.batch_tokens for limits in self.limits))
        work = Work(texts, deque(batches), progress, name)
        threads = [
            threading.Thread(target=self._serve, args=(number, work), name=f"tei-{number}", daemon=True)
            for number in range(len(self.urls))
            for _ in range(min(self.concurrency, len(batches)))
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if work.refused is not None:
            raise work.refused
        if work.waiting:
            last = ": ".join(list(work.losses.items())[-1]) if work.losses else "no response"
            raise ModelError(
                f"No TEI server is available: {last}.",
                hint="Restart it and run the same command again; finished work is kept.",
            )
        if work.cut:
            logger.warning(
                "%d of %d texts are longer than %d tokens and are truncated.",
                work.cut,
                len(texts),
                tokens,
            )
        return unit_rows(np.stack([work.vectors[i] for i in range(len(texts))]), self.identity)

    def close(self) -> None:
        """Close the connections."""
        for wire in self._wires:
            wire.client.close()

    def _serve(self, number: int, work: Work) -> None:
        """Process batches over one connection until none are left, or the server is unavailable."""
        while (batch := work.take()) is not None:
            try:
                vectors, cut = self._embed_batch(number, [work.texts[i] for i in batch], name=work.name)
            except GoneError as gone:
                if work.give_back(batch, self.urls[number], gone.reason):
                    logger.warning("Gave up a connection to the TEI server %s: %s.", self.urls[number], gone.reason)
                return
            except BaseException as error:  # noqa: BLE001 - errors are re-raised in the caller's thread
                work.refuse(error)
                return
            work.put(batch, vectors, cut)

    def _knows(self, name: str) -> bool:
        """Whether every server supports the named prompt: some reject it, older ones ignore it."""
        if name not in self._known:
            self._known[name] = all(self._applies(number, name) for number in range(len(self.urls)))
        return self._known[name]

    def _applies(self, number: int, name: str) -> bool:
        try:
            bare, named = (
                self._ask(number, "POST", "/embed", {"inputs": [_PROBE], "normalize": True, **how})
                for how in ({}, {"prompt_name": name})
            )
        except GoneError:  # the remaining servers do the work
            return False
        if not bare[0] == named[0] == OK:
            return False
        ignored = np.allclose(self._checked(number, bare[1], 1), self._checked(number, named[1], 1), atol=TOLERANCE)
        return not ignored

    def _embed_batch(
        self, number: int, texts: list[str], *, truncate: bool = False, name: str | None = None
    ) -> tuple[list[Floats], int]:
        """The vectors of texts, and the number of truncated texts.

        Texts are truncated, and counted, only after a server has rejected them for their length.
        """
        from text_embeddings_inference_client.models import EmbedRequest

        request = EmbedRequest(inputs=list(texts), truncate=truncate)
        request.additional_properties["normalize"] = True  # the default of servers, but we rely on it
        if name is not None:
            request.additional_properties["prompt_name"] = name
        status, answer = self._ask(number, "POST", "/embed", request.to_dict())
        if status in TOO_LONG and not truncate and (long := self._count_long(number, texts)):
            vectors, _ = self._embed_batch(number, texts, truncate=True, name=name)
            return vectors, long
        if status == TOO_LARGE and len(texts) > 1:
            half = len(texts) // 2
            first, cut_first = self._embed_batch(number, texts[:half], truncate=truncate, name=name)
            second, cut_second = self._embed_batch(number, texts[half:], truncate=truncate, name=name)
            return first + second, cut_first + cut_second
        if status != OK:
            start = texts[0][:60]
            raise ModelError(
                f"The TEI server {self.urls[number]} rejected texts (the first: '{start}'): "
                f"{describe_error(status, answer)}.",
                hint="Shorten the text; chunk long documents." if status == TOO_LARGE else "See the server's log.",
            )
        return self._checked(number, answer, len(texts)), 0

    def _count_long(self, number: int, texts: list[str]) -> int:
        """How many of refused texts have more tokens than the server takes; by its own word where it counts tokens."""
        most = self.limits[number].tokens
        suspects = [text for text in texts if len(text) > most - 2]  # a token has at least one character
        if not suspects:
            return 0
        status, answer = self._ask(number, "POST", "/tokenize", {"inputs": suspects, "add_special_tokens": True})
        if status == OK and isinstance(answer, list) and all(isinstance(tokens, list) for tokens in answer):
            return sum(len(tokens) > most for tokens in answer)
        return int(len(texts) == 1)  # a single rejected text of some length: try truncating it

    def _checked(self, number: int, answer: Any, count: int) -> list[Floats]:
        try:
            vectors = np.asarray(answer, dtype=np.float32)
        except (TypeError, ValueError):
            vectors = np.zeros(0, dtype=np.float32)
        if vectors.ndim != 2 or len(vectors) != count:  # noqa: PLR2004 - (texts, dimension)
            raise ModelError(
                f"The TEI server {self.urls[number]} did not return {count} vectors.",
                hint="Check that it is an embedding server.",
            )
        if self.dimension is None:
            self.dimension = int(vectors.shape[1])
        if vectors.shape[1] != self.dimension:
            raise ModelError(
                f"The TEI server {self.urls[number]} returns vectors of dimension {vectors.shape[1]}, not "
                f"{self.dimension}.",
                hint="Serve the model the index was built with, or rebuild the index.",
            )
        lengths = np.linalg.norm(vectors, axis=1)
        if not (np.abs(lengths - 1) <= TOLERANCE).all():  # nor is NaN
            wrong = lengths[~(np.abs(lengths - 1) <= TOLERANCE)][0]
            raise ModelError(
                f"The TEI server {self.urls[number]} returned a vector of length {wrong:.4g} instead of 1.",
                hint="Serve the model with text-embeddings-inference, which normalises; non-finite numbers may come "
                "from 16-bit precision: try --dtype float32.",
            )
        return list(vectors)

    def _connect(self, number: int) -> Limits:
        url = self.urls[number]
        try:
            status, answer = self._ask(number, "GET", "/health", reads=False)
            if status == OK:
                status, answer = self._ask(number, "GET", "/info")
        except GoneError as gone:
            raise ModelError(
                f"The TEI server {url} cannot be used: {gone.reason}.", hint="Check that it is running, and its URL."
            ) from None
        if status != OK:
            raise ModelError(
                f"The TEI server {url} cannot be used: {describe_error(status, answer)}.", hint=_REMEDIES.get(status)
            )
        try:
            return Limits(
                model=str(answer["model_id"]),
                commit=str(answer.get("model_sha") or ""),
                batch=max(1, int(answer.get("max_client_batch_size") or 32)),
                tokens=max(1, int(answer.get("max_input_length") or 512)),
                batch_tokens=max(1, int(answer.get("max_batch_tokens") or 16384)),
            )
        except (KeyError, TypeError, ValueError, AttributeError):
            raise ModelError(f"{url}/info is not the response of a TEI server.", hint="Check the URL.") from None

    def _ask(self, number: int, method: str, path: str, body: Any = None, *, reads: bool = True) -> tuple[int, Any]:
        """Send a request, with retries on transient failures.

        Raises:
            GoneError: It still failed after the last attempt.
        """
        wire = self._wires[number]
        return self._calls[number].send(lambda body: wire.send(method, path, body, reads=reads), body)


_REMEDIES = {401: "Set its token.", 403: "Use a token with access.", 404: "Check the URL."}


def _wire(url: str, token: str | None, timeout: float, owner: object) -> Wire:
    try:
        import httpx
        from text_embeddings_inference_client import AuthenticatedClient, Client
    except ImportError as error:
        raise DependencyError("text-embeddings-inference-client", extra="tei", purpose="A TEI server") from error
    limits = httpx.Timeout(timeout, connect=min(timeout, 10.0))
    base = url.rstrip("/")
    client = (
        AuthenticatedClient(base, token=register_secret(token), timeout=limits)
        if token
        else Client(base, timeout=limits)
    )
    return Wire(client.get_httpx_client(), httpx, timeout, owner)
