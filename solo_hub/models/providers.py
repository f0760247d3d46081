"""The base model at an Inference Provider or Inference Endpoint, through `huggingface_hub.InferenceClient`.

Providers use chat messages and return no log-probabilities of prompt tokens: answers are generated, not scored. If a
provider returns the log-probabilities of generated tokens, free text has a confidence.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence
from functools import cached_property
from typing import Any, ClassVar

from solo_hub.core import deadlines as connections
from solo_hub.core.errors import ModelError
from solo_hub.core.plugins import Generation, Prompt
from solo_hub.core.redaction import first_line_scrubbed
from solo_hub.hub.rights import check_token
from solo_hub.hub.transport import limit_waiting
from solo_hub.models.base_files import BaseFiles
from solo_hub.models.calls import PASSING, Busy, retry_after
from solo_hub.models.remote import RemoteModel, ServedFiles, thinking_error
from solo_hub.models.served import REMEDIES, UNABLE, first_line
from solo_hub.models.wire import describe_error, log_probability


class ProviderFiles(ServedFiles):
    """`BaseFiles` of a base whose chat template a provider renders, with its own date."""

    def check(self, prompt: str) -> None:
        """As for `BaseFiles`.

        Raises:
            ModelError: Also if every answer would start with thinking.
        """
        super().check(prompt)
        if self.chat.has_template and self.chat.server_opens_thinking:
            raise thinking_error("The Inference provider", self.identity)

    def notes(self, prompt: str) -> list[str]:
        """As for `BaseFiles`, with a note if the date is the provider's."""
        own = ["the provider renders the chat template with the current date: answers may differ from day to day"]
        return [*super().notes(prompt), *(own if self.chat.has_template and self.chat.is_dated else [])]


