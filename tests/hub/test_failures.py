"""Every way the Hub's client can fail, said in our words."""

from __future__ import annotations

import errno

import httpx2
import pytest
from huggingface_hub import errors as hf

from solo_hub.core.errors import (
    ConflictError,
    GatedError,
    HubError,
    InputError,
    NotAllowedError,
    RepoMissingError,
    SoloHubError,
    UsageError,
)
from solo_hub.core.redaction import register_secret
from solo_hub.hub import HubClient
from solo_hub.hub.failures import Place, explain, repo_url, translated

REAL = Place("https://huggingface.co", "ann/data", "dataset", "v9", "/cache")
LOCAL = Place("http://127.0.0.1:9", "ann/model")


def response(status: int, message: str = "no") -> httpx2.Response:
    request = httpx2.Request("GET", "https://huggingface.co/api/datasets/ann/data")
    return httpx2.Response(status, request=request, headers={"X-Error-Message": message})


def http(kind, status: int, message: str = "no"):
    return kind(f"{status} Client Error", response=response(status, message), server_message=message)


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (http(hf.RepositoryNotFoundError, 404), RepoMissingError, ["dataset 'ann/data'", "`hf auth login`"]),
        (http(hf.GatedRepoError, 403), GatedError, ["https://huggingface.co/datasets/ann/data", "hf auth login"]),
        (http(hf.RevisionNotFoundError, 404), RepoMissingError, ["no revision 'v9'"]),
        (http(hf.DisabledRepoError, 403), RepoMissingError, ["disabled"]),
        (hf.LocalTokenNotFoundError("no token"), NotAllowedError, ["There is no token", "HF_TOKEN"]),
        (http(hf.HfHubHTTPError, 401), NotAllowedError, ["rejected the token", "hf auth login"]),
        (http(hf.HfHubHTTPError, 403, "read only"), NotAllowedError, ["read only", "--namespace"]),
        (http(hf.HfHubHTTPError, 409), ConflictError, ["at the same time", "Run the same command again"]),
        (http(hf.HfHubHTTPError, 412), ConflictError, ["at the same time"]),
        (http(hf.HfHubHTTPError, 413), HubError, ["too large"]),
        (http(hf.HfHubHTTPError, 429), HubError, ["request rate"]),
        (http(hf.HfHubHTTPError, 507), HubError, ["no space left"]),
        (http(hf.HfHubHTTPError, 502), HubError, ["status 502", "Run the same command again"]),
        (http(hf.BadRequestError, 400, "bad name"), HubError, ["status 400", "bad name"]),
        (hf.OfflineModeIsEnabled("offline"), HubError, ["HF_HUB_OFFLINE", "--hub local"]),
        (httpx2.ConnectError("Name or service not known"), HubError, ["Cannot reach", "`--hub local`"]),
        (httpx2.ReadTimeout("timed out"), HubError, ["Cannot reach", "timed out"]),
        (httpx2.DecodingError("Error -3 while decompressing data"), HubError, ["malformed response", "again"]),
        (OSError(errno.ENOSPC, "No space left on device", "/cache/x"), HubError, ["No space left", "/cache"]),
        (RuntimeError("Data error: No space left on device (os error 28)"), HubError, ["No space left"]),
        (RuntimeError("Xet: server closed"), HubError, ["transfer", "Xet: server closed"]),
        (
            ConnectionError(
                "Server error: HTTP status server error (507 Insufficient Storage), domain: http://x/xorbs"
            ),
            HubError,
            ["has no space left for the dataset 'ann/data'", "Free some there"],
        ),
        (ConnectionError("Request error: HTTP status client error (403 Forbidden)"), NotAllowedError, ["--namespace"]),
        (
            RuntimeError(
                "Task panic: builder error 1: No CA certificates were loaded from the system Stack backtrace:"
            ),
            HubError,
            ["CA certificates of this machine", "`ulimit -n`"],
        ),
        (
            ValueError("LFS batch API returned errors:\nEncountered error for file with OID 9c53: `Over your quota.`"),
            HubError,
            ["refused a file of 'ann/data': Over your quota.", "Run the same command again"],
        ),
        (PermissionError(errno.EROFS, "Read-only file system", "/cache/x"), HubError, ["SOLO_HUB_HOME or HF_HOME"]),
        (PermissionError(errno.EACCES, "Permission denied", "/cache/x"), HubError, ["/cache/x", "Permission denied"]),
        (hf.HFValidationError("Repo id must be ..."), UsageError, ["OWNER/NAME"]),
        (ValueError('Invalid metadata in README.md.\n- "license" must be'), InputError, ["README.md", "license"]),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else None,
)
def test_each_failure_is_one_sentence_with_what_to_do(error, kind, words):
    ours = explain(error, REAL)
    assert type(ours) is kind
    for word in words:
        assert word in str(ours)
    assert "\n" not in str(ours)
    assert ours.message.endswith(".")


