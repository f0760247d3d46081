"""What may not be told: secrets are taken out of everything that is said, logged or written into a document.

Whoever reads a secret hands it to `remember`; `scrub` then finds it word for word, whatever it looks like, and besides
what has the shape of one: tokens of known services, bearer headers, users and passwords in addresses, keys in queries.
Errors are scrubbed as they are made, logs by `scrub_logs`, documents by `redact`.
"""

from __future__ import annotations

import json
import logging
import os
import re
from typing import Any
from urllib.parse import quote, urlsplit

HIDDEN = "***"
SHORTEST = 6  # characters; replacing shorter ones would only garble words
VARIABLES = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")
"""What huggingface_hub reads by itself, at any time."""
LONGEST = 200  # characters of somebody else's words that are passed on

_SHAPES: tuple[tuple[re.Pattern[str], str], ...] = (
    # a digit or a capital, or great length: `hf_transfer` and `hf_hub_download` are words
    (
        re.compile(
            r"(?<![A-Za-z0-9_])(hf|api)_(?:(?:oauth|jwt|org)_)?"
            r"(?:(?=[A-Za-z0-9]*[A-Z0-9])[A-Za-z0-9]{8,}|[a-z]{20,})[A-Za-z0-9_-]*"
        ),
        rf"\1_{HIDDEN}",
    ),
    (re.compile(r"(?<![A-Za-z0-9_-])sk-(?=[A-Za-z_-]*[0-9])[A-Za-z0-9_-]{16,}"), f"sk-{HIDDEN}"),
    (re.compile(r"\b([Bb]earer)\s+[A-Za-z0-9._~+/=-]{16,}"), rf"\1 {HIDDEN}"),
    # user and password in an address; a password may hold a slash, and then what precedes it is no port
    (re.compile(r"://(?:[^\s/@\"'<>]*|[^\s/@:\"'<>]*:(?!\d{1,5}/)[^\s@\"'<>]*)@"), f"://{HIDDEN}@"),
    (
        re.compile(r"(?i)([?&;#](?:[a-z]+[_-]){0,3}(?:api_?key|key|token|secret|password|signature)=)[^\s&;#\"'<>]+"),
        rf"\1{HIDDEN}",
    ),
)
_known: set[str] = set()


def register_secret(secret: str | None) -> str | None:
    """Keep a secret out of all that this process says from now on.

    Returns:
        The secret, so that reading and remembering are one expression.
    """
    if secret and len(secret.strip()) >= SHORTEST:
        for form in (secret, secret.strip()):  # a file's line end travels with it and is not always echoed
            _known.update((form, quote(form), quote(form, safe=""), json.dumps(form)[1:-1]))
    return secret


def is_token(text: str) -> bool:
    r"""Whether a text can be sent as a token: visible ASCII alone, or it is refused somewhere below with its value.

    >>> is_token("hf_abc"), is_token("hf_äbc"), is_token("hf_a\nbc"), is_token("hf abc")
    (True, False, False, False)
    """
    return text.isascii() and text.isprintable() and " " not in text


def clear_secrets() -> None:
    """Forget all that was remembered."""
    _known.clear()


def scrub(text: str) -> str:
    """Take secrets out of a text: those remembered, and what looks like one.

    >>> scrub("Invalid token hf_abcdefghij0 at http://ada:" + "hunter22@host/?api_key=XYZ")
    'Invalid token hf_*** at http://***@host/?api_key=***'
    """
    given = {value for name in VARIABLES if len(value := os.environ.get(name, "")) >= SHORTEST}
    for secret in sorted(_known | given, key=len, reverse=True):
        text = text.replace(secret, HIDDEN)
    for shape, instead in _SHAPES:
        text = shape.sub(instead, text)
    return text


def redact(value: Any) -> Any:
    """A document of JSON types with every text in it scrubbed; keys are ours and stay."""
    if isinstance(value, str):
        return scrub(value)
    if isinstance(value, dict):
        return {key: redact(item) for key, item in value.items()}
    return [redact(item) for item in value] if isinstance(value, list | tuple) else value


def first_line_scrubbed(error: object) -> str:
    """The first line of somebody else's error, scrubbed before it is shortened: half a secret is not found any more."""
    return scrub(str(error).strip().split("\n")[0])[:LONGEST]


def check_address(address: str, instead: str) -> str:
    """An address of a server without secrets in it: settings are written down, published and told in messages.

    Args:
        address: What a setting gives.
        instead: Where a token belongs.

    Raises:
        ValueError: It is none, or holds a user, a password, a query or a fragment.
    """
    try:
        parts = urlsplit(address)
        named = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # an IPv6 address or port that is none
        named = False
    if "@" in address or (named and (parts.query or parts.fragment)):
        raise ValueError(f"an address is published with the run: keep tokens out of it, use {instead}")
    if not named:
        raise ValueError("an address begins with http:// or https://")
    return address


class _ScrubbedRecord(logging.LogRecord):
    """A log record whose text and traceback hold no secret, whichever handler prints it."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        if self.exc_info:
            self.exc_text = scrub(logging.Formatter().formatException(self.exc_info))

    def getMessage(self) -> str:  # noqa: N802 - logging's name
        return scrub(super().getMessage())


def scrub_logs() -> None:
    """Scrub what is logged in this process, by us or by a library; for programs, not for the library."""
    logging.setLogRecordFactory(_ScrubbedRecord)
