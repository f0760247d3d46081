from __future__ import annotations

import json
import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from solo_hub.core import redaction
from solo_hub.core.errors import InputError, SoloHubError
from solo_hub.core.redaction import HIDDEN, check_address, first_line_scrubbed, redact, register_secret, scrub

SECRET = 'tulip/42 of+no"known shape'


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("Invalid token hf_AbCdEf123456.", "Invalid token hf_***."),
        ("hf_abcdefghijklmnopqrst", "hf_***"),
        ("api_org_0123456789", "api_***"),
        ("Incorrect API key provided: sk-proj-a1b2c3d4e5f6g7h8i9.", "Incorrect API key provided: sk-***."),
        ("authorization: Bearer 0123456789abcdef-xyz", "authorization: Bearer ***"),
        ("http://ada:hunter22@host:80/x", "http://***@host:80/x"),
        ("http://hunter22@host, and https://:pw@other/", "http://***@host, and https://***@other/"),
        ("http://ada:hun/ter@host/x", "http://***@host/x"),
        ("http://host/x?api_key=XYZ&n=1", "http://host/x?api_key=***&n=1"),
        ("http://host/x?n=1&access_token=XYZ;", "http://host/x?n=1&access_token=***;"),
        ("'http://host/x?X-Amz-Signature=ab'", "'http://host/x?X-Amz-Signature=***'"),
    ],
)
def test_what_looks_like_a_secret(text, clean):
    assert scrub(text) == clean


@pytest.mark.parametrize(
    "text",
    [
        "",
        "pip install hf_transfer, or call hf_hub_download with HF_ENDPOINT and HF_TOKEN",
        "half_of_it, a risk-averse-but-long-enough-word, sk-learn",
        "a bearer of bad news, the Bearer certificates",
        "http://127.0.0.1:8000/datasets/ann/data@main, http://hub/x?page=2&keyword=y",
        "write to ann@example.org: at 10:30@home",
    ],
)
def test_ordinary_text_stays(text):
    assert scrub(text) == text


@pytest.mark.parametrize("echo", [str, json.dumps, repr, redaction.quote])
def test_a_remembered_secret_is_found_however_it_is_echoed(echo):
    assert register_secret(SECRET) == SECRET
    assert "tulip" not in scrub(f"Incorrect key: {echo(SECRET)}.")
    redaction.clear_secrets()
    assert "tulip" in scrub(f"Incorrect key: {echo(SECRET)}.")


def test_a_line_end_of_a_tokens_file():
    register_secret("tulip-42\n")
    assert scrub("Illegal header value b'Bearer tulip-42\\n'") == "Illegal header value b'Bearer ***'"
    assert scrub("Incorrect key tulip-42") == "Incorrect key ***"


def test_the_longest_is_taken_out_first():
    register_secret("secret-1")
    register_secret("secret-1-and-more")
    assert scrub("secret-1-and-more, secret-1") == "***, ***"


@pytest.mark.parametrize("nothing", [None, "", "short"])
def test_remember_empty(nothing):
    assert register_secret(nothing) == nothing
    assert scrub("a short text") == "a short text"


@pytest.mark.parametrize("name", redaction.VARIABLES)
def test_the_hubs_own_variables_are_known(monkeypatch, name):
    monkeypatch.setenv(name, "of-another-shape")
    assert scrub("of-another-shape") == HIDDEN


def test_errors_are_scrubbed_as_they_are_made():
    register_secret(SECRET)
    for error in (
        SoloHubError(f"refused {SECRET}.", hint=f"Not {SECRET}."),
        InputError(f"bad {SECRET}.", file="x", hint="y"),
    ):
        assert (
            "tulip" not in f"{error!r} {error} {error.message} {error.hint} {getattr(error, 'reason', '')} {error.args}"
        )


def test_a_secret_is_not_cut_in_two():
    register_secret(SECRET)
    assert "tulip" not in first_line_scrubbed(ValueError("x" * (redaction.LONGEST - 6) + SECRET))
    assert first_line_scrubbed(ValueError("one\ntwo")) == "one"
    assert first_line_scrubbed(ValueError()) == ""


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text("abc {}\n"),
    lambda of: st.lists(of) | st.dictionaries(st.text("ab"), of),
)


@given(JSON)
def test_a_document_without_secrets_stays(document):
    assert redact(document) == document


def test_a_document_with_secrets():
    register_secret(SECRET)
    made = redact({"a": [{"b": f"x {SECRET}"}, 1.5, None], "c": ("hf_AbCdEf123456",)})
    assert made == {"a": [{"b": "x ***"}, 1.5, None], "c": ["hf_***"]}


def test_logs_of_whoever_logs(capsys):
    before = logging.getLogRecordFactory()
    handler = logging.StreamHandler()
    logger = logging.getLogger("somebody.else")
    logger.addHandler(handler)
    register_secret(SECRET)
    try:
        redaction.scrub_logs()
        logger.warning("server says %s", SECRET)
        try:
            int(SECRET)
        except ValueError:
            logger.exception("it failed")
    finally:
        logging.setLogRecordFactory(before)
        logger.removeHandler(handler)
    said = capsys.readouterr().err
    assert "server says ***" in said
    assert "ValueError: invalid literal" in said
    assert "tulip" not in said


@pytest.mark.parametrize("address", ["http://127.0.0.1:8000", "https://host/v1/", "http://[::1]:80", "HTTP://host"])
def test_addresses(address):
    assert check_address(address, "X") == address


@pytest.mark.parametrize(
    "address",
    [
        "http://ada:hunter22@host", "http://hunter22@host", "http://ada:hun/ter22@host", "http://host?api_key=hunter22",
        "http://host#hunter22", "ada:hunter22@host",
    ],
)  # fmt: skip
def test_an_address_with_a_secret(address):
    with pytest.raises(ValueError, match=r"keep credentials out of it and use HF_TOKEN") as refused:
        check_address(address, "HF_TOKEN")
    assert "hunter22" not in str(refused.value)


@pytest.mark.parametrize(
    "address", ["", "host", "127.0.0.1:80", "ftp://host", "http://", "http://[::1", "http://h:99999"]
)
def test_no_address(address):
    with pytest.raises(ValueError, match="must start with http"):
        check_address(address, "X")
