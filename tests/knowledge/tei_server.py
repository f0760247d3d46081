"""A server that speaks TEI's HTTP interface around an embedder, over a real socket, with TEI's limits and error bodies.

Troubles are queued: each request for vectors meets the next one; when there are none left it is answered as usual.
"""

from __future__ import annotations

import json

from loopback import LoopbackServer, answer, brought, drop, may_enter, read, stall

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
    """

    def __init__(self, embedder, *, token=None, echoes=False, batch=4, payload=2_000_000, model=MODEL, commit=COMMIT):
        super().__init__()
        self.embedder = embedder
        self.token = token
        self.echoes = echoes
        self.batch = batch
        self.payload = payload
        self.model = model
        self.commit = commit
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
                "max_input_length": 256,
                "max_batch_tokens": 16384,
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
        if kind == "dropped":
            drop(request)
            return
        if kind == "slow":
            stall()
        if isinstance(kind, tuple):
            refuse(request, *kind)
            return
        if kind == "page":
            answer(request, 502, b"<html>Bad gateway</html>", {"content-type": "text/html"})
            return
        if len(body) > self.payload:
            # The body limit belongs to the web framework below TEI: plain text, not TEI's JSON.
            answer(request, 413, b"Failed to buffer the request body: length limit exceeded", TEXT)
            return
        inputs = json.loads(body)["inputs"]
        inputs = [inputs] if isinstance(inputs, str) else inputs
        with self.lock:
            self.requests.append(inputs)
        if not inputs:
            refuse(request, 422, "Input validation error: `inputs` cannot be empty", "Validation")
        elif len(inputs) > self.batch:
            said = f"Validation: batch size {len(inputs)} > maximum allowed batch size {self.batch}"
            refuse(request, 413, said, "Validation")
        else:
            with self.lock:
                vectors = self.embedder.embed(inputs)
            answer(request, 200, vectors.tolist())

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
