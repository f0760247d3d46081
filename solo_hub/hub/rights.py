"""Checks of access tokens: their form, and their write access according to the Hub."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from solo_hub.core.errors import NotAllowedError
from solo_hub.core.redaction import VARIABLES, is_token


def check_token(token: str | None, endpoint: str) -> None:
    """Check that a token can be sent; the HTTP library's own error would not say that the token is invalid.

    Args:
        token: The token; None for the one huggingface_hub finds.
        endpoint: URL of the Hub, for messages.

    Raises:
        NotAllowedError: It contains invalid characters.
    """
    if token is None:
        from huggingface_hub import get_token

        # huggingface_hub removes line ends from a variable, also between two tokens
        from_environment = (os.environ.get(name, "").strip() for name in VARIABLES)
        token = next(filter(None, from_environment), None) or get_token()
    if token and not is_token(token):
        raise NotAllowedError(
            f"The token for {endpoint} contains invalid characters: spaces, line ends, or non-ASCII letters.",
            hint="Log in again with `hf auth login`, or copy it to HF_TOKEN again.",
        )


def require_write(me: Mapping[str, Any], endpoint: str, namespace: str | None = None) -> str:
    """Check that a token may push to a namespace.

    Args:
        me: The Hub's response to whoami.
        endpoint: URL of the Hub, for messages.
        namespace: User or organisation; the token's user when None.

    Returns:
        The namespace.

    Raises:
        NotAllowedError: It has no write access; the message says what to do.
    """
    namespace = namespace or str(me["name"])
    if namespace.lower() != str(me["name"]).lower():
        orgs = {str(org["name"]).lower(): org for org in me.get("orgs") or ()}
        if namespace.lower() not in orgs:
            names = ", ".join([str(me["name"]), *sorted(orgs)])
            raise NotAllowedError(
                f"'{me['name']}' may not push to '{namespace}' on {endpoint}.",
                hint=f"Choose another --namespace: {names}.",
            )
        if orgs[namespace.lower()].get("roleInOrg") == "read":
            raise NotAllowedError(
                f"'{me['name']}' has only read access to the organisation '{namespace}'.",
                hint="Ask for write access there, or choose another --namespace.",
            )
    token = (me.get("auth") or {}).get("accessToken") or {}
    if token.get("role") == "read" or (token.get("role") == "fineGrained" and not _grants_write(token, namespace)):
        raise NotAllowedError(
            f"The token has no write access to '{namespace}' on {endpoint}.",
            hint=f"Create one with write access at {endpoint}/settings/tokens and log in with it: `hf auth login`.",
        )
    return namespace


def _grants_write(token: Mapping[str, Any], namespace: str) -> bool:
    """Whether a fine-grained token may write to a namespace, or to some of its repos."""
    grants = token.get("fineGrained") or {}
    if "repo.write" in (grants.get("global") or ()):
        return True
    for scope in grants.get("scoped") or ():
        owner = str((scope.get("entity") or {}).get("name", "")).split("/")[0]
        if owner.lower() == namespace.lower() and "repo.write" in (scope.get("permissions") or ()):
            return True
    return False
