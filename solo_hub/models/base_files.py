"""A base model's tokenizer, chat template and generation settings, checked before a run.

`generation_config.json` may set penalties and sampling, a tokenizer may append tokens to plain text or have more tokens
than the model has embeddings, and a chat template may print the date (`chat.ChatFormat`).
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from solo_hub.core.errors import ModelError
from solo_hub.core.parsing import read_object
from solo_hub.models import loading
from solo_hub.models.chat import ChatFormat

NEUTRAL: dict[str, tuple[Any, ...]] = {
    "repetition_penalty": (1.0,),
    "encoder_repetition_penalty": (1.0,),
    "no_repeat_ngram_size": (0,),
    "encoder_no_repeat_ngram_size": (0,),
    "bad_words_ids": ([],),
    "suppress_tokens": ([],),
    "begin_suppress_tokens": ([],),
    "sequence_bias": ({}, []),
    "forced_bos_token_id": (),
    "forced_eos_token_id": (),
    "forced_decoder_ids": ([],),
    "exponential_decay_length_penalty": (),
    "guidance_scale": (1.0,),
    "num_beams": (1,),
    "min_length": (0,),
    "min_new_tokens": (0,),
    "remove_invalid_values": (False,),
    "renormalize_logits": (False,),
    "watermarking_config": (),
    "stop_strings": ([],),
}
"""Settings of transformers' `GenerationConfig` that change greedy decoding or its probabilities -> neutral values."""
SAMPLING: dict[str, tuple[Any, ...]] = {
    "temperature": (1.0,),
    "top_k": (0, -1),
    "top_p": (1.0,),
    "min_p": (0.0,),
    "typical_p": (1.0,),
    "epsilon_cutoff": (0.0,),
    "eta_cutoff": (0.0,),
}
"""The same for sampling."""
_TEXT = "Which tree bears acorns"


@dataclass(frozen=True)
class BaseFiles:
    """A base model without its weights.

    Attributes:
        path: Folder with its configuration and tokenizer.
        identity: Repo and commit, for messages.
        day: The date for a chat template that prints one; today when None.
        trust_remote_code: Run code from the repo.
    """

    path: Path
    identity: str
    day: dt.date | None = None
    trust_remote_code: bool = False

    @cached_property
    def tokenizer(self) -> Any:
        """The tokenizer.

        Raises:
            ModelError: There is none.
        """
        return loading.load_tokenizer(self.path, self.identity, trust_remote_code=self.trust_remote_code)

    @cached_property
    def chat(self) -> ChatFormat:
        """Its chat template."""
        return ChatFormat(self.tokenizer, self.identity, self.day)

    @cached_property
    def generation(self) -> dict[str, Any]:
        """`generation_config.json`, or `config.json`, where older repos have these settings."""
        path = self.path / "generation_config.json"
        return read_object(path if path.exists() else self.path / "config.json")

    def decoding(self, known: Mapping[str, tuple[Any, ...]] = NEUTRAL) -> dict[str, Any]:
        """Non-neutral decoding settings of the repo; they are ignored."""
        return {
            name: value
            for name, neutral in known.items()
            if (value := self.generation.get(name)) is not None and value not in neutral
        }

    @property
    def stop_tokens(self) -> tuple[int, ...]:
        """Ids of the stop tokens, from the model's configuration, or from the tokenizer if it has none."""
        configured = self.generation.get("eos_token_id")
        if configured is None:
            configured = self.tokenizer.eos_token_id
        return as_ids(configured)

    @property
    def rows(self) -> int | None:
        """Number of token embeddings according to the model's configuration, or None."""
        config = read_object(self.path / "config.json")
        text = config.get("text_config")
        size = (text if isinstance(text, dict) else config).get("vocab_size")
        return size if isinstance(size, int) and size > 0 else None

    @property
    def appended(self) -> list[str]:
        """Tokens that the tokenizer appends to plain text."""
        return appended_tokens(self.tokenizer)

    def check(self, prompt: str) -> None:
        """Reject a base whose answers or training would silently be wrong.

        Args:
            prompt: `plain` or `chat`, as `teacher.prompt`.

        Raises:
            ModelError: It has no tokenizer or end token, more tokens than embeddings, a tokenizer that appends tokens
                to plain prompts, or a chat template that is missing, invalid, or opens a thinking block.
        """
        if prompt == "chat":
            self.chat.prompt(_TEXT)  # raises if the template is invalid
        elif appended := self.appended:
            raise ModelError(
                f"The tokenizer of the base model {self.identity} appends {appended[0]!r} to plain text: every prompt "
                "would end before its answer.",
                hint="Set teacher.prompt=chat, or add_eos_token=false in the tokenizer_config.json of a copy of it.",
            )
        if not self.stop_tokens and not (prompt == "chat" and self.chat.end_token is not None):
            raise no_end(self.identity)
        check_rows(self.tokenizer, self.identity, self.rows)

    def notes(self, prompt: str) -> list[str]:
        """Notes for the user on settings of the repo that are ignored or fixed."""
        notes = []
        if ignored := {**self.decoding(), **self.decoding(SAMPLING)}:
            shown = ", ".join(f"{name}={value}" for name, value in ignored.items())
            notes.append(f"decoding settings of the base are ignored ({shown:.200}): decoding is greedy")
        if prompt == "chat" and self.chat.variables:
            notes.append("thinking is disabled in the chat template")
        if prompt == "chat" and self.chat.is_dated:
            notes.append(f"the chat template prints the date; this run always uses {self.day}")
        return notes

    def key(self, prompt: str, *, written: bool) -> list[str]:
        """Cache key for what answers depend on besides the base's commit; empty for most bases.

        Args:
            prompt: `plain` or `chat`, as `teacher.prompt`.
            written: Whether text is generated; scores of given texts do not depend on decoding.
        """
        parts = []
        if prompt == "chat" and self.chat.key:
            parts.append(f"chat {hashlib.sha256(self.chat.key.encode()).hexdigest()[:16]}")
        if written and self.decoding():
            parts.append("decoding plain")
        if written and prompt == "chat" and self.chat.end_token not in (None, *self.stop_tokens):
            parts.append(f"end {self.chat.end_token}")
        return parts


