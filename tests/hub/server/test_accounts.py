"""Users, organisations and their tokens."""

from __future__ import annotations

import stat

import pytest
from hub_under_test import send

from solo_hub.hub.server import EmbeddedHub
from solo_hub.hub.server.core import Hub
from solo_hub.hub.server.errors import ApiError


def test_tokens_are_not_in_the_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("SOLO_HUB_HOME", str(tmp_path / "home"))
    with EmbeddedHub(tmp_path / "root", users=[{"name": "ana"}]) as hub:
        made = hub.token
        assert hub.token_is_new
        assert send(hub.endpoint, "GET", "/api/whoami-v2", token=made).status == 200
    for path in (tmp_path / "root").rglob("*"):
        assert path.is_dir() or made.encode() not in path.read_bytes()
    kept = tmp_path / "home" / "credentials.json"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    with EmbeddedHub(tmp_path / "root") as hub:
        assert (hub.user, hub.token, hub.token_is_new) == ("ana", made, False)


def test_second_user_with_the_same_token_is_refused(tmp_path):
    hub = Hub(tmp_path / "root")
    hub.accounts.add_user("ana", token="one")
    with pytest.raises(ApiError) as caught:
        hub.accounts.add_user("ben", token="one")
    assert caught.value.status == 409
    hub.close()


def test_new_membership_holds_at_once(server):
    assert server("POST", "/api/repos/create", body={"name": "x", "organization": "club"}).status == 403
    server.hub.core.accounts.add_user("ana", orgs=["club"])
    assert server("POST", "/api/repos/create", body={"name": "x", "organization": "club"}).status == 200


def test_organisations_may_have_full_names(tmp_path):
    users = [{"name": "ana", "fullname": "Ana Lys", "orgs": ["lab", {"name": "inst", "fullname": "The Institute"}]}]
    with EmbeddedHub(tmp_path / "root", users=users, remember=False) as hub:
        who = send(hub.endpoint, "GET", "/api/whoami-v2", token=hub.token).json
        assert who["fullname"] == "Ana Lys"
        assert {org["name"]: org["fullname"] for org in who["orgs"]} == {"inst": "The Institute", "lab": "lab"}
        seen = send(hub.endpoint, "GET", "/api/organizations/inst/overview", token=hub.token).json
        assert seen["fullname"] == "The Institute"
        (member,) = send(hub.endpoint, "GET", "/api/organizations/inst/members", token=hub.token).json
        assert member["fullname"] == "Ana Lys"


@pytest.mark.parametrize("org", [{}, {"fullname": "x"}, {"name": "a b"}, {"name": "lab", "colour": "red"}])
def test_organisations_that_are_refused(tmp_path, org):
    hub = Hub(tmp_path / "root")
    with pytest.raises(ApiError) as caught:
        hub.accounts.add_user("ana", orgs=[org])
    assert caught.value.status == 400
    hub.close()
