"""The base model behind an OpenAI-compatible server: vLLM, llama.cpp, TGI, `transformers serve` and the like.

Options are scored where the server tells the log-probabilities of a prompt's own tokens (`/v1/completions` with `echo`
and `logprobs`); the prompt then goes out as token ids, made by the base model's own tokenizer, so that both sides read
the same tokens. Other servers write the answer, and there is no confidence. What a server can do is found out by
asking it, once.
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
from solo_hub.models.agreement import Agreement, Contradiction
from solo_hub.models.base_files import prefix_tokens
from solo_hub.models.calls import Busy
from solo_hub.models.remote import RemoteModel, spelt
from solo_hub.models.wire import OK, TOO_LARGE, Wire, is_choice, log_probability, model_names, said

UNABLE = frozenset({400, 404, 405, 415, 422, 501})
"""Status codes by which a server says that it does not know a route or a parameter."""
UNLISTED = frozenset({404, 405, 501})
"""Status codes by which a server says that it does not list its models; after any other nobody knows what it has."""
REMEDIES = {
    401: "Name the environment variable that holds its token with engine.token_variable.",
    403: "Use a token that may call it; engine.token_variable names the environment variable.",
    404: "Check engine.url and engine.model.",
    413: "Give fewer or shorter passages, or raise the server's limit.",
}


@dataclass(frozen=True, slots=True)
class Abilities:
    """What a server can do.

    Attributes:
        route: `completions`, or `chat` where there is nothing else.
        scores: `ids` or `text`: how a prompt is sent whose log-probabilities are told; None when they are not.
        tells: Whether the log-probabilities of what it writes are told.
        adds: Whether it puts the tokenizer's special tokens in front of a text by itself.
    """

    route: str
    scores: str | None
    tells: bool
    adds: bool = True


class ServedEngine(RemoteModel):
    """Fits `plugins.Engine`.

    Args:
        path: Local snapshot of the base model: its tokenizer and configuration are read, its weights are not.
        identity: Repo and commit.
        settings: The section `engine` of the configuration.

    Raises:
        ConfigError: No address, or the variable for the token is not set.
    """

    kind: ClassVar[str] = "openai"
    _undoes = True  # whether the server takes parameters that undo its defaults

    @property
    def title(self) -> str:
        """What it is called in messages."""
        return f"The server {self.place}"

    @property
    def place(self) -> str:
        """Where the server is, for messages."""
        return self._url

    @cached_property
    def _url(self) -> str:
        if not self.settings.url:
            raise ConfigError(
                f"The engine '{self.kind}' needs the server's address.",
                hint="Set engine.url, e.g. --set engine.url=http://127.0.0.1:8000.",
            )
        return self.settings.url.rstrip("/").removesuffix("/v1")

    @property
    def identity(self) -> str:
        """Model and commit, kind of engine, the served name, whether it tells log-probabilities; not the address."""
        told = "log-probabilities" if self.abilities.scores else "text alone"
        return f"{self.name} {self.kind} {self.model_name} {told}"

    def chat(self, text: str) -> Prompt:
        """A user's message in the model's chat format; as it is where the server itself puts it into that format."""
        if self.abilities.route == "chat":
            return Prompt(text, special_tokens=False)
        return self.chat_format.prompt(text)

    # -- what it can do ----------------------------------------------------------------------------------------------

    @cached_property
    def model_name(self) -> str:
        """The name the server knows the base model by.

        Raises:
            ConfigError: It serves several models, none of them under the base's name.
            ModelError: It refuses to say, or does not answer.
        """
        if self.settings.model:
            return self.settings.model
        base = self.name.partition("@")[0]

        def ask(path: str) -> tuple[int, Any]:
            status, answer = self._wire.send("GET", path)
            if status == OK and base not in model_names(answer):
                # a name that is not the base's becomes part of who the teacher is: it must come twice
                _, once_more = self._wire.send("GET", path)
                if model_names(once_more) != model_names(answer):
                    raise Busy("two lists of models that differ")
            return status, answer

        status, answer = self._calls.send(ask, "/v1/models")
        if status not in (OK, *UNLISTED):
            raise ModelError(
                f"The server {self.place} does not say which models it has: {said(status, answer)}.",
                hint=REMEDIES.get(status, "Set engine.model to the name the base model has there."),
            )
        served = model_names(answer)
        if base in served or not served:
            return base
        if len(served) == 1:
            return served[0]
        raise ConfigError(
            f"The server {self.place} does not serve '{base}'.",
            hint=f"Set engine.model to the name it has there. {nearest(base, served)}",
        )

    @cached_property
    def abilities(self) -> Abilities:
        """Find out what the server can do by asking it small things.

        Raises:
            ModelError: It can do nothing we need, or does not answer.
        """
        bare = self.tokenizer("Question: What is rain?\nAnswer: water", add_special_tokens=False)["input_ids"]
        ids, text = [*self._prefix, *bare], self.tokenizer.decode(bare)  # the server adds what belongs before a text
        refused: tuple[int, Any] | None = None
        writes = tells = False
        adds = True
        for how, prompt in (("ids", [ids]), ("text", text), (None, text)):
            body = {"prompt": prompt, "max_tokens": 1, "temperature": 0, "logprobs": 1}
            for _ in range(2 if how else 1):  # what it cannot do holds for the whole run: it must say so twice
                status, answer = self._post("/v1/completions", body | ({"echo": True} if how else {}))
                if status != OK:
                    break
                told = self._told(self._choices(answer, 1)[0])
                adds = how == "ids" or self._adds(answer, told if how else None, bare)
                least = len(ids) if adds else len(bare)
                if how and told is not None and len(told) >= least and told[0] is None:
                    return Abilities("completions", how, tells=True, adds=adds)
            if status == OK:
                writes, tells = True, tells or (how is None and told is not None)
            elif status in UNABLE:
                refused = (status, answer)
            else:
                raise self._refusal(status, answer)
        if writes:
            return Abilities("completions", None, tells, adds)
        status, answer = self._post("/v1/completions", {"prompt": text, "max_tokens": 1, "temperature": 0})
        if status == OK:
            return Abilities("completions", None, tells=False, adds=self._adds(answer, None, bare))
        message = [{"role": "user", "content": text}]
        status, answer = self._post("/v1/chat/completions", {"messages": message, "max_tokens": 1, "temperature": 0})
        if status == OK:
            return Abilities("chat", None, tells=False)
        raise self._refusal(*(refused or (status, answer)))

    def _adds(self, answer: Any, told: Sequence[Any] | None, bare: Sequence[int]) -> bool:
        """Whether a server that was sent a text has put special tokens in front of it; by its own count of tokens."""
        usage = answer.get("usage") if isinstance(answer, Mapping) else None
        count = usage.get("prompt_tokens") if isinstance(usage, Mapping) else None
        if isinstance(count, int) and count in (len(bare), len(bare) + len(self._prefix)):
            return count > len(bare) or not self._prefix
        return told is None or len(told) >= len(bare) + len(self._prefix)

    @cached_property
    def _prefix(self) -> list[int]:
        return prefix_tokens(self.tokenizer)

    def _text(self, prompt: Prompt) -> str:
        """A prompt as text, so that its special tokens are read once: by us or by the server, never by both."""
        start = spelt(self.tokenizer, self._prefix)
        if self.abilities.adds:
            return prompt.text if prompt.special_tokens else prompt.text.removeprefix(start)
        return start + prompt.text if prompt.special_tokens else prompt.text

    # -- scoring -----------------------------------------------------------------------------------------------------

    def score(self, prompts: Sequence[Prompt], continuations: Sequence[Sequence[str]]) -> list[list[float] | None]:
        """Log-probability of each continuation after its prompt (natural log); None where the server does not tell."""
        how = self.abilities.scores
        if how is None:
            return [None] * len(prompts)
        asked = []
        for prompt, options in zip(prompts, continuations, strict=True):
            head, branches = loading.encode(self.tokenizer, self.name, prompt, options)
            asked.append((len(head), [[*head, *branch] for branch in branches]))
        if how == "text":  # one text a request: servers that know no token ids often know no lists either
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
        status, answer = self._agreed("/v1/completions", body, [range(head, len(row)) for row in rows], rows)
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
        status, answer = self._agreed("/v1/completions", body, [range(head, len(row))], [row])
        if status != OK:
            raise self._refusal(status, answer)
        return [self._sum(self._choices(answer, 1)[0], head, row)]

    def _sum(self, choice: Mapping[str, Any], head: int, row: Sequence[int]) -> float:
        """Log-probability of the tokens behind the prompt; one more may follow, which the server wrote."""
        told = self._told(choice)
        if told is None or len(told) not in (len(row), len(row) + 1) or None in told[head : len(row)]:
            raise ModelError(
                f"The server {self.place} read {len(told or ())} tokens where {self.name} has {len(row)}.",
                hint="Serve the base model of this run, with its own tokenizer; engine.model names it.",
            )
        return float(sum(value for value in told[head : len(row)] if value is not None))

    # -- writing -----------------------------------------------------------------------------------------------------

    def generate(self, prompts: Sequence[Prompt], max_new_tokens: int) -> list[Generation]:
        """Greedy decoding up to the end of the turn or of the line, one text a prompt."""
        return self._write(prompts, {"max_tokens": max_new_tokens, "temperature": 0}, tells=self.abilities.tells)

    def sample(self, prompts: Sequence[Prompt], max_new_tokens: int, *, seed: int) -> list[Generation]:
        """Like `generate`, but drawn by the model itself; whether a seed repeats is up to the server."""
        return self._write(prompts, {"max_tokens": max_new_tokens, "temperature": 1.0, "seed": seed}, tells=False)

    def _write(self, prompts: Sequence[Prompt], how: Mapping[str, Any], *, tells: bool) -> list[Generation]:
        chat = self.abilities.route == "chat"
        path = "/v1/chat/completions" if chat else "/v1/completions"
        undoing = self.plain_decoding(sampled=how["temperature"] > 0)

        def write(prompt: Prompt) -> Generation:
            body: dict[str, Any] = dict(how)
            body |= self._asked(prompt)
            body |= {"logprobs": 1} if tells else {}
            written = [range(how["max_tokens"])]
            status, answer = self._agreed(path, body | (undoing if self._undoes else {}), written)
            if undoing and self._undoes and status in UNABLE:
                status, answer = self._agreed(path, body, written)
                self._undoes = status != OK  # what a server does not know it does not do
            if status != OK:
                raise self._refusal(status, answer)
            choice = self._choices(answer, 1)[0]
            text = choice.get("text") if not chat else (choice.get("message") or {}).get("content")
            return self.read(str(text or ""), choice, answer)

        return self._calls.send_all(write, prompts)

    def _asked(self, prompt: Prompt) -> dict[str, Any]:
        """A prompt as the server takes it: as token ids where it can, so that both sides read the same."""
        if self.abilities.route == "chat":
            variables = self.template_variables
            asked: dict[str, Any] = {"messages": [{"role": "user", "content": prompt.text}]}
            return asked | ({"chat_template_kwargs": variables} if variables else {})
        if self.abilities.scores == "ids":
            return {"prompt": [self.tokenizer(prompt.text, add_special_tokens=prompt.special_tokens)["input_ids"]]}
        return {"prompt": self._text(prompt)}

    def read(self, text: str, choice: Mapping[str, Any], answer: Mapping[str, Any]) -> Generation:
        """What was written, up to the end of its first line."""
        line, line_end, _ = text.lstrip("\n").partition("\n")
        usage = answer.get("usage")
        count = usage.get("completion_tokens") if isinstance(usage, Mapping) else None
        tokens = count if isinstance(count, int) and count > 0 else self.count_tokens([text])[0]
        told, spelt = self._told(choice), (choice.get("logprobs") or {}).get("tokens")
        total: float | None = None
        if told is not None and isinstance(spelt, list) and len(spelt) == len(told) and None not in told:
            tokens = first_line(spelt)
            total = float(sum(value for value in told[:tokens] if value is not None))
        return Generation(line.strip(), tokens, total, bool(line_end) or choice.get("finish_reason") == "stop")

    # -- the wire ----------------------------------------------------------------------------------------------------

    @cached_property
    def _agreement(self) -> Agreement:
        return Agreement(self.tokenizer)

    @cached_property
    def _wire(self) -> Wire:
        import httpx2

        headers = {"authorization": f"Bearer {self._token}"} if self._token else {}
        timeout = httpx2.Timeout(self.settings.timeout, connect=min(self.settings.timeout, 10.0))
        limits = httpx2.Limits(max_connections=self.settings.concurrency)
        client = httpx2.Client(base_url=self._url, headers=headers, timeout=timeout, limits=limits)
        return Wire(client, httpx2, self.settings.timeout, self)

    def _post(self, path: str, body: dict[str, Any]) -> tuple[int, Any]:
        self.model_name  # noqa: B018 - asked for now: a request inside a request would wait for itself
        return self._calls.send(lambda content: self._try(path, content), body)

    def _try(self, path: str, body: dict[str, Any]) -> tuple[int, Any]:
        """Send once.

        Raises:
            Busy: It may work later.
        """
        return self._wire.send("POST", path, {"model": self.model_name, **body})

    def _agreed(
        self, path: str, body: dict[str, Any], places: Sequence[range], rows: Sequence[Sequence[int]] = ()
    ) -> tuple[int, Any]:
        """Send once, and once more where an answer contradicts itself or the question: it may have changed on the way.

        A server that contradicts at the same places again always does so there: two of its tokens may look alike.

        Args:
            path: Of the route.
            body: What is asked.
            places: For each choice, the tokens whose log-probabilities matter.
            rows: For each choice, the tokens of the prompt; none where they are not told.

        Raises:
            Busy: It may work later.
        """

        def ask() -> tuple[int, Any, list[Contradiction]]:
            status, answer = self._try(path, body)
            if status != OK:
                return status, answer, []
            choices = self._choices(answer, len(places))
            return status, answer, self._agreement.contradictions(choices, places, rows)

        status, answer, doubts = ask()
        if doubts:
            status, answer, lasting = ask()
            if lasting and lasting != doubts:
                raise Busy("an answer that contradicts itself")
            self._agreement.accept(lasting)
        return status, answer

    def _choices(self, answer: Any, count: int) -> list[Mapping[str, Any]]:
        choices = answer.get("choices") if isinstance(answer, Mapping) else None
        if not isinstance(choices, list) or len(choices) != count or not all(map(is_choice, choices)):
            raise ModelError(
                f"The server {self.place} did not answer with {count} choice(s).",
                hint="Is it an OpenAI-compatible server?",
            )
        numbers = [choice.get("index") or 0 for choice in choices]
        if any(numbers) and count > 1 and sorted(numbers) != list(range(count)):  # some servers give none
            raise Busy(f"choices numbered {', '.join(map(str, numbers))[:LONGEST]}")
        return sorted(choices, key=lambda choice: choice.get("index") or 0)

    def _told(self, choice: Mapping[str, Any]) -> list[float | None] | None:
        """Log-probability of each token of a choice; None for the first of a prompt, which nothing precedes.

        Raises:
            ModelError: What the server tells is none.
        """
        given = (choice.get("logprobs") or {}).get("token_logprobs")
        if not isinstance(given, list) or not given:
            return None
        return [None if value is None else log_probability(value, self.title) for value in given]

    def _refusal(self, status: int, answer: Any) -> ModelError:
        return ModelError(
            f"The server {self.place} refused a request for {self.model_name}: {said(status, answer)}.",
            hint=REMEDIES.get(status, "See the server's log."),
        )

    def close(self) -> None:
        """Close the connections."""
        self._wire.client.close()


def first_line(tokens: Sequence[str]) -> int:
    r"""How many tokens make up the first line that has something in it, the line end included.

    >>> first_line(["\n", "melting", " snow", "\n", "Question"])
    4
    """
    written = ""
    for count, token in enumerate(tokens, start=1):
        written += token
        if "\n" in written.lstrip("\n"):
            return count
    return len(tokens)
