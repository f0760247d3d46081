"""Strict validation of retriever options."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from solo_hub.core.errors import ConfigError, nearest


def check_options(method: str, given: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a retriever, defaults filled in.

    Args:
        method: The retriever's name, for messages.
        given: What the user set.
        defaults: Every known option with its default; a value must be of the default's kind (a whole number may
            stand for a fraction).

    Raises:
        ConfigError: An option is unknown (the nearest is named) or of the wrong kind.
    """
    for name, value in given.items():
        if name not in defaults:
            raise ConfigError(f"The retriever '{method}' has no option '{name}'.", hint=nearest(name, defaults))
        wanted = type(defaults[name])
        fits = isinstance(value, wanted) or (wanted is float and isinstance(value, int))
        if not fits or (isinstance(value, bool) and wanted is not bool):
            raise ConfigError(
                f"The option '{name}' of the retriever '{method}' cannot be {value!r}.",
                hint=f"Use a {wanted.__name__}.",
            )
    return {**defaults, **given}
