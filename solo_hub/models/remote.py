"""What engines behind a network have in common: the base model's tokenizer is here, its weights are not."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import ClassVar

from solo_hub.core.errors import ConfigError
from solo_hub.core.redaction import is_token, register_secret
from solo_hub.core.settings import EngineSettings
from solo_hub.models import loading
from solo_hub.models.calls import Calls


class RemoteModel:
    """A model that others serve.

    Args:
        path: Local snapshot of the base model: its tokenizer and configuration are read, its weights are not.
        identity: Repo and commit.
        settings: The section `engine` of the configuration.

    Raises:
        ConfigError: The variable for the token is not set.
    """

    remote: ClassVar[bool] = True
    """Answers come over a network: training and the student need the base model in this process besides."""

    def __init__(self, path: Path, identity: str, *, settings: EngineSettings) -> None:
        self.path, self.name, self.settings = Path(path), identity, settings
        self.tokenizer = loading.load_tokenizer(self.path, identity, trust_remote_code=settings.trust_remote_code)
        self._token = find_token(settings)
        self._calls = Calls(self.title, concurrency=settings.concurrency, attempts=settings.attempts)

    @property
    def title(self) -> str:
        """What it is called in messages."""
        raise NotImplementedError

    @cached_property
    def context_length(self) -> int:
        """Longest prompt plus answer, in tokens, by the base model's configuration."""
        return loading.context_length(self.path, self.name, trust_remote_code=self.settings.trust_remote_code)

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text, without special tokens."""
        return [len(ids) for ids in self.tokenizer(list(texts), add_special_tokens=False)["input_ids"]] if texts else []


def find_token(settings: EngineSettings) -> str | None:
    """The token, from the environment variable the settings name.

    Raises:
        ConfigError: It is not set, or no token.
    """
    if not settings.token_variable:
        return None
    token = os.environ.get(settings.token_variable, "")
    if not token:
        raise ConfigError(
            f"The environment variable '{settings.token_variable}' is not set.",
            hint="Put the server's token into it, or change engine.token_variable.",
        )
    if not is_token(token):
        raise ConfigError(
            f"The environment variable '{settings.token_variable}' holds characters that no token has: blanks, line "
            "ends, or letters beyond ASCII.",
            hint="Copy the server's token into it again.",
        )
    return register_secret(token)
