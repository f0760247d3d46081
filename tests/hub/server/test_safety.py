"""Nothing leaves the root: paths, repo names and ref names that are refused."""

from __future__ import annotations

import pytest

from solo_hub.hub.server import names
from solo_hub.hub.server.errors import ApiError

BAD_PATHS = [
    "",
    ".",
    "..",
    "../a",
    "a/../b",
    "a/..",
    "/a",
    "//a",
    "a//b",
    "a/",
    "./a",
    "a\\b",
    "..\\a",
    "C:a",
    "C:/a",
    "a\0b",
    "a\nb",
    "a/.git/config",
    ".GIT/hooks/post-checkout",
    ".g\u200cit/x",
    "\uff0egit/x",
    "NUL",
    "aux.txt",
    "com1/x",
    "a. /b",
    "x" * 256,
    "y/" * 600 + "z",
    "\ud800",
]


@pytest.mark.parametrize("path", BAD_PATHS, ids=lambda path: ascii(path)[:30])
def test_paths_that_no_client_should_write(path):
    with pytest.raises(ApiError) as caught:
        names.check_path(path)
    assert caught.value.status == 422


@pytest.mark.parametrize(
    "path", ["a", "a/b.c", ".gitattributes", "..a", "a..b", "ä/ö 1.txt", "x" * 255, "gitx", "nulx"]
)
def test_paths_that_are_fine(path):
    assert names.check_path(path) == path


def test_bad_paths_are_refused_in_every_kind_of_operation(server, repo):
    header = {"key": "header", "value": {"summary": "s"}}
    for path in ["../x", "/etc/passwd", "a\\..\\b", ".git/config"]:
        for operation in [
            {"key": "file", "value": {"path": path, "content": ""}},
            {"key": "lfsFile", "value": {"path": path, "oid": "0" * 64, "algo": "sha256"}},
            {"key": "deletedFile", "value": {"path": path}},
            {"key": "deletedFolder", "value": {"path": path}},
        ]:
            assert server.commit(repo, [header, operation]).status == 422
        files = [{"path": path, "size": 1, "sample": ""}]
        assert server("POST", f"/api/models/{repo}/preupload/main", body={"files": files}).status == 422


def test_a_backslash_below_a_folder_is_a_character_and_the_client_refuses_to_write_it(server, repo, client):
    """As on the real Hub: the name is kept as it is, no file on either side gets it."""
    name = "folder/..\\..\\..\\file"
    assert server.add(repo, {name: "x"}).status == 200
    assert name in [item["path"] for item in server("GET", f"/api/models/{repo}/tree/main?recursive=1").json]
    client(
        f"""
from huggingface_hub import hf_hub_download
try:
    hf_hub_download("{repo}", {name!r}, local_dir="here")
except ValueError as error:
    assert "Invalid filename" in str(error)
else:
    raise SystemExit("written")
"""
    )


@pytest.mark.parametrize(
    "name", ["", ".", "..", "a/b", "-a", "a-", ".a", "a--b", "a..b", "a.git", "x" * 97, "ä", None, 7]
)
def test_repo_names_that_are_refused(server, name):
    assert server("POST", "/api/repos/create", body={"name": name}).status == 400


@pytest.mark.parametrize(
    "name", ["a b", "a..b", "a~1", "-a", "a/", "/a", "a.lock", "refs/heads/x", "0" * 40, "a\\b", "@", ""]
)
def test_ref_names_that_are_refused(server, repo, name):
    assert server("POST", f"/api/models/{repo}/tag/main", body={"tag": name}).status == 400


def test_other_users_of_the_machine_read_nothing_in_a_folder_that_they_may_enter(tmp_path):
    """A folder that was there before keeps its mode; the key that signs tickets and private repos are in it."""
    from solo_hub.hub.server.core import Hub

    root = tmp_path / "root"
    root.mkdir(mode=0o755)
    hub = Hub(root)
    try:
        open_to_others = [path.name for path in root.iterdir() if path.stat().st_mode & 0o077]
    finally:
        hub.close()
    assert open_to_others == []
