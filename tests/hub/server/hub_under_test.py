"""Raw HTTP to an embedded Hub, and the users of those that tests start."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any

from solo_hub.hub.server import EmbeddedHub

USERS = [
    {"name": "ana", "token": "token-of-ana", "orgs": ["lab"]},
    {"name": "ben", "token": "token-of-ben"},
    {"name": "eve", "token": "token-of-eve", "role": "read", "orgs": ["lab"]},
]


@dataclass
class Answer:
    status: int
    headers: Any
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def send(
    endpoint: str, method: str, path: str, *, token: str | None = None, body: Any = None, headers: dict | None = None
) -> Answer:
    """One request; the path goes out exactly as given."""
    data = json.dumps(body).encode() if isinstance(body, (dict, list)) else body
    request = urllib.request.Request(endpoint + path, data=data, method=method, headers=headers or {})
    if token:
        request.add_header("Authorization", f"Bearer {token}")
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            return Answer(response.status, response.headers, response.read())
    except urllib.error.HTTPError as error:
        with error:
            return Answer(error.code, error.headers, error.read())


class Server:
    """A hub under test."""

    def __init__(self, hub: EmbeddedHub) -> None:
        self.hub = hub
        self.endpoint = hub.endpoint

    def __call__(self, method: str, path: str, *, token: str | None = "token-of-ana", **kwargs: Any) -> Answer:
        return send(self.endpoint, method, path, token=token, **kwargs)

    def commit(self, repo: str, lines: list[dict], *, rev: str = "main", token: str = "token-of-ana") -> Answer:
        body = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
        return self("POST", f"/api/models/{repo}/commit/{rev}", token=token, body=body)

    def add(self, repo: str, files: dict[str, str], **kwargs: Any) -> Answer:
        lines = [{"key": "header", "value": {"summary": "add"}}]
        for path, text in files.items():
            lines.append({"key": "file", "value": {"path": path, "content": text, "encoding": "utf-8"}})
        return self.commit(repo, lines, **kwargs)
