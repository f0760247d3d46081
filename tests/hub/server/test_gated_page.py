"""The page of a gated repo: whoever is turned away is told to visit it, and there it is asked for access."""

from __future__ import annotations

from urllib.parse import urlencode

import pytest


def ask(server, path, token):
    body = urlencode({"token": token}).encode()
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    return server("POST", f"{path}/ask-access", token=None, body=body, headers=headers)


@pytest.mark.parametrize("kind", ["models", "datasets"])
def test_request_by_the_form(server, kind):
    name = f"gated-{kind}"
    server("POST", "/api/repos/create", body={"name": name, "type": kind[:-1]})
    api, page = f"/api/{kind}/ana/{name}", f"/ana/{name}" if kind == "models" else f"/{kind}/ana/{name}"
    file = f"{page}/resolve/main/.gitattributes"
    assert "ask-access" not in server("GET", page, token=None).body.decode()
    server("PUT", f"{api}/settings", body={"gated": "manual"})
    assert "Visit its page" in server("GET", file, token="token-of-ben").json["error"]
    shown = server("GET", page, token=None).body.decode()
    assert f'<form method="post" action="{page}/ask-access"' in shown
    assert "Request access" in shown

    answer = ask(server, page, "token-of-ben")
    assert answer.status == 200
    assert "The request of ben is with the owner" in answer.body.decode()
    assert "token-of-ben" not in answer.body.decode()
    (request,) = server("GET", f"{api}/user-access-request/pending").json
    assert request["user"]["user"] == "ben"
    assert server("GET", file, token="token-of-ben").status == 403

    body = {"user": "ben", "status": "accepted"}
    assert server("POST", f"{api}/user-access-request/handle", body=body).status == 200
    assert "ben has access" in ask(server, page, "token-of-ben").body.decode()  # asking again does not undo it
    assert server("GET", file, token="token-of-ben").status == 200

    assert server("POST", f"{api}/user-access-request/handle", body={**body, "status": "rejected"}).status == 200
    assert "has rejected the request of ben" in ask(server, page, "token-of-ben").body.decode()


def test_automatic_approval(server, repo):
    server("PUT", f"/api/models/{repo}/settings", body={"gated": "auto"})
    assert "ben has access" in ask(server, f"/{repo}", "token-of-ben").body.decode()
    assert server("GET", f"/{repo}/resolve/main/.gitattributes", token="token-of-ben").status == 200


def test_asking_by_header_and_api(server, repo):
    server("PUT", f"/api/models/{repo}/settings", body={"gated": "manual"})
    assert server("POST", f"/{repo}/ask-access", token="token-of-ben").status == 200
    assert server("POST", f"/api/models/{repo}/ask-access", token="token-of-ben", body={}).json["status"] == "pending"
    assert server("POST", f"/api/models/{repo}/ask-access", body={}).json["status"] == "accepted"  # its owner


def test_wrong_requests(server, repo):
    assert ask(server, f"/{repo}", "token-of-ben").status == 400  # not gated
    server("PUT", f"/api/models/{repo}/settings", body={"gated": "manual"})
    for token in ("", "wrong", "x" * 2000):
        refused = ask(server, f"/{repo}", token)
        assert refused.status == 401
        assert token == "" or token not in refused.body.decode()
    assert server("POST", f"/{repo}/ask-access", token=None, body=b"a=b&" * 50).status == 400
    assert server("POST", f"/{repo}/ask-access", token=None, body=b"a" * 5000).status == 413
    server("PUT", f"/api/models/{repo}/settings", body={"private": True})
    assert ask(server, f"/{repo}", "token-of-ben").status == 401  # as for a repo that is not there
    assert server("GET", f"/api/models/{repo}/user-access-request/pending").json == []


def test_in_a_browser(server, repo):
    from chromium import chromium, complaints
    from selenium.webdriver.common.by import By
    from selenium.webdriver.support.expected_conditions import text_to_be_present_in_element
    from selenium.webdriver.support.ui import WebDriverWait

    server("PUT", f"/api/models/{repo}/settings", body={"gated": "manual"})
    with chromium() as browser:
        browser.get(f"{server.endpoint}/{repo}")
        browser.find_element(By.NAME, "token").send_keys("token-of-ben")
        browser.find_element(By.CSS_SELECTOR, ".gate button").click()
        answered = text_to_be_present_in_element((By.CSS_SELECTOR, ".gate"), "The request of ben is with the owner")
        assert WebDriverWait(browser, 20).until(answered)
        assert "token" not in browser.current_url
        assert complaints(browser) == []
