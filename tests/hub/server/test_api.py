"""Status codes, headers and words of the API, asked for directly."""

from __future__ import annotations

import hashlib
import json

import pytest


def error(answer):
    return answer.status, answer.headers["X-Error-Code"]


def test_every_answer_has_a_request_id(server):
    assert server("GET", "/api/models").headers["X-Request-Id"]
    assert server("GET", "/api/nothing").headers["X-Request-Id"]


def test_whoami(server):
    answer = server("GET", "/api/whoami-v2").json
    assert answer["name"] == "ana"
    assert [org["name"] for org in answer["orgs"]] == ["lab"]
    assert answer["auth"]["accessToken"]["role"] == "write"
    assert server("GET", "/api/whoami-v2", token=None).status == 401
    assert server("GET", "/api/whoami-v2", token="wrong").status == 401


def test_create_twice_tells_where_the_repo_is(server, repo):
    answer = server("POST", "/api/repos/create", body={"name": repo.split("/")[1]})
    assert answer.status == 409
    assert answer.json["url"] == f"{server.endpoint}/{repo}"
    assert server("POST", "/api/repos/create", body={"name": repo.split("/")[1].upper()}).status == 409


def test_a_new_repo_has_one_commit_with_attributes(server, repo):
    info = server("GET", f"/api/models/{repo}").json
    assert [each["rfilename"] for each in info["siblings"]] == [".gitattributes"]
    (only,) = server("GET", f"/api/models/{repo}/commits/main").json
    assert (only["title"], only["id"]) == ("initial commit", info["sha"])


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/api/models/ana/none", "RepoNotFound"),
        ("/api/models/none", "RepoNotFound"),
        ("/api/models/none/tree/main", "RepoNotFound"),
        ("/none/resolve/main/a.txt", "RepoNotFound"),
        ("/api/models/{repo}/revision/none", "RevisionNotFound"),
        ("/{repo}/resolve/none/a.txt", "RevisionNotFound"),
        ("/{repo}/resolve/main/a.txt", "EntryNotFound"),
        ("/api/models/{repo}/tree/main/none", "EntryNotFound"),
    ],
)
def test_what_is_missing(server, repo, path, code):
    answer = server("GET", path.format(repo=repo))
    assert error(answer) == (404, code)
    if code == "EntryNotFound":  # clients remember the absence under this commit
        assert len(answer.headers["X-Repo-Commit"]) == 40


def test_without_a_token_missing_and_private_look_alike(server, repo):
    server("PUT", f"/api/models/{repo}/settings", body={"private": True})
    private = server("GET", f"/api/models/{repo}", token=None)
    missing = server("GET", "/api/models/ana/none", token=None)
    assert error(private) == error(missing) == (401, "RepoNotFound")
    assert private.body == missing.body
    assert error(server("GET", f"/api/models/{repo}", token="token-of-ben")) == (404, "RepoNotFound")
    names = [each["id"] for each in server("GET", "/api/models", token="token-of-ben").json]
    assert repo not in names


def test_gated_repo_shows_itself_but_not_its_files(server, repo):
    server.add(repo, {"a.txt": "a"})
    server("PUT", f"/api/models/{repo}/settings", body={"gated": "manual"})
    assert server("GET", f"/api/models/{repo}", token=None).json["gated"] == "manual"
    where = f"/{repo}/resolve/main/a.txt"
    assert error(server("GET", where, token=None)) == (401, "GatedRepo")
    assert error(server("HEAD", where, token="token-of-ben")) == (403, "GatedRepo")
    assert server("GET", where).body == b"a"
    server("POST", f"/api/models/{repo}/user-access-request/grant", body={"user": "ben"})
    assert server("GET", where, token="token-of-ben").body == b"a"


def test_read_token_cannot_write(server, repo):
    for method, path, body in [
        ("POST", "/api/repos/create", {"name": "x", "organization": "lab"}),
        ("POST", "/api/models/lab/x/preupload/main", {"files": []}),
        ("DELETE", "/api/repos/delete", {"name": "x", "organization": "lab"}),
    ]:
        assert server(method, path, token="token-of-eve", body=body).status in (403, 404)
    assert server.add(repo, {"a": "a"}, token="token-of-ben").status == 403


