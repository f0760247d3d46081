"""Whether a token is one, and what its owner may write by what the Hub says of it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from solo_hub.core.errors import NotAllowedError
from solo_hub.core.redaction import VARIABLES, is_token


def check_token(token: str | None, endpoint: str) -> None:
    """See that a token can be sent: what refuses it below does not say that it is the token.

    Args:
        token: The token; None for the one the Hub's client finds by itself.
        endpoint: Where it is sent, for messages.

    Raises:
        NotAllowedError: It holds characters that no token has.
    """
    if token is None:
        from huggingface_hub import get_token

        # the client leaves line ends out of a variable, also where they stand between two tokens
        given = (os.environ.get(name, "").strip() for name in VARIABLES)
        token = next(filter(None, given), None) or get_token()
    if token and not is_token(token):
        raise NotAllowedError(
            f"The token for {endpoint} holds characters that no token has: blanks, line ends, or letters beyond ASCII.",
            hint="Set it anew with `hf auth login`, or copy it again into HF_TOKEN.",
        )


def require_write(me: Mapping[str, Any], endpoint: str, namespace: str | None = None) -> str:
    """Check that a token may push to a namespace.

    Args:
        me: What the Hub answers to "who am I".
        endpoint: Address of the Hub, for messages.
        namespace: User or organisation; the token's own user when None.

    Returns:
        The namespace.

    Raises:
        NotAllowedError: It may not; the message says what to do.
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
                f"'{me['name']}' may only read in the organisation '{namespace}'.",
                hint="Ask for write access there, or choose another --namespace.",
            )
    token = (me.get("auth") or {}).get("accessToken") or {}
    if token.get("role") == "read" or (token.get("role") == "fineGrained" and not _grants_write(token, namespace)):
        raise NotAllowedError(
            f"The token has no write access to '{namespace}' on {endpoint}.",
            hint=f"Make one that has at {endpoint}/settings/tokens and log in with it: `hf auth login`.",
        )
    return namespace


def _grants_write(token: Mapping[str, Any], namespace: str) -> bool:
    """Whether a fine-grained token may write repos of a namespace (the whole of it, or some of its repos)."""
    grants = token.get("fineGrained") or {}
    if "repo.write" in (grants.get("global") or ()):
        return True
    for scope in grants.get("scoped") or ():
        owner = str((scope.get("entity") or {}).get("name", "")).split("/")[0]
        if owner.lower() == namespace.lower() and "repo.write" in (scope.get("permissions") or ()):
            return True
    return False
