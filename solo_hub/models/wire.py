"""JSON requests: deadline, transient failures, and error messages of a server."""

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
LONGEST = 1 << 26  # bytes of a response; a batch of vectors or log-probabilities has a few million
TOO_LARGE = 413
ROUNDING = 1e-4  # a log-probability may exceed 0 by this much


class Wire:
    """Sends requests to one server, without retries.

    Args:
        client: An `httpx` or `httpx2` client.
        library: Its module.
        seconds: Time limit for a complete response.
        owner: The connections are closed with this object at the latest.
    """

    def __init__(self, client: Any, library: Any, seconds: float, owner: object) -> None:
        self.client, self.seconds = client, seconds
        # refused, dropped, timed out, interrupted; or corrupted, if compressed with a checksum
        self._trouble: tuple[type[Exception], ...] = (library.TransportError, library.DecodingError)
        connections.watch(client, library)
        weakref.finalize(owner, client.close)

    def send(
        self, method: str, path: str, body: Any = None, *, passing: frozenset[int] = PASSING, reads: bool = True
    ) -> tuple[int, Any]:
        """Send once; returns status and response, which is None if it is not JSON.

        Args:
            method: GET, POST.
            path: Path below the server's URL.
            body: Sent as JSON.
            passing: Status codes of transient failures.
            reads: Whether a response with status 200 must be JSON.

        Raises:
            Busy: The failure is transient.
            ModelError: The response is too large.
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
                f"A response of {self.client.base_url} is {error}.", hint="Check the server's URL."
            ) from error
        try:
            answer = parse_json(data)
        except ValueError as error:  # a proxy's page, a truncated response, or endless nesting
            answer = None
            if response.status_code == OK and reads:
                raise Busy("a response that is not JSON") from error
        if response.status_code in passing:
            raise Busy(describe_error(response.status_code, answer), retry_after(response.headers.get("retry-after")))
        return response.status_code, answer


def describe_error(status: int, answer: Any) -> str:
    """A short description of an error response: status and message, in the formats that servers use."""
    error = answer.get("error", answer.get("detail", answer.get("message"))) if isinstance(answer, Mapping) else None
    message = error.get("message") if isinstance(error, Mapping) else error
    # scrubbed before truncation: a truncated token would not be recognised
    return f"{status} {scrub(str(message).strip())[:LONGEST_WORDS].rstrip('.')}" if message else f"status {status}"


def log_probability(value: Any, title: str) -> float:
    """Validate a log-probability from a server.

    Args:
        value: The returned value.
        title: The server's name in messages.

    Raises:
        ModelError: It is not a finite number, or exceeds 0 by more than rounding.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value > ROUNDING:
        raise ModelError(
            f"{title} returned an invalid log-probability: {scrub(str(value))[:40]}.",
            hint="It must be a number of at most 0: see the server's settings for log-probabilities, and its log.",
        )
    return min(float(value), 0.0)


def model_names(answer: Any) -> list[str]:
    """The names in a list of models; empty if it is invalid."""
    entries = answer.get("data") if isinstance(answer, Mapping) else None
    return [
        entry["id"]
        for entry in (entries if isinstance(entries, list) else ())
        if isinstance(entry, Mapping) and isinstance(entry.get("id"), str)
    ]


def is_choice(choice: Any) -> bool:
    """Whether an entry of a response is a valid choice; optional fields may be null."""
    kinds = {"index": int, "logprobs": Mapping, "message": Mapping}
    return isinstance(choice, Mapping) and all(
        choice.get(name) is None or isinstance(choice[name], kind) for name, kind in kinds.items()
    )