def test_ranges_and_conditions(server, repo):
    server.add(repo, {"a.txt": "0123456789"})
    where = f"/{repo}/resolve/main/a.txt"
    whole = server("GET", where)
    etag = whole.headers["ETag"]
    assert etag == '"' + hashlib.sha1(b"blob 10\x000123456789").hexdigest() + '"'
    for asked, status, body in [
        ("bytes=2-4", 206, b"234"),
        ("bytes=7-", 206, b"789"),
        ("bytes=-3", 206, b"789"),
        ("bytes=5-99", 206, b"56789"),
        ("bytes=4-2", 200, b"0123456789"),
        ("bytes=0-1,4-5", 200, b"0123456789"),
        ("nonsense", 200, b"0123456789"),
    ]:
        part = server("GET", where, headers={"Range": asked})
        assert (part.status, part.body) == (status, body), asked
    beyond = server("GET", where, headers={"Range": "bytes=10-"})
    assert (beyond.status, beyond.headers["Content-Range"]) == (416, "bytes */10")
    assert server("GET", where, headers={"If-None-Match": etag}).status == 304
    assert server("GET", where, headers={"If-Range": '"other"', "Range": "bytes=1-2"}).status == 200
    head = server("HEAD", where)
    assert (head.body, head.headers["Content-Length"], head.headers["Accept-Ranges"]) == (b"", "10", "bytes")


def test_parent_commit_must_be_the_head(server, repo):
    first = server.add(repo, {"a": "1"}).json["commitOid"]
    server.add(repo, {"a": "2"})
    header = {"key": "header", "value": {"summary": "late", "parentCommit": first}}
    answer = server.commit(repo, [header, {"key": "file", "value": {"path": "a", "content": "3"}}])
    assert answer.status == 412
    assert server("GET", f"/{repo}/resolve/main/a").body == b"2"


def test_a_failing_operation_undoes_the_whole_commit(server, repo):
    before = server("GET", f"/api/models/{repo}").json["sha"]
    answer = server.commit(
        repo,
        [
            {"key": "header", "value": {"summary": "half"}},
            {"key": "file", "value": {"path": "new", "content": "x"}},
            {"key": "deletedFile", "value": {"path": "missing"}},
        ],
    )
    assert error(answer) == (404, "EntryNotFound")
    assert server("GET", f"/api/models/{repo}").json["sha"] == before


def test_lfs_file_must_have_been_uploaded_to_a_repo_one_can_read(server, repo):
    secret = hashlib.sha256(b"secret").hexdigest()
    header = {"key": "header", "value": {"summary": "s"}}
    entry = {"key": "lfsFile", "value": {"path": "s.bin", "algo": "sha256", "oid": secret, "size": 6}}
    assert server.commit(repo, [header, entry]).status == 400
    # Now it exists, but in a private repo of somebody else: its hash is still no key to it.
    server("POST", "/api/repos/create", token="token-of-ben", body={"name": "vault", "private": True})
    batch = {"operation": "upload", "objects": [{"oid": secret, "size": 6}]}
    reply = server("POST", "/ben/vault.git/info/lfs/objects/batch", token="token-of-ben", body=batch).json
    put = reply["objects"][0]["actions"]["upload"]["href"].removeprefix(server.endpoint)
    assert server("PUT", put, token=None, body=b"wrong!").status == 400
    assert server("PUT", put, token=None, body=b"secret").status == 200
    assert server.commit(repo, [header, entry]).status == 400
    mine = server("POST", f"/{repo}.git/info/lfs/objects/batch", body=batch).json["objects"][0]
    assert "actions" in mine  # "upload it yourself", not "is here already"


def test_lfs_in_parts(server, repo, monkeypatch):
    from solo_hub.hub.server import limits

    monkeypatch.setattr(limits, "MULTIPART_FROM", 10)
    monkeypatch.setattr(limits, "MULTIPART_PART", 4)
    data = b"0123456789"
    oid = hashlib.sha256(data).hexdigest()
    body = {"operation": "upload", "transfers": ["basic", "multipart"], "objects": [{"oid": oid, "size": 10}]}
    reply = server("POST", f"/{repo}.git/info/lfs/objects/batch", body=body).json
    upload = reply["objects"][0]["actions"]["upload"]
    assert (reply["transfer"], upload["header"]["chunk_size"]) == ("multipart", "4")
    urls = [upload["header"][key].removeprefix(server.endpoint) for key in ("00001", "00002", "00003")]
    complete = upload["href"].removeprefix(server.endpoint)
    parts = [{"partNumber": n, "etag": "e"} for n in (1, 2, 3)]
    for number in (0, 2):
        assert server("PUT", urls[number], token=None, body=data[number * 4 : number * 4 + 4]).status == 200
    assert server("POST", complete, token=None, body={"oid": oid, "parts": parts}).status == 400
    assert server("PUT", urls[1], token=None, body=b"4567").status == 200
    assert server("POST", complete, token=None, body={"oid": oid, "parts": parts}).status == 200
    verify = reply["objects"][0]["actions"]["verify"]["href"].removeprefix(server.endpoint)
    assert server("POST", verify, body={"oid": oid, "size": 10}).status == 200