def test_what_is_not_about_the_hub_is_left_alone():
    assert explain(KeyError("x"), REAL) is None
    with pytest.raises(KeyError), translated(REAL):
        raise KeyError("x")


def test_a_lost_connection_is_found_behind_the_clients_own_wording():
    """snapshot_download says "not in the cache" and keeps the lost connection as the cause."""
    error = hf.LocalEntryNotFoundError("An error happened while trying to locate the files on the Hub")
    error.__cause__ = httpx2.ConnectError("Connection refused")
    assert "Cannot reach https://huggingface.co (Connection refused)" in str(explain(error, REAL))


def test_a_hub_on_this_machine_is_started_not_waited_for():
    ours = explain(httpx2.ConnectError("Connection refused"), LOCAL)
    assert "solo-hub hub serve" in str(ours)
    assert "Check the network" not in str(ours)


def test_our_own_errors_pass_unchanged():
    ours = InputError("bad row.", file="x", row=3)
    with pytest.raises(InputError) as caught, translated(REAL):
        raise ours
    assert caught.value is ours


@pytest.mark.parametrize(
    "text", ["hf_AbCdEf123456", "Bearer hf_AbCdEf123456", "api_org_0123456789", "secret-token-of-no-known-form"]
)
def test_no_token_in_a_message_nor_in_its_cause(text):
    register_secret("secret-token-of-no-known-form")
    with pytest.raises(SoloHubError) as caught, translated(REAL):
        raise http(hf.HfHubHTTPError, 403, f"Token {text} may not write")
    assert text not in str(caught.value)
    with pytest.raises(SoloHubError) as caught, translated(REAL):
        raise RuntimeError(f"Token {text} may not write")
    assert text not in str(caught.value)
    assert caught.value.__cause__ is None  # a traceback would print it


def test_pages():
    assert repo_url("http://h/", "a/b", "model") == "http://h/a/b"
    assert repo_url("http://h", "a/b", "space") == "http://h/spaces/a/b"


@pytest.mark.parametrize("token", ["hf_abcdéfghijkl0", "hf_abcdefghij0\nhf_klmnopqrst1", "hf_abc defghij0"])
@pytest.mark.parametrize("given", ["handed over", "in HF_TOKEN"])
def test_a_token_that_is_none_is_told_before_it_is_sent_and_not_repeated(tmp_path, monkeypatch, token, given):
    if given == "in HF_TOKEN":
        monkeypatch.setenv("HF_TOKEN", token)
    door = HubClient("http://127.0.0.1:9", token if given == "handed over" else None, tmp_path)
    with pytest.raises(NotAllowedError, match="contains invalid characters") as caught:
        door.pin("o/n", "model")
    assert "`hf auth login`" in str(caught.value)
    assert not any(part in str(caught.value) for part in ("hf_abc", "hf_klm", "defghij0"))


def test_the_line_end_of_a_file_is_no_part_of_a_token(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_abcdefghij0\n")
    with pytest.raises(HubError, match="Cannot reach"):
        HubClient("http://127.0.0.1:9", None, tmp_path).pin("o/n", "model")
