"""The base model on an OpenAI-compatible server: vLLM, llama.cpp, TGI, `transformers serve` and the like.

Options are scored if the server returns log-probabilities of prompt tokens (`/v1/completions` with `echo` and
`logprobs`); the prompt is then sent as token ids of the base model's own tokenizer, so that both sides have the same
tokens. Other servers generate the answer, without a confidence. A server's abilities are detected once by requests.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

from solo_hub.core.errors import ConfigError, ModelError, nearest
from solo_hub.core.plugins import Generation, Prompt
from solo_hub.core.redaction import LONGEST
from solo_hub.models import loading
from solo_hub.models.base_files import prefix_tokens
from solo_hub.models.calls import Busy
from solo_hub.models.remote import RemoteModel, token_text
from solo_hub.models.wire import OK, TOO_LARGE, Wire, describe_error, is_choice, log_probability, model_names

UNABLE = frozenset({400, 404, 405, 415, 422, 501})
"""Status codes for an unsupported route or parameter."""
UNLISTED = frozenset({404, 405, 501})
"""Status codes for a server that does not list its models; any other is an error."""
REMEDIES = {
    401: "Set engine.token_variable to the environment variable with the server's token.",
    403: "Use a token with access; engine.token_variable is the environment variable.",
    404: "Check engine.url and engine.model.",
    413: "Use fewer or shorter passages, or raise the server's limit.",
}


@dataclass(frozen=True, slots=True)
class Abilities:
    """A server's abilities.

    Attributes:
        route: `completions`, or `chat` if there is nothing else.
        scores: How prompts are sent to get their log-probabilities: `ids` or `text`; None if unsupported.
        has_logprobs: Whether it returns log-probabilities of generated tokens.
        adds: Whether it adds the tokenizer's special tokens to the start of a text.
    """

    route: str
    scores: str | None
    has_logprobs: bool
    adds: bool = True


class ServedEngine(RemoteModel):
    """Implements `plugins.Engine`.

    Args:
        path: Local snapshot of the base model: its tokenizer and configuration are read, its weights are not.
        identity: Repo and commit.
        settings: The section `engine` of the configuration.

    Raises:
        ConfigError: There is no URL, or the variable for the token is not set.
    """

    kind: ClassVar[str] = "openai"
    _resets_defaults = True  # whether the server accepts parameters that reset its defaults

    @property
    def title(self) -> str:
        """Its name in messages."""
        return f"The server {self.place}"

    @property
    def place(self) -> str:
        """Where the server is, for messages."""
        return self._url

    @cached_property
    def _url(self) -> str:
        if not self.settings.url:
            raise ConfigError(
                f"The engine '{self.kind}' needs the server's URL.",
                hint="Set engine.url, e.g. --set engine.url=http://127.0.0.1:8000.",
            )
        return self.settings.url.rstrip("/").removesuffix("/v1")

    @property
    def identity(self) -> str:
        """Model and commit, engine, served name, whether it returns log-probabilities; without the URL."""
        ability = "log-probabilities" if self.abilities.scores else "text alone"
        return f"{self.name} {self.kind} {self.model_name} {ability}"

    def chat(self, text: str) -> Prompt:
        """A user's message in the model's chat format; unchanged if the server applies the chat template."""
        if self.abilities.route == "chat":
            return Prompt(text, special_tokens=False)
        return self.chat_format.prompt(text)

    # -- abilities ----------------------------------------------------------------------------------------------------

    @cached_property
    def model_name(self) -> str:
        """The base model's name on the server.

        Raises:
            ConfigError: It serves several models, none with the base's name.
            ModelError: It does not list its models, or does not respond.
        """
        if self.settings.model:
            return self.settings.model
        base = self.name.partition("@")[0]

        status, answer = self._calls.send(lambda path: self._wire.send("GET", path), "/v1/models")
        if status not in (OK, *UNLISTED):
            raise ModelError(
                f"The server {self.place} does not list its models: {describe_error(status, answer)}.",
                hint=REMEDIES.get(status, "Set engine.model to the base model's name there."),
            )
        served = model_names(answer)
        if base in served or not served:
            return base
        if len(served) == 1:
            return served[0]
        raise ConfigError(
            f"The server {self.place} does not serve '{base}'.",
            hint=f"Set engine.model to its name there. {nearest(base, served)}",
        )

    @cached_property
    def abilities(self) -> Abilities:
        """Detect the server's abilities with small requests.

        Raises:
            ModelError: It has none of the required abilities, or does not respond.
        """
        bare = self.tokenizer("Question: What is rain?\nAnswer: water", add_special_tokens=False)["input_ids"]
        ids, text = [*self._prefix, *bare], self.tokenizer.decode(bare)  # the server adds the prefix to a text
        refused: tuple[int, Any] | None = None
        writes = has_logprobs = False
        adds = True
        for how, prompt in (("ids", [ids]), ("text", text), (None, text)):
            body = {"prompt": prompt, "max_tokens": 1, "temperature": 0, "logprobs": 1}
            status, answer = self._post("/v1/completions", body | ({"echo": True} if how else {}))
            if status in UNABLE:
                refused = (status, answer)
                continue
            if status != OK:
                raise self._refusal(status, answer)
            values = self._logprobs(self._choices(answer, 1)[0])
            adds = how == "ids" or self._adds(answer, values if how else None, bare)
            least = len(ids) if adds else len(bare)
            if how and values is not None and len(values) >= least and values[0] is None:
                return Abilities("completions", how, has_logprobs=True, adds=adds)
            writes, has_logprobs = True, has_logprobs or (how is None and values is not None)
        if writes:
            return Abilities("completions", None, has_logprobs, adds)
        status, answer = self._post("/v1/completions", {"prompt": text, "max_tokens": 1, "temperature": 0})
        if status == OK:
            return Abilities("completions", None, has_logprobs=False, adds=self._adds(answer, None, bare))
        message = [{"role": "user", "content": text}]
        status, answer = self._post("/v1/chat/completions", {"messages": message, "max_tokens": 1, "temperature": 0})
        if status == OK:
            return Abilities("chat", None, has_logprobs=False)
        raise self._refusal(*(refused or (status, answer)))

    def _adds(self, answer: Any, values: Sequence[Any] | None, bare: Sequence[int]) -> bool:
        """Whether the server added special tokens to a text, according to its token count."""
        usage = answer.get("usage") if isinstance(answer, Mapping) else None
        count = usage.get("prompt_tokens") if isinstance(usage, Mapping) else None
        if isinstance(count, int) and count in (len(bare), len(bare) + len(self._prefix)):
            return count > len(bare) or not self._prefix
        return values is None or len(values) >= len(bare) + len(self._prefix)

    @cached_property
    def _prefix(self) -> list[int]:
        return prefix_tokens(self.tokenizer)

    def _text(self, prompt: Prompt) -> str:
        """A prompt as text, with special tokens added exactly once: here or by the server."""
        start = token_text(self.tokenizer, self._prefix)
        if self.abilities.adds:
            return prompt.text if prompt.special_tokens else prompt.text.removeprefix(start)
        return start + prompt.text if prompt.special_tokens else prompt.text

    # -- scoring -----------------------------------------------------------------------------------------------------

    def score(self, prompts: Sequence[Prompt], continuations: Sequence[Sequence[str]]) -> list[list[float] | None]:
        """Log-probability of each continuation after its prompt (natural log); None if unsupported."""
        how = self.abilities.scores
        if how is None:
            return [None] * len(prompts)
        asked = []
        for prompt, options in zip(prompts, continuations, strict=True):
            head, branches = loading.encode(self.tokenizer, self.name, prompt, options)
            asked.append((len(head), [[*head, *branch] for branch in branches]))
        if how == "text":  # one text per request: servers without token ids often do not support lists either
            single = [(size, [row]) for size, rows in asked for row in rows]
            flat = self._calls.send_all(self._score_texts, single)
            scored, at = [], 0
            for _, rows in asked:
                scored.append([value for (value,) in flat[at : at + len(rows)]])
                at += len(rows)
            return list(scored)
        return list(self._calls.send_all(self._score_rows, asked))

    def _score_rows(self, asked: tuple[int, list[list[int]]]) -> list[float]:
        head, rows = asked
        body = {"prompt": rows, "max_tokens": 1, "temperature": 0, "logprobs": 1, "echo": True}
        status, answer = self._try("/v1/completions", body)
        if status == TOO_LARGE and len(rows) > 1:
            half = len(rows) // 2
            return self._score_rows((head, rows[:half])) + self._score_rows((head, rows[half:]))
        if status != OK:
            raise self._refusal(status, answer)
        return [
            self._sum(choice, head, row) for choice, row in zip(self._choices(answer, len(rows)), rows, strict=True)
        ]

    def _score_texts(self, asked: tuple[int, list[list[int]]]) -> list[float]:
        head, (row,) = asked
        prefix = self._prefix if self.abilities.adds else []
        text = self.tokenizer.decode(row[len(prefix) :] if row[: len(prefix)] == prefix else row)
        body = {"prompt": text, "max_tokens": 1, "temperature": 0, "logprobs": 1, "echo": True}
        status, answer = self._try("/v1/completions", body)
        if status != OK:
            raise self._refusal(status, answer)
        return [self._sum(self._choices(answer, 1)[0], head, row)]

    def _sum(self, choice: Mapping[str, Any], head: int, row: Sequence[int]) -> float:
        """Log-probability of the tokens after the prompt, which one generated token may follow."""
        values = self._logprobs(choice)
        if values is None or len(values) not in (len(row), len(row) + 1) or None in values[head : len(row)]:
            raise ModelError(
                f"The server {self.place} read {len(values or ())} tokens where {self.name} has {len(row)}.",
                hint="Serve the base model of this run with its own tokenizer; engine.model is its name.",
            )
        return float(sum(v for v in values[head : len(row)] if v is not None))

    # -- writing -----------------------------------------------------------------------------------------------------

    def generate(self, prompts: Sequence[Prompt], max_new_tokens: int) -> list[Generation]:
        """Decode greedily up to the end of the turn or of the line; one text per prompt."""
        return self._write(
            prompts, {"max_tokens": max_new_tokens, "temperature": 0}, logprobs=self.abilities.has_logprobs
        )

    def sample(self, prompts: Sequence[Prompt], max_new_tokens: int, *, seed: int) -> list[Generation]:
        """Like `generate`, but sampled; whether the seed is honoured is up to the server."""
        return self._write(prompts, {"max_tokens": max_new_tokens, "temperature": 1.0, "seed": seed}, logprobs=False)

    def _write(self, prompts: Sequence[Prompt], how: Mapping[str, Any], *, logprobs: bool) -> list[Generation]:
        chat = self.abilities.route == "chat"
        path = "/v1/chat/completions" if chat else "/v1/completions"
        resets = self.plain_decoding(sampled=how["temperature"] > 0)

        def write(prompt: Prompt) -> Generation:
            body: dict[str, Any] = dict(how)
            body |= self._asked(prompt)
            body |= {"logprobs": 1} if logprobs else {}
            status, answer = self._try(path, body | (resets if self._resets_defaults else {}))
            if resets and self._resets_defaults and status in UNABLE:
                status, answer = self._try(path, body)
                self._resets_defaults = status != OK  # unsupported parameters have no defaults to reset
            if status != OK:
                raise self._refusal(status, answer)
            choice = self._choices(answer, 1)[0]
            text = choice.get("text") if not chat else (choice.get("message") or {}).get("content")
            return self.read(str(text or ""), choice, answer)

        return self._calls.send_all(write, prompts)

    def _asked(self, prompt: Prompt) -> dict[str, Any]:
        """The prompt's part of a request: as token ids if supported, so that both sides have the same tokens."""
        if self.abilities.route == "chat":
            variables = self.template_variables
            asked: dict[str, Any] = {"messages": [{"role": "user", "content": prompt.text}]}
            return asked | ({"chat_template_kwargs": variables} if variables else {})
        if self.abilities.scores == "ids":
            return {"prompt": [self.tokenizer(prompt.text, add_special_tokens=prompt.special_tokens)["input_ids"]]}
        return {"prompt": self._text(prompt)}

    def read(self, text: str, choice: Mapping[str, Any], answer: Mapping[str, Any]) -> Generation:
        """The generated text, up to the end of its first line."""
        line, line_end, _ = text.lstrip("\n").partition("\n")
        usage = answer.get("usage")
        count = usage.get("completion_tokens") if isinstance(usage, Mapping) else None
        tokens = count if isinstance(count, int) and count > 0 else self.count_tokens([text])[0]
        values, strings = self._logprobs(choice), (choice.get("logprobs") or {}).get("tokens")
        total: float | None = None
        if values is not None and isinstance(strings, list) and len(strings) == len(values) and None not in values:
            tokens = first_line(strings)
            total = float(sum(v for v in values[:tokens] if v is not None))
        return Generation(line.strip(), tokens, total, bool(line_end) or choice.get("finish_reason") == "stop")

    # -- requests ----------------------------------------------------------------------------------------------------

    @cached_property
    def _wire(self) -> Wire:
        import httpx2

        headers = {"authorization": f"Bearer {self._token}"} if self._token else {}
        timeout = httpx2.Timeout(self.settings.timeout, connect=min(self.settings.timeout, 10.0))
        limits = httpx2.Limits(max_connections=self.settings.concurrency)
        client = httpx2.Client(base_url=self._url, headers=headers, timeout=timeout, limits=limits)
        return Wire(client, httpx2, self.settings.timeout, self)

    def _post(self, path: str, body: dict[str, Any]) -> tuple[int, Any]:
        self.model_name  # noqa: B018 - evaluated before sending: a nested request would deadlock
        return self._calls.send(lambda content: self._try(path, content), body)

    def _try(self, path: str, body: dict[str, Any]) -> tuple[int, Any]:
        """Send once.

        Raises:
            Busy: The failure is transient.
        """
        return self._wire.send("POST", path, {"model": self.model_name, **body})

    def _choices(self, answer: Any, count: int) -> list[Mapping[str, Any]]:
        choices = answer.get("choices") if isinstance(answer, Mapping) else None
        if not isinstance(choices, list) or len(choices) != count or not all(map(is_choice, choices)):
            raise ModelError(
                f"The server {self.place} did not return {count} choice(s).",
                hint="Check that it is an OpenAI-compatible server.",
            )
        numbers = [choice.get("index") or 0 for choice in choices]
        if any(numbers) and count > 1 and sorted(numbers) != list(range(count)):  # some servers return none
            raise Busy(f"choices numbered {', '.join(map(str, numbers))[:LONGEST]}")
        return sorted(choices, key=lambda choice: choice.get("index") or 0)

    def _logprobs(self, choice: Mapping[str, Any]) -> list[float | None] | None:
        """Log-probability of each token of a choice; None for the first token of a prompt.

        Raises:
            ModelError: A value is invalid.
        """
        given = (choice.get("logprobs") or {}).get("token_logprobs")
        if not isinstance(given, list) or not given:
            return None
        return [None if value is None else log_probability(value, self.title) for value in given]

    def _refusal(self, status: int, answer: Any) -> ModelError:
        return ModelError(
            f"The server {self.place} rejected a request for {self.model_name}: {describe_error(status, answer)}.",
            hint=REMEDIES.get(status, "See the server's log; if it has another name for the model, set engine.model."),
        )

    def close(self) -> None:
        """Close the connections."""
        self._wire.client.close()


def first_line(tokens: Sequence[str]) -> int:
    r"""Number of tokens of the first non-blank line, including the line end.

    >>> first_line(["\n", "melting", " snow", "\n", "Question"])
    4
    """
    written = ""
    for count, token in enumerate(tokens, start=1):
        written += token
        if "\n" in written.lstrip("\n"):
            return count
    return len(tokens)
