"""One request with a JSON answer: by when it must be over, what will pass, and what a server says when it refuses."""

from __future__ import annotations

import math
import weakref
from collections.abc import Mapping
from typing import Any

from solo_hub.core import deadlines as connections
from solo_hub.core.errors import ModelError
from solo_hub.core.parsing import parse_json
from solo_hub.core.redaction import LONGEST as LONGEST_WORDS
from solo_hub.core.redaction import first_line_scrubbed, scrub
from solo_hub.models.calls import PASSING, Busy, retry_after

OK = 200
LONGEST = 1 << 26  # bytes of an answer; a batch of vectors or log-probabilities has a few million
TOO_LARGE = 413
ROUNDING = 1e-4  # a log-probability may be this much above 0


class Wire:
    """Sends requests to one server, once each.

    Args:
        client: An `httpx` or `httpx2` client that has not been used yet.
        library: The module it is from.
        seconds: A whole answer may take.
        owner: Its connections end with this object, when nobody closes them before.
    """

    def __init__(self, client: Any, library: Any, seconds: float, owner: object) -> None:
        self.client, self.seconds = client, seconds
        # refused, dropped, timed out, broken off; and changed on the way, where it was packed with a checksum
        self._trouble: tuple[type[Exception], ...] = (library.TransportError, library.DecodingError)
        connections.watch(client)
        weakref.finalize(owner, client.close)

    def send(
        self, method: str, path: str, body: Any = None, *, passing: frozenset[int] = PASSING, reads: bool = True
    ) -> tuple[int, Any]:
        """Send once; returns status and answer, None where it is no JSON.

        Args:
            method: GET, POST.
            path: Below the server's address.
            body: Sent as JSON.
            passing: Status codes after which it may work later.
            reads: Whether an answer of 200 must be JSON.

        Raises:
            Busy: It may work later.
            ModelError: The answer is longer than any has to be.
        """
        request = self.client.build_request(method, path, json=body, headers={"accept-encoding": "gzip, deflate"})
        try:
            with connections.within(self.seconds):
                response = self.client.send(request, stream=True)
                data = connections.read_within(response, LONGEST)
        except self._trouble as error:
            raise Busy(first_line_scrubbed(error) or type(error).__name__) from error
        except connections.TooLongError as error:
            raise ModelError(
                f"An answer of {self.client.base_url} is {error}.", hint="Is it the server you mean? See its address."
            ) from error
        try:
            answer = parse_json(data)
        except ValueError as error:  # a proxy's page, or an answer that broke off; brackets for ever
            answer = None
            if response.status_code == OK and reads:
                raise Busy("an answer that is not JSON") from error
        if response.status_code in passing:
            raise Busy(said(response.status_code, answer), retry_after(response.headers.get("retry-after")))
        return response.status_code, answer


def said(status: int, answer: Any) -> str:
    """A server's refusal in a few words: its status and its message, in the shapes servers give it."""
    error = answer.get("error", answer.get("detail", answer.get("message"))) if isinstance(answer, Mapping) else None
    message = error.get("message") if isinstance(error, Mapping) else error
    # scrubbed before it is cut: half a token that a server echoes would not be found any more
    return f"{status} {scrub(str(message).strip())[:LONGEST_WORDS].rstrip('.')}" if message else f"status {status}"


def log_probability(value: Any, title: str) -> float:
    """A log-probability as a server told it.

    Args:
        value: What it told.
        title: What the server is called in messages.

    Raises:
        ModelError: It is no number, not finite, or above 0 by more than rounding.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value > ROUNDING:
        raise ModelError(
            f"{title} told a log-probability of {scrub(str(value))[:40]}, which is none.",
            hint="It must be a number of at most 0: see the server's settings for log-probabilities, and its log.",
        )
    return min(float(value), 0.0)


def model_names(answer: Any) -> list[str]:
    """The models of a list of models; none where it is no such list."""
    entries = answer.get("data") if isinstance(answer, Mapping) else None
    return [
        entry["id"]
        for entry in (entries if isinstance(entries, list) else ())
        if isinstance(entry, Mapping) and isinstance(entry.get("id"), str)
    ]


def is_choice(choice: Any) -> bool:
    """Whether an entry of an answer has the shape of one; what may be missing may be null."""
    kinds = {"index": int, "logprobs": Mapping, "message": Mapping}
    return isinstance(choice, Mapping) and all(
        choice.get(name) is None or isinstance(choice[name], kind) for name, kind in kinds.items()
    )
