"""Answers by which an official client would tell this Hub from the real one."""

from __future__ import annotations

import json

import pytest


@pytest.mark.parametrize("wanted", ["text/plain", "text/plain, */*"])
def test_validate_yaml_as_text(server, wanted):
    def ask(content, **headers):
        return server("POST", "/api/validate-yaml", token=None, body={"content": content}, headers=headers)

    bad = ask("---\nlicense: none-such\n---\n", Accept=wanted)
    assert (bad.status, bad.headers["Content-Type"]) == (400, "text/plain; charset=utf-8")
    assert bad.body.startswith(b'- Error: "license" must be one of [')
    assert ask("# no card", Accept=wanted).body == b"- Warning: empty or missing yaml metadata in repo card"
    assert ask("---\nlicense: mit\n---\n", Accept=wanted).body == b""
    assert ask("---\nlicense: none-such\n---\n").json["errors"]  # asked for nothing: JSON, as upload_folder reads it


def test_card_that_validates_itself(client):
    client(
        """
from huggingface_hub import ModelCard
ModelCard("---\\nlicense: mit\\n---\\n").validate()
try:
    ModelCard("---\\nlicense: none-such\\n---\\n").validate()
except ValueError as error:
    assert str(error).startswith('- Error: "license" must be one of ['), error
else:
    raise AssertionError
"""
    )


def test_head_is_the_default_branch(server, repo):
    server.add(repo, {"a.txt": "a"})
    newest = server("GET", f"/api/models/{repo}").json["sha"]
    assert server("GET", f"/api/models/{repo}/revision/HEAD").json["sha"] == newest
    assert server("GET", f"/{repo}/resolve/HEAD/a.txt").headers["X-Repo-Commit"] == newest
    assert server.add(repo, {"b.txt": "b"}, rev="HEAD").status == 200
    for what in ("branch", "tag"):  # git would not let it be moved either
        body = {"tag": "HEAD"} if what == "tag" else {}
        path = f"/api/models/{repo}/{what}/{'main' if what == 'tag' else 'HEAD'}"
        assert server("POST", path, body=body).status == 400


def lfs_batch(server, repo, oid, transfers, **more):
    body = {"operation": "upload", "objects": [{"oid": oid, "size": 5}], "transfers": transfers, **more}
    return server("POST", f"/{repo}.git/info/lfs/objects/batch", body=body)


def test_lfs_batch_answers_with_what_the_client_speaks(server, repo):
    oid = "11" * 32
    xet = lfs_batch(server, repo, oid, ["basic", "multipart", "xet"], hash_algo="sha_256", ref={"name": "a/b"}).json
    assert xet["transfer"] == "xet"
    upload = xet["objects"][0]["actions"]["upload"]
    assert upload["href"] == f"{server.endpoint}/api/models/{repo}/xet-write-token/a%2Fb"
    assert {"X-Xet-Cas-Url", "X-Xet-Access-Token", "X-Xet-Token-Expiration"} == set(upload["header"])
    assert "xet-write-token/main" in json.dumps(lfs_batch(server, repo, oid, ["xet"], ref={"name": 3}).json)
    assert lfs_batch(server, repo, oid, ["basic", "multipart"]).json["transfer"] == "basic"
    assert lfs_batch(server, repo, oid, ["basic"], hash_algo="md5").status == 400


def test_duplicate(client, server):
    out = client(
        """
import os
from huggingface_hub import HfApi, hf_hub_download
from huggingface_hub.errors import HfHubHTTPError
api = HfApi()
weights = os.urandom(300_000)
for type_ in ("model", "dataset"):
    api.create_repo("lab/source", repo_type=type_, private=type_ == "dataset")
    api.upload_file(path_or_fileobj=b"text", path_in_repo="d/a.txt", repo_id="lab/source", repo_type=type_)
    api.upload_file(path_or_fileobj=weights, path_in_repo="w.bin", repo_id="lab/source", repo_type=type_)
    made = api.duplicate_repo("lab/source", repo_type=type_)
    assert (made.repo_id, made.repo_type, made.files_copy_pending) == ("ana/source", type_, False), made
    assert open(hf_hub_download("ana/source", "w.bin", repo_type=type_), "rb").read() == weights
    assert api.repo_info("ana/source", repo_type=type_).private == (type_ == "dataset")
    assert [c.title for c in api.list_repo_commits("ana/source", repo_type=type_)] == ["Duplicate from lab/source"]
again = api.duplicate_repo("lab/source", exist_ok=True)
assert again.repo_id == "ana/source"
try:
    api.duplicate_repo("lab/source")
except HfHubHTTPError as error:
    print(error.response.status_code)
space = api.create_repo("lab/space", repo_type="space", space_sdk="static").repo_id
assert api.space_info(api.duplicate_repo(space, "ana/other", repo_type="space").repo_id).sdk == "static"
try:
    api.duplicate_repo(space, "ana/third", repo_type="space", space_secrets=[{"key": "K", "value": "never-told"}])
except HfHubHTTPError as error:
    print(error.response.status_code, error.server_message, "never-told" in str(error))
"""
    )
    sentence = "The embedded Hub does not offer secrets of Spaces: it stores them and does not run them."
    assert out.splitlines() == ["409", f"501 {sentence} False"]
    assert server("GET", "/api/spaces/ana/third").status == 404


