"""`make audit`: what could not be looked up is never taken for clean."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import SimpleNamespace

import pytest

CI = Path(__file__).parent.parent / ".ci"


@pytest.fixture
def audit(monkeypatch):
    """Runs the script on an answer of pip-audit; returns the exit code."""
    spec = importlib.util.spec_from_file_location("audit_script", CI / "audit.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)

    def run(stdout, *arguments, stderr=""):
        monkeypatch.setattr(script.subprocess, "run", lambda *_, **__: SimpleNamespace(stdout=stdout, stderr=stderr))
        return script.main(list(arguments))

    return run


def packages(*rows):
    return json.dumps({"dependencies": [{"name": "torch", "version": "2.8", "vulns": [], **row} for row in rows]})


SKIPPED = {"skip_reason": "not found on PyPI"}
VULNERABLE = {"vulns": [{"id": "CVE-1", "fix_versions": ["2.9"]}]}


@pytest.mark.parametrize(
    ("answer", "code", "said"),
    [
        (packages({}), 0, "1 of 1 packages audited, 0 vulnerabilities"),
        (packages({}, SKIPPED), 0, "1 of 2 packages audited, 0 vulnerabilities"),
        (packages(VULNERABLE), 1, "torch 2.8: CVE-1; fixed in 2.9."),
        ("", 3, "NOT AUDITED: the vulnerability service could not be asked (no answer); or pass --offline-ok."),
        ("{}", 3, "NOT AUDITED: "),
        (packages(SKIPPED), 3, "NOT AUDITED: the vulnerability service knows none of the 1 packages"),
    ],
)
def test_exit_codes(audit, capsys, answer, code, said):
    assert audit(answer) == code
    assert said in capsys.readouterr().out


@pytest.mark.parametrize(("answer", "code"), [("", 0), (packages(SKIPPED), 0), (packages(VULNERABLE), 1)])
def test_offline_is_let_pass_where_it_is_said(audit, capsys, answer, code):
    assert audit(answer, "--offline-ok", stderr="one\nno route to host") == code
    assert ("--offline-ok LETS IT PASS; NOTHING IS KNOWN" in capsys.readouterr().out) is (code == 0)


def test_the_offline_ci_says_so():
    assert "make audit AUDIT=--offline-ok" in (CI / "run").read_text()