def test_tickets_cannot_be_forged_or_bent(server, repo):
    oid = hashlib.sha256(b"data").hexdigest()
    body = {"operation": "upload", "objects": [{"oid": oid, "size": 4}]}
    href = server("POST", f"/{repo}.git/info/lfs/objects/batch", body=body).json["objects"][0]["actions"]["upload"]
    path = href["href"].removeprefix(server.endpoint)
    assert server("PUT", path[:-1] + ("0" if path[-1] != "0" else "1"), token=None, body=b"data").status == 401
    assert server("PUT", path.replace(oid, "0" * 64), token=None, body=b"data").status == 401
    assert server("PUT", "/lfs/upload/x", token=None, body=b"data").status == 401


def test_branches_and_tags(server, repo):
    api = f"/api/models/{repo}"
    head = server("GET", api).json["sha"]
    assert server("POST", f"{api}/branch/dev%2Fone", body={}).status == 200
    assert server("POST", f"{api}/branch/dev%2Fone", body={}).status == 409
    assert server("POST", f"{api}/tag/main", body={"tag": "v1", "message": "first"}).status == 200
    assert server("POST", f"{api}/tag/main", body={"tag": "v1"}).status == 409
    assert error(server("POST", f"{api}/tag/none", body={"tag": "v2"})) == (404, "RevisionNotFound")
    refs = server("GET", f"{api}/refs").json
    assert refs["branches"] == [
        {"name": "main", "ref": "refs/heads/main", "targetCommit": head},
        {"name": "dev/one", "ref": "refs/heads/dev/one", "targetCommit": head},
    ]
    assert refs["tags"] == [{"name": "v1", "ref": "refs/tags/v1", "targetCommit": head}]
    assert server("GET", f"{api}/revision/dev%2Fone").json["sha"] == head
    assert server("DELETE", f"{api}/branch/main").status == 403
    assert server("DELETE", f"{api}/tag/v1").status == 200
    assert server("DELETE", f"{api}/tag/v1").status == 404


def test_tree_comes_in_pages_of_one_commit(server, repo):
    server.add(repo, {f"d/{n:02}.txt": str(n) for n in range(7)})
    path = f"/api/models/{repo}/tree/main/d?limit=3"
    seen = []
    while path:
        page = server("GET", path)
        seen += [item["path"] for item in page.json]
        link = page.headers["Link"]
        path = link.split(">")[0].lstrip("<").removeprefix(server.endpoint) if link else None
        server.add(repo, {"d/99.txt": str(len(seen))})  # the branch moves on between the pages
    assert seen == [f"d/{n:02}.txt" for n in range(7)]


def test_pull_request_from_somebody_else(server, repo):
    lines = [{"key": "header", "value": {"summary": "Fix it"}}, {"key": "file", "value": {"path": "f", "content": "x"}}]
    body = b"\n".join(json.dumps(line).encode() for line in lines)
    made = server("POST", f"/api/models/{repo}/commit/main?create_pr=1", token="token-of-ben", body=body).json
    assert made["pullRequestUrl"] == f"{server.endpoint}/{repo}/discussions/1"
    assert server("GET", f"/{repo}/resolve/refs%2Fpr%2F1/f").body == b"x"
    assert server("GET", f"/{repo}/resolve/main/f").status == 404
    merge = f"/api/models/{repo}/discussions/1/merge"
    assert server("POST", merge, token="token-of-ben").status == 403
    assert server("POST", merge).status == 200
    assert server("GET", f"/{repo}/resolve/main/f").body == b"x"
    assert server("GET", f"/api/models/{repo}/discussions/1").json["status"] == "merged"


