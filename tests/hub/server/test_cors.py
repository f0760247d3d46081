"""Which web pages may read answers: those on loopback addresses, and no others."""

from __future__ import annotations

import http.server
import threading

import pytest

ALLOWED = [
    "http://localhost:3000",
    "http://127.0.0.1:8000",
    "https://localhost",
    "http://[::1]:5173",
    "http://127.8.9.1",
]
REFUSED = ["https://evil.example", "http://localhost.evil.example", "http://127.0.0.1.evil.example:80", "null", "file://",
           "http://localhost:3000/x", "http://10.0.0.1", "http://user@localhost"]  # fmt: skip
HEADER = "Access-Control-Allow-Origin"


@pytest.mark.parametrize("origin", ALLOWED)
def test_pages_of_this_machine_may_read(server, repo, origin):
    for path, status in ((f"/api/models/{repo}", 200), (f"/{repo}/resolve/main/.gitattributes", 200), ("/no", 404)):
        answer = server("GET", path, headers={"Origin": origin})
        assert (answer.status, answer.headers[HEADER]) == (status, origin)
        assert "X-Error-Code" in answer.headers["Access-Control-Expose-Headers"]
        assert "Origin" in answer.headers["Vary"]
        assert "Access-Control-Allow-Credentials" not in answer.headers


@pytest.mark.parametrize("origin", REFUSED)
def test_other_pages_may_not(server, repo, origin):
    for method in ("GET", "OPTIONS"):
        headers = {"Origin": origin, "Access-Control-Request-Method": "GET"}
        answer = server(method, f"/api/models/{repo}", headers=headers)
        assert not [name for name in answer.headers if name.lower().startswith("access-control-")]
        assert "Origin" in answer.headers["Vary"]


def test_preflight(server):
    headers = {"Origin": ALLOWED[0], "Access-Control-Request-Method": "POST"}
    answer = server("OPTIONS", "/api/repos/create", token=None, headers=headers)
    assert answer.status == 204
    assert "DELETE" in answer.headers["Access-Control-Allow-Methods"]
    assert "Authorization" in answer.headers["Access-Control-Allow-Headers"]
    assert server("OPTIONS", "/api/repos/create", token=None).status == 405  # nobody asks before a request


def test_in_a_browser(server, repo):
    """A page on another loopback port reads and writes with a token; one of a foreign name cannot even read."""
    from chromium import chromium

    class Empty(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"<!doctype html><title>app</title>")

        def log_message(self, *args):
            del args

    script = """
const [hub, repo, token, done] = arguments;
const headers = {Authorization: `Bearer ${token}`, "Content-Type": "application/json"};
(async () => {
  const info = await fetch(`${hub}/api/models/${repo}`, {headers});
  const missing = await fetch(`${hub}/${repo}/resolve/main/none`, {headers});
  const made = await fetch(`${hub}/api/models/${repo}/branch/from-a-page`, {method: "POST", headers, body: "{}"});
  return [info.status, missing.headers.get("X-Error-Code"), made.status];
})().then(done, (error) => done(String(error)));
"""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Empty) as app, chromium() as browser:
        threading.Thread(target=app.serve_forever, daemon=True).start()
        try:
            browser.get(f"http://127.0.0.1:{app.server_port}/")
            assert browser.execute_async_script(script, server.endpoint, repo, "token-of-ana") == [
                200,
                "EntryNotFound",
                200,
            ]
            browser.get("data:text/html,<title>a page without an origin</title>")
            failed = browser.execute_async_script(script, server.endpoint, repo, "token-of-ana")
            assert failed.startswith("TypeError")
        finally:
            app.shutdown()