def test_duplicate_keeps_gates_and_privacy(server, repo):
    where, copy = f"/api/models/{repo}/duplicate", f"copy-of-{repo.split('/')[1]}"
    server("PUT", f"/api/models/{repo}/settings", body={"gated": "manual"})
    refused = server("POST", where, token="token-of-ben", body={"repository": f"ben/{copy}"})
    assert (refused.status, refused.headers["X-Error-Code"]) == (403, "GatedRepo")
    assert server("POST", where, body={"repository": f"ben/{copy}"}).status == 403
    assert server("POST", where, token=None, body={"repository": f"ana/{copy}"}).status == 401
    assert server("POST", where, token="token-of-eve", body={"repository": f"lab/{copy}"}).status == 403
    assert server("POST", where, body={"repository": f"ana/{copy}"}).status == 200
    assert server("GET", f"/api/models/ana/{copy}").json["private"] is True
    server("PUT", f"/api/models/{repo}/settings", body={"private": True})
    assert server("POST", where, token="token-of-ben", body={"repository": f"ben/{copy}"}).status == 404


NOT_OFFERED = [
    ("POST", "/api/jobs/ana"),
    ("GET", "/api/jobs/hardware"),
    ("GET", "/api/scheduled-jobs/ana"),
    ("POST", "/api/buckets/ana/b"),
    ("GET", "/buckets/ana/b/resolve/x"),
    ("GET", "/api/settings/webhooks"),
    ("POST", "/api/settings/webhooks/1/enable"),
    ("GET", "/api/spaces/hardware"),
    ("GET", "/api/spaces/zero-gpu/quota"),
    ("POST", "/api/spaces/ana/space/secrets"),
    ("DELETE", "/api/spaces/ana/space/variables"),
    ("POST", "/api/spaces/ana/space/hardware"),
    ("POST", "/api/spaces/ana/space/restart"),
    ("GET", "/api/spaces/ana/space/logs/run"),
    ("POST", "/api/models/ana/model/like"),
    ("GET", "/api/models/ana/model/likers"),
    ("GET", "/api/models/ana/model/safetensors-metadata/model.safetensors.index.json"),
    ("GET", "/api/papers/2301.00001"),
    ("GET", "/oauth/authorize"),
    ("GET", "/ana/model/info/refs"),
    ("POST", "/datasets/ana/x.git/git-upload-pack"),
]


@pytest.fixture(scope="module")
def a_space(server):
    for name, more in {"space": {"type": "space", "sdk": "gradio"}, "model": {}}.items():
        server("POST", "/api/repos/create", body={"name": name, **more})


@pytest.mark.usefixtures("a_space")
@pytest.mark.parametrize(("method", "path"), NOT_OFFERED)
def test_what_is_not_offered_says_so(server, method, path):
    answer = server(method, path, body=None if method == "GET" else {})
    assert answer.status == 501
    assert answer.json["error"].startswith("The embedded Hub does not offer ")
    assert answer.headers["X-Error-Message"] == answer.json["error"]


def test_what_is_not_offered_tells_nothing_of_private_repos(server):
    server("POST", "/api/repos/create", body={"name": "hidden", "type": "space", "sdk": "gradio", "private": True})
    for token, status in (("token-of-ana", 501), ("token-of-ben", 404), (None, 401)):
        assert server("GET", "/api/spaces/ana/hidden/secrets", token=token).status == status
        missing = server("GET", "/api/spaces/ana/no-such/secrets", token=token).status
        assert missing == (401 if token is None else 404)


def test_a_repo_is_not_made_without_what_was_asked_for(server):
    for key, value in {"hardware": "t4-small", "secrets": [{"key": "a", "value": "b"}], "template": "x/y"}.items():
        body = {"name": f"with-{key}", "type": "space", "sdk": "gradio", key: value}
        assert server("POST", "/api/repos/create", body=body).status == 501
        assert server("GET", f"/api/spaces/ana/with-{key}").status == 404


def test_a_repo_begins_with_its_files_and_license(server):
    files = [{"path": "a/b.txt", "content": "aGk=", "encoding": "base64"}]
    body = {"name": "begun", "license": "mit", "files": files}
    assert server("POST", "/api/repos/create", body=body).status == 200
    assert server("GET", "/ana/begun/resolve/main/a/b.txt").body == b"hi"
    assert "license:mit" in server("GET", "/api/models/ana/begun").json["tags"]
    assert len(server("GET", "/api/models/ana/begun/commits/main").json) == 1
    for wrong, status in (
        ({"license": "mit\nx: y"}, 400),
        ({"license": ["mit"]}, 400),
        ({"files": [{"path": "../a", "content": ""}]}, 422),
        ({"files": [{"path": "a", "content": "A" * 100_000}]}, 413),
        ({"files": "a"}, 400),
        ({"files": [{"path": "a", "content": "!", "encoding": "base64"}]}, 400),
    ):
        assert server("POST", "/api/repos/create", body={"name": "not-begun", **wrong}).status == status, wrong
    assert server("GET", "/api/models/ana/not-begun").status == 404


