"""A server that speaks the OpenAI interface around the tiny model, over a real socket, with queued troubles.

What it can do is chosen: `ids` and `text` score a prompt's own tokens (as vLLM and llama-cpp-python do), `writes` only
writes, `chat` knows chat messages alone. Each request for an answer meets the next queued trouble.
"""

from __future__ import annotations

import json
import threading

from loopback import LoopbackServer, answer, befall, brought, may_enter, read

from solo_hub.core.plugins import Prompt

CHAT_LOG_PROBABILITY = -2.0


class OpenAIServer(LoopbackServer):
    """`with OpenAIServer(engine) as server: server.url`.

    Args:
        engine: A `CausalEngine` that answers.
        does: `ids`, `text`, `writes` or `chat`.
        token: Token asked for, or None.
        models: Names it lists; None for a server that lists none.
        largest: Most prompts in a request before 413.
        tells: Whether it tells the log-probabilities of what it writes.
        likeliest: Whether it tells the likeliest token of every place besides.
    """

    def __init__(
        self, engine, *, does="ids", token=None, models=("tests/tiny",), largest=100, tells=True, likeliest=True
    ):
        super().__init__()
        self.engine, self.does, self.token, self.models, self.largest = engine, does, token, models, largest
        self.tells, self.likeliest = tells, likeliest
        self.bodies, self.busiest, self._now = [], 0, 0
        self.usage = None  # how many tokens it says a prompt had
        self._model = threading.Lock()

    def get(self, request):
        if self.models is None:
            answer(request, 404, {"error": {"message": "no list"}})
        else:
            answer(request, 200, {"object": "list", "data": [{"id": name} for name in self.models]})

    def post(self, request):
        body = json.loads(read(request))
        if not may_enter(request, self.token):
            answer(request, 401, {"error": {"message": f"Invalid token provided: {brought(request)}"}})
            return
        kind = self.next_trouble()
        with self.lock:
            self.bodies.append((request.path, body))
            self._now += 1
            self.busiest = max(self.busiest, self._now)
        try:
            self._answer(request, body, kind)
        finally:
            with self.lock:
                self._now -= 1

    def _answer(self, request, body, kind):
        if kind == "page":
            answer(request, 200, b"<html>not JSON</html>")
        elif kind == "brackets":
            answer(request, 200, b"[" * 100_000)
        elif kind is not None and befall(request, kind):
            pass
        elif request.path == "/v1/chat/completions":
            self._chat(request, body)
        elif self.does == "chat":
            answer(request, 404, {"detail": "Not Found"})
        else:
            self._complete(request, body)

    def _complete(self, request, body):
        prompts = body["prompt"]
        as_ids = not isinstance(prompts, str)
        if as_ids and self.does != "ids":
            answer(request, 400, {"error": "prompt must be a string."})
            return
        prompts = prompts if as_ids else [prompts]
        if len(prompts) > self.largest:
            answer(request, 413, {"error": {"message": "too many prompts"}})
            return
        with self._model:
            if body.get("echo") and self.does in ("ids", "text"):
                choices = [self._echo(i, p) for i, p in enumerate(prompts)]
            else:
                choices = [self._write(i, p, body) for i, p in enumerate(prompts)]
        # the order of choices is the server's own
        usage = {"completion_tokens": len(choices)} | ({"prompt_tokens": self.usage} if self.usage else {})
        answer(request, 200, {"choices": choices[::-1], "usage": usage})

    def _ids(self, prompt):
        return prompt if not isinstance(prompt, str) else self.engine.tokenizer(prompt)["input_ids"]

    def _echo(self, index, prompt):
        import torch

        ids = self._ids(prompt)
        with torch.inference_mode():
            logits = self.engine.model(torch.tensor([ids])).logits[0].log_softmax(-1)
        ids = [*ids, int(logits[-1].argmax())]
        spelt = [self.engine.tokenizer.decode([token]) for token in ids]
        told, likeliest = [None], [None]
        for place, token in enumerate(ids[1:]):
            value, best = float(logits[place, token]), int(logits[place].argmax())
            told.append(value)
            # as vLLM has it: of two tokens that look alike the likeliest is told
            likeliest.append(
                {spelt[place + 1]: value, self.engine.tokenizer.decode([best]): float(logits[place, best])}
            )
        told = {"tokens": spelt, "token_logprobs": told, "top_logprobs": likeliest if self.likeliest else None}
        return {"index": index, "text": "...", "logprobs": told, "finish_reason": "length"}

    def _write(self, index, prompt, body):
        text = prompt if isinstance(prompt, str) else self.engine.tokenizer.decode(prompt)
        written = self._say(Prompt(text), body)
        choice = {"index": index, "text": f" {written.text}\nQuestion", "finish_reason": "length"}
        if body.get("logprobs") and self.tells:
            choice["logprobs"] = {"tokens": [" ", written.text, "\n", "Question"], "token_logprobs": [-0.5, -1, 0, -9]}
        return choice

    def _say(self, prompt, body):
        if body.get("temperature"):
            return self.engine.sample([prompt], body["max_tokens"], seed=body["seed"])[0]
        return self.engine.generate([prompt], body["max_tokens"])[0]

    def _chat(self, request, body):
        if body.get("logprobs") and not self.tells:
            answer(request, 422, {"error": "logprobs is not supported"})
            return
        with self._model:
            written = self._say(Prompt(body["messages"][0]["content"]), body)
        choice = {"index": 0, "message": {"role": "assistant", "content": written.text}, "finish_reason": "stop"}
        if body.get("logprobs"):
            content = [{"token": written.text, "logprob": CHAT_LOG_PROBABILITY, "top_logprobs": []}]
            choice["logprobs"] = {"content": content}
        usage = {"prompt_tokens": 1, "completion_tokens": written.tokens, "total_tokens": 2}
        answer(request, 200, {"id": "1", "created": 1, "model": "m", "object": "chat.completion",
                              "choices": [choice], "usage": usage})  # fmt: skip
