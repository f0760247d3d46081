"""Concurrent requests to one server, with retries, back-off and one clear error.

Three rules, whatever the server:

- at most `concurrency` requests are in flight, and fewer if the server is busy: each rejection halves the limit, each
  round of responses adds one (additive increase, multiplicative decrease; Chiu and Jain 1989);
- transient failures (429, 5xx, a timeout, a dropped connection) are retried with exponential back-off, or after the
  server's Retry-After; during a Retry-After no new requests are sent;
- after `attempts` there is one error for all requests, and no new ones are sent.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from solo_hub.core.errors import ModelError

A = TypeVar("A")
B = TypeVar("B")

PASSING = frozenset({408, 424, 425, 429, 500, 502, 503, 504, 529})
"""Status codes after which the same request may succeed; 424: the model behind the server failed."""
LONGEST_PAUSE = 60.0  # seconds; a longer Retry-After is capped


class Busy(Exception):  # noqa: N818 - an error only after several attempts
    """A transient failure of the server.

    Args:
        reason: Short description.
        wait: Its Retry-After in seconds, or 0.
    """

    def __init__(self, reason: str, wait: float = 0.0) -> None:
        super().__init__(reason)
        self.reason, self.wait = reason, wait


class GoneError(ModelError):
    """A request still failed after the last attempt.

    Args:
        server: Its URL or name.
        reason: The last failure, and the number of attempts.
    """

    def __init__(self, server: str, reason: str) -> None:
        super().__init__(
            f"{server} does not answer: {reason}.",
            hint="Retry once the server is reachable; its answers so far are kept.",
        )
        self.reason = reason


class _Stopped(Exception):  # noqa: N818 - another request failed; this one was not sent
    pass


class Calls:
    """Sends requests to one server; `send` is thread-safe, `send_all` must not be called concurrently.

    Args:
        server: Its URL or name, for messages.
        concurrency: Maximum number of requests in flight.
        attempts: Attempts per request.
        pause: Seconds before the second attempt; doubled before each further one.
        sleep: Sleep function, replaceable in tests.
    """

    def __init__(
        self,
        server: str,
        *,
        concurrency: int = 8,
        attempts: int = 6,
        pause: float = 0.5,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.server, self.concurrency, self.attempts, self.pause = server, concurrency, attempts, pause
        self._sleep = sleep
        self._changed = threading.Condition()
        self._limit = float(concurrency)
        self._under_way = 0
        self._quiet_until = 0.0
        self._failed = False

    @property
    def limit(self) -> int:
        """Current maximum number of requests in flight."""
        return max(1, int(self._limit))

    def send_all(self, send: Callable[[B], A], bodies: Sequence[B]) -> list[A]:
        """Send every body and return the responses in the given order.

        Args:
            send: Sends one body; raises `Busy` for transient failures and other exceptions for permanent ones.
            bodies: The request bodies.

        Raises:
            GoneError: A request still failed after the last attempt.
        """
        if not bodies:
            return []
        self._failed = False
        if len(bodies) == 1:
            return [self.send(send, bodies[0])]
        results: list[Any] = [None] * len(bodies)
        errors: list[BaseException] = []

        def work(place: int) -> None:
            try:
                results[place] = self.send(send, bodies[place])
            except _Stopped:
                return
            except BaseException as error:  # noqa: BLE001 - re-raised below, in the caller's thread
                with self._changed:
                    errors.append(error)
                    self._failed = True
                    self._changed.notify_all()

        with ThreadPoolExecutor(min(self.concurrency, len(bodies)), thread_name_prefix="calls") as pool:
            for place in range(len(bodies)):
                pool.submit(work, place)
        if errors:
            raise errors[0]
        return results

    def send(self, send: Callable[[B], A], body: B) -> A:
        """Send one body, with retries on transient failures.

        Raises:
            GoneError: It still failed after the last attempt.
        """
        reason = ""
        for attempt in range(self.attempts):
            self._enter()
            try:
                answer = send(body)
            except Busy as busy:
                reason = busy.reason
                self._leave(busy=True)
                if attempt + 1 < self.attempts:
                    self._hold_back(attempt, busy.wait)
                continue
            except BaseException:
                self._leave(busy=False)
                raise
            self._leave(busy=False)
            return answer
        raise GoneError(self.server, f"{reason} ({self.attempts} attempts)")

    def _enter(self) -> None:
        with self._changed:
            while True:
                if self._failed:
                    raise _Stopped
                quiet = self._quiet_until - time.monotonic()
                if self._under_way < self.limit and quiet <= 0:
                    self._under_way += 1
                    return
                self._changed.wait(timeout=max(0.001, quiet) if quiet > 0 else None)

    def _leave(self, *, busy: bool) -> None:
        with self._changed:
            self._under_way -= 1
            if busy:
                self._limit = max(1.0, self._limit / 2)
            else:
                self._limit = min(float(self.concurrency), self._limit + 1 / self.limit)
            self._changed.notify_all()

    def _hold_back(self, attempt: int, retry_after_seconds: float) -> None:
        """Wait before the next attempt; the server's Retry-After applies to all requests."""
        # jitter, so that several clients of a busy server do not retry simultaneously
        backoff = self.pause * 2**attempt * random.uniform(0.5, 1.0)  # noqa: S311 - no secret
        wait = min(LONGEST_PAUSE, max(retry_after_seconds, backoff))
        if retry_after_seconds:
            with self._changed:
                self._quiet_until = max(self._quiet_until, time.monotonic() + min(retry_after_seconds, LONGEST_PAUSE))
        self._sleep(wait)


def retry_after(value: str | None) -> float:
    """Seconds of a `Retry-After` header; 0 if missing or a date, which would depend on the server's clock."""
    try:
        return max(0.0, float(value or 0))
    except ValueError:
        return 0.0