def test_official_client_shows_the_sentence(client):
    out = client(
        """
from huggingface_hub import HfApi
from huggingface_hub.errors import HfHubHTTPError
api = HfApi()
for ask in (api.list_webhooks, lambda: list(api.list_jobs()), lambda: api.run_job(image="python", command=["true"]),
            lambda: api.create_bucket("ana/b")):
    try:
        ask()
    except HfHubHTTPError as error:
        print(error.response.status_code, error.server_message)
"""
    ).splitlines()
    assert [line.split(" offer ")[1].split(";")[0].rstrip(".") for line in out] == [
        "webhooks",
        "Jobs",
        "Jobs",
        "buckets",
    ]


def test_filters_that_cannot_be_applied_are_refused(server):
    for query in ("apps=ollama", "num_parameters=min:1B", "inference=warm", "inference_provider=all"):
        assert server("GET", f"/api/models?{query}").status == 501
    for field in ("baseModels", "childrenModelCount", "usedStorage"):
        assert server("GET", f"/api/models?expand[]={field}").status == 400


def test_filters_of_the_official_client(client):
    client(
        """
from huggingface_hub import HfApi
api = HfApi()
for name in ("filter-one", "filter-two"):
    api.create_repo(f"ana/{name}", repo_type="dataset")
    api.create_repo(f"ana/{name}", repo_type="space", space_sdk="static")
card = b"---\\nsdk: static\\nmodels:\\n- lab/x\\ndatasets: [lab/y]\\n---\\n"
api.upload_file(path_or_fileobj=card, path_in_repo="README.md", repo_id="ana/filter-two", repo_type="space")
assert [each.id for each in api.list_spaces(models="lab/x")] == ["ana/filter-two"]
assert [each.id for each in api.list_spaces(datasets=["lab/y"], models="lab/x")] == ["ana/filter-two"]
assert list(api.list_spaces(models="lab/z")) == []
assert [each.id for each in api.list_datasets(search="filter-two")] == ["ana/filter-two"]
assert [each.id for each in api.list_datasets(dataset_name="filter", search="two")] == ["ana/filter-two"]
"""
    )


def test_space_runtime_is_one_thing(client, server):
    client(
        """
from huggingface_hub import HfApi
api = HfApi()
for sdk, app in (("gradio", "app.py"), ("docker", "Dockerfile"), ("static", "index.html")):
    space = api.create_repo(f"ana/run-{sdk}", repo_type="space", space_sdk=sdk).repo_id
    assert api.space_info(space).runtime.stage == api.get_space_runtime(space).stage == "NO_APP_FILE"
    api.upload_file(path_or_fileobj=b"#", path_in_repo=app, repo_id=space, repo_type="space")
    assert api.space_info(space).runtime.stage == api.get_space_runtime(space).stage == "PAUSED"
"""
    )
    page = server("GET", "/spaces/ana/run-docker", token=None).body.decode()
    assert "docker run -p 127.0.0.1:7860:7860 run-docker" in page
    assert "http://127.0.0.1:8000/index.html" in server("GET", "/spaces/ana/run-static", token=None).body.decode()


def test_space_page_says_how_to_start_it(server):
    server("POST", "/api/repos/create", body={"name": "started", "type": "space", "sdk": "gradio"})

    def add(files):
        lines = [{"key": "header", "value": {"summary": "add"}}]
        lines += [{"key": "file", "value": {"path": path, "content": text}} for path, text in files.items()]
        body = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
        assert server("POST", "/api/spaces/ana/started/commit/main", body=body).status == 200
        return server("GET", "/spaces/ana/started", token=None).body.decode()

    assert "no app file yet" in server("GET", "/spaces/ana/started", token=None).body.decode()
    card = "---\nsdk: gradio\nsdk_version: 6.30.0\napp_file: {}\n---\n"
    page = add({"README.md": card.format("my app.py"), "my app.py": "", "requirements.txt": "numpy"})
    assert "pip install gradio==6.30.0 -r requirements.txt\npython &#39;my app.py&#39;" in page
    # lines made to be copied carry nothing else out of a card
    page = add({"README.md": card.format("my app.py").replace("6.30.0", "'6; curl evil'")})
    assert "curl evil" not in page
    assert "pip install gradio -r" in page


def test_branches_can_be_overwritten(server, repo):
    first = server("GET", f"/api/models/{repo}").json["sha"]
    server.add(repo, {"a.txt": "a"})
    path = f"/api/models/{repo}/branch/side"
    newest = server("POST", path, body={}).json["targetCommit"]
    assert newest != first
    assert server("POST", path, body={}).status == 409
    assert server("POST", path, body={"overwrite": True}).json["targetCommit"] == newest
    assert server("POST", path, body={"overwrite": True, "startingPoint": first}).json["targetCommit"] == first
    assert server("POST", path + "2", body={"emptyBranch": True}).status == 501
