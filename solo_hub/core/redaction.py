"""Redaction: secrets are removed from everything that is printed, logged or written to a document.

Code that reads a secret passes it to `register_secret`; `scrub` then removes it verbatim, and also anything that looks
like one: tokens of known services, bearer headers, credentials in URLs, keys in query strings. Errors are scrubbed when
they are created, logs by `scrub_logs`, documents by `redact`.
"""

from __future__ import annotations

import json
import logging
import os
import re
from typing import Any
from urllib.parse import quote, urlsplit

HIDDEN = "***"
SHORTEST = 6  # characters; replacing shorter ones would garble ordinary words
VARIABLES = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")
"""Variables that huggingface_hub reads by itself at any time."""
LONGEST = 200  # characters quoted from a foreign error message

_PATTERNS: tuple[tuple[re.Pattern[str], str], ...] = (
    # needs a digit, a capital or great length: `hf_transfer` and `hf_hub_download` are words
    (
        re.compile(
            r"(?<![A-Za-z0-9_])(hf|api)_(?:(?:oauth|jwt|org)_)?"
            r"(?:(?=[A-Za-z0-9]*[A-Z0-9])[A-Za-z0-9]{8,}|[a-z]{20,})[A-Za-z0-9_-]*"
        ),
        rf"\1_{HIDDEN}",
    ),
    (re.compile(r"(?<![A-Za-z0-9_-])sk-(?=[A-Za-z_-]*[0-9])[A-Za-z0-9_-]{16,}"), f"sk-{HIDDEN}"),
    (re.compile(r"\b([Bb]earer)\s+[A-Za-z0-9._~+/=-]{16,}"), rf"\1 {HIDDEN}"),
    # user and password in a URL; a password may contain a slash, and then what precedes it is not a port
    (re.compile(r"://(?:[^\s/@\"'<>]*|[^\s/@:\"'<>]*:(?!\d{1,5}/)[^\s@\"'<>]*)@"), f"://{HIDDEN}@"),
    (
        re.compile(r"(?i)([?&;#](?:[a-z]+[_-]){0,3}(?:api_?key|key|token|secret|password|signature)=)[^\s&;#\"'<>]+"),
        rf"\1{HIDDEN}",
    ),
)
_known: set[str] = set()


def register_secret(secret: str | None) -> str | None:
    """Register a secret, to be removed from all output of this process.

    Returns:
        The secret, so that it can be read and registered in one expression.
    """
    if secret and len(secret.strip()) >= SHORTEST:
        for form in (secret, secret.strip()):  # it may end in a newline that is not always echoed
            _known.update((form, quote(form), quote(form, safe=""), json.dumps(form)[1:-1]))
    return secret


def is_token(text: str) -> bool:
    r"""Whether a text can be a token: visible ASCII only; the HTTP library's error would quote an invalid one.

    >>> is_token("hf_abc"), is_token("hf_äbc"), is_token("hf_a\nbc"), is_token("hf abc")
    (True, False, False, False)
    """
    return text.isascii() and text.isprintable() and " " not in text


def clear_secrets() -> None:
    """Clear all registered secrets."""
    _known.clear()


def scrub(text: str) -> str:
    """Remove secrets from a text: the registered ones, and anything that looks like one.

    >>> scrub("Invalid token hf_abcdefghij0 at http://ada:" + "hunter22@host/?api_key=XYZ")
    'Invalid token hf_*** at http://***@host/?api_key=***'
    """
    from_environment = {value for name in VARIABLES if len(value := os.environ.get(name, "")) >= SHORTEST}
    for secret in sorted(_known | from_environment, key=len, reverse=True):
        text = text.replace(secret, HIDDEN)
    for pattern, replacement in _PATTERNS:
        text = pattern.sub(replacement, text)
    return text


def redact(value: Any) -> Any:
    """Scrub every text value in a document of JSON types; keys are ours and are kept."""
    if isinstance(value, str):
        return scrub(value)
    if isinstance(value, dict):
        return {key: redact(item) for key, item in value.items()}
    return [redact(item) for item in value] if isinstance(value, list | tuple) else value


def first_line_scrubbed(error: object) -> str:
    """The first line of a foreign error, scrubbed before truncation: a truncated secret is not recognised."""
    return scrub(str(error).strip().split("\n")[0])[:LONGEST]


def check_address(address: str, instead: str) -> str:
    """Validate a server URL, which must not contain secrets: settings are stored, published and printed.

    Args:
        address: The URL.
        instead: The setting or variable to use for a token.

    Raises:
        ValueError: It is invalid, or contains a user, a password, a query or a fragment.
    """
    try:
        parts = urlsplit(address)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # an invalid IPv6 address or port
        valid = False
    if "@" in address or (valid and (parts.query or parts.fragment)):
        raise ValueError(f"a URL is published with the run: keep credentials out of it and use {instead}")
    if not valid:
        raise ValueError("a URL must start with http:// or https://")
    return address


class _ScrubbedRecord(logging.LogRecord):
    """A log record whose text and traceback contain no secrets, whichever handler prints it."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        if self.exc_info:
            self.exc_text = scrub(logging.Formatter().formatException(self.exc_info))

    def getMessage(self) -> str:  # noqa: N802 - logging's name
        return scrub(super().getMessage())


def scrub_logs() -> None:
    """Scrub everything logged in this process, also by libraries; called by the CLI, not on import."""
    logging.setLogRecordFactory(_ScrubbedRecord)
