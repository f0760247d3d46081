"""Base class of remote engines: the base model's tokenizer is local, its weights are not."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from solo_hub.core.errors import ConfigError, ModelError
from solo_hub.core.redaction import is_token, register_secret
from solo_hub.core.settings import EngineSettings
from solo_hub.models import loading
from solo_hub.models.base_files import SAMPLING, BaseFiles, prefix_tokens
from solo_hub.models.calls import Calls
from solo_hub.models.chat import ChatFormat


class ServedFiles(BaseFiles):
    """`BaseFiles` of a base on a server."""

    def key(self, prompt: str, *, written: bool) -> list[str]:
        """As for `BaseFiles`; marks that special tokens are not added twice, as earlier versions did."""
        parts = super().key(prompt, written=written)
        start = token_text(self.tokenizer, prefix_tokens(self.tokenizer))
        if written and prompt == "chat" and start and self.chat.prompt("?").text.startswith(start):
            parts.append("special tokens once")
        return parts


class RemoteModel:
    """A model on a server.

    Args:
        path: Local snapshot of the base model: its tokenizer and configuration are read, its weights are not.
        identity: Repo and commit.
        settings: The section `engine` of the configuration.

    Raises:
        ConfigError: The variable for the token is not set.
    """

    remote: ClassVar[bool] = True
    """The engine is remote: training and the student also need the base model in this process."""
    base_files: ClassVar[type[BaseFiles]] = ServedFiles
    """Checks the base's tokenizer, chat template and generation settings."""
    chat_day: dt.date | None = None
    """The date for a chat template that prints one; today when None. Set before the first prompt."""

    def __init__(self, path: Path, identity: str, *, settings: EngineSettings) -> None:
        self.path, self.name, self.settings = Path(path), identity, settings
        self.tokenizer = loading.load_tokenizer(self.path, identity, trust_remote_code=settings.trust_remote_code)
        self._token = find_token(settings)
        self._calls = Calls(self.title, concurrency=settings.concurrency, attempts=settings.attempts)

    @property
    def title(self) -> str:
        """Its name in messages."""
        raise NotImplementedError

    @cached_property
    def context_length(self) -> int:
        """Maximum length of prompt plus answer, in tokens, from the base model's configuration."""
        return loading.context_length(self.path, self.name, trust_remote_code=self.settings.trust_remote_code)

    @cached_property
    def chat_format(self) -> ChatFormat:
        """The model's chat template."""
        return ChatFormat(self.tokenizer, self.name, self.chat_day)

    @cached_property
    def template_variables(self) -> dict[str, bool]:
        """Template variables for a server that renders the chat template itself.

        Raises:
            ModelError: Every answer would start with thinking.
        """
        if not self.chat_format.has_template:
            return {}
        if self.chat_format.server_opens_thinking:
            raise thinking_error(self.title, self.name)
        return self.chat_format.variables

    def plain_decoding(self, *, sampled: bool) -> dict[str, Any]:
        """Parameters that reset a server's defaults, which may come from the base's `generation_config.json`.

        Named as in vLLM, SGLang and llama.cpp; omitted for a server that rejects them.
        """
        files = BaseFiles(self.path, self.name)
        parameters: dict[str, Any] = {"repetition_penalty": 1.0} if "repetition_penalty" in files.decoding() else {}
        if sampled and files.decoding(SAMPLING):
            parameters |= {"top_p": 1.0, "top_k": -1, "min_p": 0.0}
        return parameters

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Number of tokens of each text, without special tokens."""
        return [len(ids) for ids in self.tokenizer(list(texts), add_special_tokens=False)["input_ids"]] if texts else []


def token_text(tokenizer: Any, ids: Sequence[int]) -> str:
    """Special tokens as text."""
    return "".join(str(token) for token in tokenizer.convert_ids_to_tokens(list(ids)))


def thinking_error(title: str, identity: str) -> ModelError:
    """The error about a server whose answers would start with thinking, to be raised."""
    return ModelError(
        f"{title} renders the chat template of {identity} itself; it opens a thinking block before every answer and "
        "does not support enable_thinking=false.",
        hint="Choose a base that answers without thinking, or a server with /v1/completions and teacher.prompt=plain.",
    )


def find_token(settings: EngineSettings) -> str | None:
    """The token, from the environment variable the settings name.

    Raises:
        ConfigError: It is not set, or not a valid token.
    """
    if not settings.token_variable:
        return None
    token = os.environ.get(settings.token_variable, "")
    if not token:
        raise ConfigError(
            f"The environment variable '{settings.token_variable}' is not set.",
            hint="Set it to the server's token, or change engine.token_variable.",
        )
    if not is_token(token):
        raise ConfigError(
            f"The environment variable '{settings.token_variable}' contains invalid characters for a token: spaces, "
            "line ends, or non-ASCII letters.",
            hint="Copy the server's token to it again.",
        )
    return register_secret(token)