class ProviderEngine(RemoteModel):
    """Implements `plugins.Engine`.

    Args:
        path: Local snapshot of the base model: its tokenizer and configuration are read, its weights are not.
        identity: Repo and commit.
        settings: The section `engine` of the configuration.

    Raises:
        ConfigError: The variable for the token is not set.
    """

    base_files: ClassVar[type[BaseFiles]] = ProviderFiles
    """Checks the base's tokenizer, chat template and generation settings."""

    @property
    def place(self) -> str:
        """Where the model is, for messages."""
        return self.settings.url or f"provider {self.settings.provider}"

    @property
    def title(self) -> str:
        """Its name in messages."""
        return f"The Inference {self.place}"

    @property
    def model_name(self) -> str:
        """The base model's name at the provider."""
        return self.settings.model or self.name.partition("@")[0]

    @property
    def identity(self) -> str:
        """Model and commit, engine, provider and name there."""
        return f"{self.name} inference {self.settings.provider} {self.model_name} text alone"

    def chat(self, text: str) -> Prompt:
        """The message unchanged: the provider applies the chat template."""
        return Prompt(text, special_tokens=False)

    def score(self, prompts: Sequence[Prompt], continuations: Sequence[Sequence[str]]) -> list[list[float] | None]:
        """None for every prompt: providers do not return log-probabilities of given texts."""
        return [None for _ in zip(prompts, continuations, strict=True)]

    def generate(self, prompts: Sequence[Prompt], max_new_tokens: int) -> list[Generation]:
        """Decode greedily up to the end of the first line; one text per prompt."""
        if not prompts:
            return []
        return self._write_all(prompts, {"max_tokens": max_new_tokens, "temperature": 0.0}, {"logprobs": True})

    def sample(self, prompts: Sequence[Prompt], max_new_tokens: int, *, seed: int) -> list[Generation]:
        """Like `generate`, but sampled; whether the seed is honoured is up to the provider."""
        if not prompts:
            return []
        return self._write_all(prompts, {"max_tokens": max_new_tokens, "temperature": 1.0, "seed": seed}, {})

    def _write_all(self, prompts: Sequence[Prompt], how: dict[str, Any], wish: dict[str, Any]) -> list[Generation]:
        """Generate for all prompts with the parameters accepted for the first: log-probabilities and plain decoding."""
        variables = self.template_variables
        body = {"chat_template_kwargs": variables} if variables else {}
        plain = body | self.plain_decoding(sampled=how["temperature"] > 0)
        ways = [{**how, **wanted, "extra_body": extra} for extra in (plain, body) for wanted in (wish, {})]
        ways = [way for place, way in enumerate(ways) if way not in ways[:place]]
        first, way = self._calls.send(lambda prompt: self._write_first(prompt, ways), prompts[0])
        return [first, *self._calls.send_all(lambda prompt: self._write(prompt, way), prompts[1:])]

    def _write_first(self, prompt: Prompt, ways: Sequence[dict[str, Any]]) -> tuple[Generation, dict[str, Any]]:
        """Use the first set of parameters that the provider accepts."""
        for way in ways[:-1]:
            with contextlib.suppress(_UnableError):
                return self._write(prompt, way), way
        return self._write(prompt, ways[-1]), ways[-1]

    def _write(self, prompt: Prompt, how: dict[str, Any]) -> Generation:
        """Send once.

        Raises:
            Busy: The failure is transient.
            ModelError: The failure is permanent.
        """
        import httpx2
        from huggingface_hub.errors import HfHubHTTPError, InferenceTimeoutError

        try:
            with connections.within(self.settings.timeout):
                parameters = {name: value for name, value in how.items() if value != {}}
                answer = self._client.chat_completion([{"role": "user", "content": prompt.text}], **parameters)
        except (InferenceTimeoutError, httpx2.TransportError, httpx2.DecodingError, ConnectionError) as error:
            raise Busy(first_line_scrubbed(error) or type(error).__name__) from error
        except (
            json.JSONDecodeError,
            UnicodeDecodeError,
            RecursionError,
        ) as error:  # the last for NaN, which is not JSON
            raise Busy("a response that is not JSON") from error
        except HfHubHTTPError as error:
            status, header, message = _response(error)
            if status in PASSING:
                raise Busy(describe_error(status, {"error": message}), header) from error
            kind = _UnableError if status in UNABLE else ModelError
            refusal = describe_error(status, {"error": message})
            raise kind(
                f"The Inference {self.place} rejected a request for {self.model_name}: {refusal}.",
                hint=REMEDIES.get(status, "See the model's page for its providers, and engine.provider."),
            ) from None
        return _read(answer, self)

    @cached_property
    def _client(self) -> Any:
        from huggingface_hub import InferenceClient

        limit_waiting()  # the client uses the Hub's connections
        check_token(self._token, self.place)
        url = self.settings.url
        where: dict[str, Any] = {"base_url": url} if url else {"provider": self.settings.provider}
        where |= {} if url else {"model": self.model_name}
        return InferenceClient(**where, token=self._token, timeout=self.settings.timeout)


class _UnableError(ModelError):
    """The provider does not support a parameter."""


def _response(error: Any) -> tuple[int, float, str]:
    """Status, Retry-After in seconds, and message of a rejected request."""
    response = getattr(error, "response", None)
    status = int(getattr(response, "status_code", 0) or 0)
    header = retry_after(response.headers.get("retry-after")) if response is not None else 0.0
    return status, header, str(getattr(error, "server_message", None) or error).split("\n")[0]


def _read(answer: Any, engine: ProviderEngine) -> Generation:
    if not answer.choices:
        raise ModelError(f"{engine.title} returned no choices.", hint="See the model's page for its providers.")
    choice = answer.choices[0]
    text = str(choice.message.content or "")
    line, line_end, _ = text.lstrip("\n").partition("\n")
    content = getattr(getattr(choice, "logprobs", None), "content", None) or []
    total: float | None = None
    tokens = engine.count_tokens([text])[0]
    if content:
        tokens = first_line([piece.token for piece in content])
        total = sum(log_probability(piece.logprob, engine.title) for piece in content[:tokens])
    return Generation(line.strip(), tokens, total, bool(line_end) or choice.finish_reason in ("stop", "eos_token"))
