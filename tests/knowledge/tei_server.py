"""A server that speaks TEI's HTTP interface around an embedder, over a real socket, with TEI's limits and error bodies.

Troubles are queued: each request for vectors meets the next one; when there are none left it is answered as usual.
"""

from __future__ import annotations

import json

from loopback import LoopbackServer, answer, befall, brought, may_enter, read

MODEL = "sentence-transformers/all-MiniLM-L6-v2"
TEXT = {"content-type": "text/plain"}
COMMIT = "c9745ed1d9f207416be6d2e6f8de32d1f16199bf"


class TeiServer(LoopbackServer):
    """TEI on loopback: `with TeiServer(embedder) as server: server.url`.

    Args:
        embedder: Makes the vectors.
        token: Token asked for, or None.
        echoes: Whether a wrong token is told in the refusal.
        batch: Texts in a request before 413, as `--max-client-batch-size`.
        payload: Bytes of a body before 413, as `--payload-limit`.
        tokens: Words and two of a text before 413, unless it may be cut.
        tokenizes: Whether it has the route `/tokenize`.
        prompts: What it puts in front of texts, by name; None for a version that ignores names.
    """

    def __init__(
        self,
        embedder,
        *,
        token=None,
        echoes=False,
        batch=4,
        payload=2_000_000,
        model=MODEL,
        commit=COMMIT,
        tokens=256,
        tokenizes=True,
        prompts=(),
    ):
        super().__init__()
        self.embedder = embedder
        self.token = token
        self.echoes = echoes
        self.batch = batch
        self.payload = payload
        self.model = model
        self.commit = commit
        self.tokens = tokens
        self.tokenizes = tokenizes
        self.prompts = prompts if prompts is None else dict(prompts)
        self.batch_tokens = 16384
        self.healthy = True
        self.requests = []  # texts in each answered or refused request for vectors

    def get(self, request):
        if not self._allowed(request):
            return
        if request.path == "/health":
            if self.healthy:
                answer(request, 200, b"", TEXT)
            else:
                refuse(request, 503, "unhealthy", "Unhealthy")
        elif request.path == "/info":
            info = {
                "model_id": self.model,
                "model_sha": self.commit,
                "model_dtype": "float32",
                "model_type": {"embedding": {"pooling": "mean"}},
                "max_concurrent_requests": 512,
                "max_input_length": self.tokens,
                "max_batch_tokens": self.batch_tokens,
                "max_batch_requests": None,
                "max_client_batch_size": self.batch,
                "auto_truncate": False,
                "tokenization_workers": 2,
                "version": "1.8.0",
            }
            answer(request, 200, info)
        else:
            answer(request, 404, b"")

    def post(self, request):
        body = read(request)
        if not self._allowed(request):
            return
        kind = self.next_trouble()
        if kind == "page":
            answer(request, 502, b"<html>Bad gateway</html>", {"content-type": "text/html"})
        elif kind in (OVERLOADED, FAILED, BROKEN, UNREADABLE, TOO_MANY):
            refuse(request, *kind)
        elif kind is None or not befall(request, kind):
            self._answer(request, body)

    def _answer(self, request, body):
        if len(body) > self.payload:
            # The body limit belongs to the web framework below TEI: plain text, not TEI's JSON.
            answer(request, 413, b"Failed to buffer the request body: length limit exceeded", TEXT)
            return
        asked = json.loads(body)
        inputs = [asked["inputs"]] if isinstance(asked["inputs"], str) else asked["inputs"]
        if request.path == "/tokenize":
            if self.tokenizes:
                answer(request, 200, [[{"text": word} for word in self._words(text)] for text in inputs])
            else:
                answer(request, 404, b"")
            return
        with self.lock:
            self.requests.append(inputs)
        name = asked.get("prompt_name") if self.prompts is not None else None
        if name is not None and name not in self.prompts:
            refuse(request, 422, f"Input validation error: prompt name '{name}' not found", "Validation")
            return
        if name is not None:
            inputs = [self.prompts[name] + text for text in inputs]
        if not inputs:
            refuse(request, 422, "Input validation error: `inputs` cannot be empty", "Validation")
        elif len(inputs) > self.batch:
            said = f"Validation: batch size {len(inputs)} > maximum allowed batch size {self.batch}"
            refuse(request, 413, said, "Validation")
        elif not asked.get("truncate") and any(len(self._words(text)) > self.tokens for text in inputs):
            refuse(request, 413, f"`inputs` must have less than {self.tokens} tokens", "Validation")
        else:
            assert asked["normalize"]
            inputs = [" ".join(self._words(text)[1:-1][: self.tokens - 2]) for text in inputs]
            with self.lock:
                vectors = self.embedder.embed(inputs)
            answer(request, 200, vectors.tolist())

    def _words(self, text):
        words = text.split(" ")
        return ["[CLS]", *words, "[SEP]"]

    def _allowed(self, request):
        if may_enter(request, self.token):
            return True
        if self.echoes:  # as proxies in front of it do
            refuse(request, 401, f"Incorrect API key provided: {brought(request)}", "Unauthorized")
        else:
            answer(request, 401, b"")
        return False


OVERLOADED = (429, "Model is overloaded", "Overloaded")
FAILED = (424, "Inference failed: out of memory", "Backend")
BROKEN = (500, "internal error", "Backend")
UNREADABLE = (422, "Tokenization error: not in the vocabulary", "Tokenizer")
TOO_MANY = (413, "Validation: `inputs` must have less than 256 tokens", "Validation")


def refuse(request, status, message, kind):
    answer(request, status, {"error": message, "error_type": kind})