def test_conflicting_pull_request_is_not_merged(server, repo):
    lines = [{"key": "header", "value": {"summary": "Mine"}}, {"key": "file", "value": {"path": "f", "content": "1"}}]
    body = b"\n".join(json.dumps(line).encode() for line in lines)
    server("POST", f"/api/models/{repo}/commit/main?create_pr=1", body=body)
    server.add(repo, {"f": "2"})
    assert server("POST", f"/api/models/{repo}/discussions/1/merge").status == 409
    assert server("GET", f"/{repo}/resolve/main/f").body == b"2"


def test_card_metadata_becomes_tags(server, repo):
    server.add(repo, {"README.md": "---\nlicense: mit\ntags: [one]\nlanguage: en\ndatasets: [squad]\n---\n# x"})
    info = server("GET", f"/api/models/{repo}").json
    assert info["cardData"]["license"] == "mit"
    assert {"one", "en", "license:mit", "dataset:squad"} <= set(info["tags"])
    assert repo in [each["id"] for each in server("GET", "/api/models?filter=license:mit&filter=one").json]
    assert repo not in [each["id"] for each in server("GET", "/api/models?filter=two").json]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("---\nlicense: asdf\n---\n", '"license" must be one of'),
        ("---\nmodel-index: foo\n---\n", '"model-index" must be an array'),
        ("---\na: [\n---\n", "Invalid YAML metadata"),
        ("---\n- 1\n---\n", "Invalid YAML metadata"),
    ],
)
def test_invalid_card(server, content, message):
    answer = server("POST", "/api/validate-yaml", body={"content": content, "repoType": "model"})
    assert answer.status == 400
    assert answer.json["errors"][0]["message"].startswith(message)


def test_yaml_bomb_is_refused_at_once(server):
    bomb = "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12))
    answer = server("POST", "/api/validate-yaml", body={"content": f"---\n{bomb}---\n", "repoType": "model"})
    assert answer.status == 400


def test_squash_leaves_one_commit_and_the_files(server, repo):
    for n in range(3):
        server.add(repo, {f"{n}.txt": str(n)})
    assert server("POST", f"/api/models/{repo}/super-squash/main", body={"message": "all in one"}).status == 200
    (only,) = server("GET", f"/api/models/{repo}/commits/main").json
    assert only["title"] == "all in one"
    assert server("GET", f"/{repo}/resolve/main/2.txt").body == b"2"


def test_moved_repo_answers_under_both_names(server, repo):
    server.add(repo, {"a": "a"})
    body = {"fromRepo": repo, "toRepo": "lab/moved", "type": "model"}
    assert server("POST", "/api/repos/move", body=body).status == 200
    assert server("GET", f"/{repo}/resolve/main/a").body == b"a"
    assert server("GET", "/api/models/lab/moved").json["id"] == "lab/moved"


def test_background_calls_get_a_clean_404(server):
    for path in ("/api/agent-harnesses", "/api/telemetry/x", "/v1/telemetry"):
        assert server("GET", path).status in (404, 405)
        assert server("POST", path, body={}).status in (404, 405)


def test_foreign_host_is_turned_away(server):
    assert server("GET", "/api/models", headers={"Host": "evil.example"}).status == 421


def test_pages(server, repo):
    server.add(
        repo, {"README.md": "# Title\n<script>alert(1)</script>\n<img src=x onerror=alert(1)>\n[x](javascript:1)"}
    )
    page = server("GET", f"/{repo}", token=None)
    assert "<h1>Title</h1>" in page.body.decode()
    for dangerous in ("<script", "onerror", 'href="javascript:'):
        assert dangerous not in page.body.decode()
    assert "script-src" not in page.headers["Content-Security-Policy"]
    for path in ("/", "/models", "/ana", f"/{repo}/tree/main", f"/{repo}/blob/main/README.md", f"/{repo}/commits/main"):
        assert server("GET", path, token=None).status == 200, path
    raw = server("GET", f"/{repo}/resolve/main/README.md", token=None)
    assert "sandbox" in raw.headers["Content-Security-Policy"]


def test_own_repos_with_what_they_store(server, repo):
    entry = {item["id"]: item for item in server("GET", "/api/settings/repositories").json}[repo]
    assert (entry["type"], entry["visibility"]) == ("model", "public")
    assert entry["storage"] > 0  # .gitattributes
    assert 0 < entry["storagePercent"] <= 100


def test_repos_of_an_organisation_are_for_its_members(server):
    path = "/api/organizations/lab/settings/repositories"
    assert [item["id"] for item in server("GET", path).json if not item["id"].startswith("lab/")] == []
    assert server("GET", path, token="token-of-ben").status == 403
    assert server("GET", path, token=None).status == 401