def as_ids(configured: Any) -> tuple[int, ...]:
    """Normalise the token ids of a configuration: one, several, or none."""
    if configured is None:
        return ()
    return tuple(configured) if isinstance(configured, list | tuple) else (int(configured),)


def appended_tokens(tokenizer: Any) -> list[str]:
    """Special tokens that a tokenizer appends to plain text."""
    ids, bare = (tokenizer(_TEXT, add_special_tokens=special)["input_ids"] for special in (True, False))
    if len(ids) == len(bare) or ids[-len(bare) :] == bare:
        return []
    start = next((i for i in range(len(ids) - len(bare) + 1) if ids[i : i + len(bare)] == bare), None)
    behind = ids[-1:] if start is None else ids[start + len(bare) :]
    return [str(token) for token in tokenizer.convert_ids_to_tokens(behind)]


def prefix_tokens(tokenizer: Any) -> list[int]:
    """Ids of the special tokens that a tokenizer prepends to plain text."""
    ids, bare = (tokenizer(_TEXT, add_special_tokens=special)["input_ids"] for special in (True, False))
    start = next((i for i in range(len(ids) - len(bare) + 1) if ids[i : i + len(bare)] == bare), 0)
    return list(ids[:start])


def check_rows(tokenizer: Any, identity: str, rows: int | None) -> None:
    """Check that the model has an embedding for every token of the tokenizer.

    Raises:
        ModelError: Names the first token without one.
    """
    if rows is None:
        return
    beyond = min(((i, token) for token, i in tokenizer.get_vocab().items() if i >= rows), default=None)
    if beyond is not None:
        raise ModelError(
            f"The tokenizer of the base model {identity} has more tokens ({len(tokenizer):,}) than the model has "
            f"embeddings ({rows:,}): there is none for {beyond[1]!r} (id {beyond[0]}).",
            hint="Choose another base or revision, or publish a copy with embeddings resized to the tokenizer.",
        )


def no_end(identity: str) -> ModelError:
    """The error about a base without an end token, to be raised."""
    return ModelError(
        f"The base model {identity} has no end-of-turn token.",
        hint="Choose a model whose tokenizer or generation_config has an eos_token_id.",
    )
