"""What the machine refuses, in the words of libraries that know of no error number, told as one sentence."""

from __future__ import annotations

import errno
import sqlite3

import click
import pytest

from solo_hub.cli import main


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (RuntimeError("basic_ios::clear: iostream error"), "could not be written completely: the disk is full"),
        (
            RuntimeError("[enforce fail at inline_container.cc] . PytorchStreamWriter failed"),
            "could not be written completely",
        ),
        (RuntimeError("I/O error: No space left on device (os error 28)"), "The disk is full."),
        (sqlite3.OperationalError("database or disk is full"), "The disk is full."),
        (OSError(errno.ENOSPC, "No space left on device", "/runs/x"), "The disk is full '/runs/x'."),
        (OSError(errno.EROFS, "Read-only file system", "/runs/x"), "with --run DIR, or change its permissions."),
        (OSError(errno.EACCES, "Permission denied", "/home/own/cache/x"), "Point SOLO_HUB_HOME to another folder"),
    ],
)
def test_a_limit_is_one_sentence_with_what_to_do(monkeypatch, capsys, error, told):
    @click.command()
    def fails():
        raise error

    monkeypatch.setenv("SOLO_HUB_HOME", "/home/own")
    monkeypatch.setattr(main, "cli", fails)
    assert main.run([]) == 1
    err = capsys.readouterr().err
    assert told in err
    assert "bug in solo-hub" not in err
