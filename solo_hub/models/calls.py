"""Many requests to one server at once: patient with a busy one, and clear about one that is gone.

Three rules, whatever the server:

- no more than `concurrency` requests are under way, and fewer when the server says it is busy: each refusal halves the
  number, each round of answers adds one (additive increase, multiplicative decrease; Chiu and Jain 1989);
- a refusal that will pass (429, 5xx, a timeout, a dropped connection) is tried again after a pause that doubles, or
  after what the server asks for; while one request waits so, no new one is sent;
- after `attempts` there is one error for all of them, and nothing new is sent.
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
LONGEST_PAUSE = 60.0  # seconds; a server that asks for more is not waited for at once


class Busy(Exception):  # noqa: N818 - not an error until it happens too often
    """The server could not answer now.

    Args:
        said: What it said, in a few words.
        wait: Seconds it asked to be left alone, 0 when it did not say.
    """

    def __init__(self, said: str, wait: float = 0.0) -> None:
        super().__init__(said)
        self.said, self.wait = said, wait


class GoneError(ModelError):
    """A server did not answer usefully after the last attempt.

    Args:
        server: Its address or name.
        said: What it said last, and how often it was asked.
    """

    def __init__(self, server: str, said: str) -> None:
        super().__init__(
            f"{server} does not answer: {said}.",
            hint="Repeat the command when it is well again: what it answered so far is kept.",
        )
        self.said = said


class _Stopped(Exception):  # noqa: N818 - another request failed; this one was not sent
    pass


class Calls:
    """Sends requests for one server; `send` may be called by several threads, `send_all` by one at a time.

    Args:
        server: Its address or name, for messages.
        concurrency: Most requests under way at once.
        attempts: How often a request is sent before it counts as failed.
        pause: Seconds before the second attempt; doubled before each further one.
        sleep: How to wait; tests hand in their own.
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
        """How many requests may be under way now."""
        return max(1, int(self._limit))

    def send_all(self, send: Callable[[B], A], bodies: Sequence[B]) -> list[A]:
        """Send every body and return the answers in the given order.

        Args:
            send: Sends one; raises `Busy` for what will pass and anything else for what will not.
            bodies: What to send.

        Raises:
            GoneError: A request was still refused after the last attempt.
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
            except BaseException as error:  # noqa: BLE001 - raised again below, by the caller's own thread
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
        """Send one body, again and again while the server is busy.

        Raises:
            GoneError: It was refused after the last attempt.
        """
        said = ""
        for attempt in range(self.attempts):
            self._enter()
            try:
                answer = send(body)
            except Busy as busy:
                said = busy.said
                self._leave(busy=True)
                if attempt + 1 < self.attempts:
                    self._hold_back(attempt, busy.wait)
                continue
            except BaseException:
                self._leave(busy=False)
                raise
            self._leave(busy=False)
            return answer
        raise GoneError(self.server, f"{said} ({self.attempts} attempts)")

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

    def _hold_back(self, attempt: int, asked: float) -> None:
        """Wait before the next attempt; what the server asked for holds for all requests."""
        # jitter, so that several clients of a busy server do not come back at the same moment
        own = self.pause * 2**attempt * random.uniform(0.5, 1.0)  # noqa: S311 - no secret
        wait = min(LONGEST_PAUSE, max(asked, own))
        if asked:
            with self._changed:
                self._quiet_until = max(self._quiet_until, time.monotonic() + min(asked, LONGEST_PAUSE))
        self._sleep(wait)


def retry_after(value: str | None) -> float:
    """Seconds of a `Retry-After` header; 0 where there is none, and for a date, which a server's clock would decide."""
    try:
        return max(0.0, float(value or 0))
    except ValueError:
        return 0.0
