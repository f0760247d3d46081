"""The command line: exit codes, one sentence for every failure, no token in it, and help that can be followed."""

from __future__ import annotations

import errno
import json
import logging
import re
import shlex
import sys
from types import SimpleNamespace

import click
import pytest

from solo_hub import __version__
from solo_hub.cli import main
from solo_hub.cli.options import read_config
from solo_hub.core.errors import ConfigError, HubError, InputError, Interrupted, ModelError, RunError, UsageError
from solo_hub.core.redaction import register_secret

TOKEN = "hf_" + "abcDEF0123456789"


@pytest.fixture
def fail_with(monkeypatch):
    """Make `solo-hub fail` raise something."""

    def register(error):
        @click.command()
        def fail():
            raise error

        monkeypatch.setitem(sys.modules, "failing_command", SimpleNamespace(fail=fail))
        monkeypatch.setitem(main.COMMANDS, "fail", ("failing_command", "fail"))
        return main.run(["fail"])

    return register


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (UsageError("Which run?", hint="Name it."), 2, "Which run? Name it."),
        (ConfigError("No such key."), 2, "No such key."),
        (InputError("empty.", file="q.jsonl", row=3), 1, "q.jsonl, row 3: empty."),
        (RunError("In use."), 1, "In use."),
        (HubError("The Hub said no."), 1, "The Hub said no."),
        (ModelError("No tokenizer."), 1, "No tokenizer."),
        (KeyboardInterrupt(), 130, "Interrupted. Run the same command again"),
        (Interrupted("no progress is lost"), 130, "Interrupted; no progress is lost. Run the same command again"),
        (click.exceptions.Abort(), 130, "Interrupted"),
        (OSError(errno.ENOSPC, "No space left on device", "runs/x"), 1, "The disk is full 'runs/x'. Free some space"),
        (OSError(errno.ENOSPC, "No space left on device"), 1, "The disk is full. Free some space"),
        (RuntimeError("PytorchStreamWriter failed: No space left on device (28)"), 1, "The disk is full. Free"),
        (
            RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 22784 vs 22672"),
            1,
            "written completely",
        ),
        (PermissionError(errno.EACCES, "Permission denied", "/x"), 1, "Permission denied '/x'"),
        (OSError(errno.EROFS, "Read-only file system", "/x"), 1, "Permission denied '/x'"),
        (ConnectionResetError(errno.ECONNRESET, "Connection reset"), 1, "Connection reset."),
        (MemoryError(), 1, "Out of memory."),
        (RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"), 1, "Out of memory."),
        (ValueError("oops"), 1, "This is a bug in solo-hub: ValueError: oops"),
        (click.FileError("x.yaml", "no"), 1, "Could not open file"),
        (click.UsageError("Wrong."), 2, "Wrong."),
    ],
)
def test_a_failure_is_one_sentence_and_an_exit_code(fail_with, capsys, error, code, said):
    assert fail_with(error) == code
    out, err = capsys.readouterr()
    assert said in err
    assert "Traceback" not in err
    assert out == ""


@pytest.mark.parametrize("kind", [HubError, ValueError, OSError, click.UsageError])
def test_no_token_is_ever_said(fail_with, capsys, monkeypatch, kind):
    monkeypatch.setenv("HF_TOKEN", "a-token-of-another-shape")
    monkeypatch.setenv(main.TRACEBACK, "1")
    fail_with(kind(f"GET https://user:{TOKEN}@hub/x Bearer a-token-of-another-shape"))
    err = capsys.readouterr().err
    assert TOKEN not in err
    assert "a-token-of-another-shape" not in err
    assert "***" in err


@pytest.mark.parametrize("kind", [HubError, ValueError, OSError, click.UsageError])
def test_what_a_server_echoes_is_not_said(fail_with, capsys, monkeypatch, kind):
    """The token of an engine or a TEI server, which no variable known here holds."""
    monkeypatch.setenv(main.TRACEBACK, "1")
    register_secret("tulips-of-no-known-shape")
    fail_with(kind("Incorrect API key provided: tulips-of-no-known-shape"))
    err = capsys.readouterr().err
    assert "tulips" not in err
    assert "***" in err


def test_logs_are_scrubbed_by_the_program_alone(monkeypatch):
    before = logging.getLogRecordFactory()
    assert before is logging.LogRecord
    monkeypatch.setattr(main, "run", lambda _: 0)
    try:
        with pytest.raises(SystemExit):
            main.main([])
        secret = register_secret("tulips-of-no-known-shape")
        made = logging.getLogRecordFactory()("x", logging.WARNING, "x.py", 1, "with %s", (secret,), None)
        assert made.getMessage() == "with ***"
    finally:
        logging.setLogRecordFactory(before)


def test_a_traceback_on_request(fail_with, capsys, monkeypatch):
    monkeypatch.setenv(main.TRACEBACK, "1")
    fail_with(ValueError("oops"))
    assert "Traceback (most recent call last)" in capsys.readouterr().err


def test_nobody_is_left_to_read(fail_with, capsys):
    with pytest.raises(SystemExit) as stop:
        sys.exit(fail_with(BrokenPipeError(errno.EPIPE, "Broken pipe")))
    assert stop.value.code == 1
    assert not sys.stderr.closed


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["distil"], "No such command: 'distil'. Did you mean 'distill'? Known: "),
        (["--nonsense"], "No such option"),
        (["distill", "--nonsense"], "No such option"),
        (["distill", "--seed", "x"], "'x' is not a valid integer"),
        (["distill", "--format", "xml"], "'xml' is not one of"),
        (["distill", "no-such-preset"], "Unknown preset 'no-such-preset'"),
        (["distill", "missing.yaml"], "Cannot read the configuration 'missing.yaml': No such file or directory."),
        (["distill", "demo", "--set", "student.epoch=1"], "unknown key 'student.epoch'. Did you mean 'epochs'?"),
        (["distill", "demo", "--set", "nonsense"], "--set 'nonsense' has no value"),
        (["publish"], "No run given."),
        (["show"], "Missing argument"),
        ([], "Usage: solo-hub"),
    ],
)
def test_wrong_use_is_told_with_exit_code_2(arguments, said, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main.run(arguments) == 2
    err = capsys.readouterr().err
    assert said in err
    assert "Traceback" not in err
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_no_run(capsys, tmp_path):
    assert main.run(["show", str(tmp_path)]) == 1
    assert "is not a run folder" in capsys.readouterr().err
    assert main.run(["publish", "--run", str(tmp_path / "missing")]) in {1, 2}


def test_version(capsys):
    assert main.run(["--version"]) == 0
    assert capsys.readouterr().out.strip().endswith(__version__)


def test_plugins_for_programs_and_for_people(capsys):
    assert main.run(["plugins", "--format", "json"]) == 0
    found = json.loads(capsys.readouterr().out)["plugins"]
    assert {"group": "tasks", "name": "qasc"}.items() <= next(p for p in found if p["name"] == "qasc").items()
    assert main.run(["plugins"]) == 0
    assert "qasc" in capsys.readouterr().out


# -- help --------------------------------------------------------------------------------------------------------------


def leaves(command=main.cli, path=()):
    """Every command that does something, by its path."""
    context = click.Context(command)
    if not isinstance(command, click.Group):
        yield path, command
        return
    for name in command.list_commands(context):
        yield from leaves(command.get_command(context, name), (*path, name))


LEAVES = dict(leaves())


def help_of(path):
    command = LEAVES[path]
    return command.get_help(click.Context(command, info_name="solo-hub " + " ".join(path)))


@pytest.mark.parametrize("path", LEAVES, ids=" ".join)
def test_every_command_says_what_it_does_with_an_example(path):
    text = help_of(path)
    assert len(LEAVES[path].get_short_help_str()) > 10
    assert re.search(r"Examples?:", text), text
    assert f"solo-hub {' '.join(path)}" in text.split("Example", 1)[1]
    for parameter in LEAVES[path].params:
        if isinstance(parameter, click.Option):
            assert parameter.help, f"{path}: {parameter.name}"


@pytest.mark.parametrize("path", LEAVES, ids=" ".join)
def test_every_example_can_be_typed(path, tmp_path, monkeypatch):
    """The arguments of each example are ones the command takes."""
    monkeypatch.chdir(tmp_path)
    for folder in ("data", "runs/demo"):
        (tmp_path / folder).mkdir(parents=True)
    examples = re.findall(r"solo-hub ((?:[^\s]| (?! ))+)", help_of(path).split("Example", 1)[1])
    assert examples
    for example in examples:
        words = shlex.split(example.split(" #")[0].rstrip("."))
        depth = next(d for d in range(len(words), 0, -1) if tuple(words[:d]) in LEAVES)
        LEAVES[tuple(words[:depth])].make_context("x", words[depth:])


def test_the_help_of_distill_lists_every_preset_and_setting():
    from solo_hub.core.config import describe, presets

    text = help_of(("distill",))
    for name in (*presets(), *(key for key, _, _ in describe())):
        assert re.search(rf"^ +{re.escape(name)}\b", text, re.MULTILINE), name


def test_commands_are_where_the_table_says():
    for name, (module, attribute) in main.COMMANDS.items():
        assert __import__(module, fromlist=[attribute]).__dict__[attribute].name == name


# -- settings ----------------------------------------------------------------------------------------------------------


def test_options_stand_above_the_file_and_assignments_above_options(tmp_path):
    path = tmp_path / "my.yaml"
    path.write_text("name: mine\nseed: 1\nbase: a/b\ntask:\n")
    options = {"seed": 2, "base": None, "task": "open_qa"}
    config, folder = read_config(str(path), None, options, ("seed=3", "student.rank=4"))
    assert (config.name, config.seed, config.base, config.task.name) == ("mine", 3, "a/b", "open_qa")
    assert config.student.rank == 4
    assert folder.as_posix() == "runs/mine-seed3"


def test_a_run_folder_brings_its_own_settings(tmp_path):
    (tmp_path / "config.yaml").write_text("config_version: 1\nsettings: {name: old, seed: 5}\nresolved: {}\n")
    config, folder = read_config(None, tmp_path, {}, ())
    assert (config.name, config.seed, folder) == ("old", 5, tmp_path)
    again, _ = read_config(str(tmp_path / "config.yaml"), tmp_path / "new", {}, ())
    assert again == config


def test_settings_empty():
    config, folder = read_config(None, None, {"seed": None}, ())
    assert (config.name, folder.as_posix()) == ("run", "runs/run")


@pytest.mark.parametrize("text", ["a: 1\n", "settings: 3\n"])
def test_a_run_folder_with_another_config(tmp_path, text):
    (tmp_path / "config.yaml").write_text(text)
    with pytest.raises(ConfigError, match="is not the configuration of a run"):
        read_config(None, tmp_path, {}, ())


@pytest.mark.parametrize(
    "cause",
    [
        MemoryError(),
        OSError(12, "Cannot allocate memory"),
        RuntimeError("unable to mmap 9 bytes: Cannot allocate memory"),
    ],
)
def test_what_failed_for_want_of_memory_says_so(monkeypatch, capsys, cause):
    """A download or a model that met the end of the memory tells of transfers and models; the cause is told."""
    from solo_hub.cli import main
    from solo_hub.core.errors import HubError

    def fail(*_, **__):
        raise HubError("The transfer of the model failed.", hint="Try again.") from cause

    monkeypatch.setattr(main.cli, "main", fail)
    assert main.run(["distill"]) == 1
    said = " ".join(capsys.readouterr().err.split())
    assert "Out of memory." in said
    assert "transfer" not in said


@pytest.mark.parametrize(("free", "said"), [(1 << 28, "Out of memory."), (1 << 33, "RuntimeError: could")])
def test_what_may_be_want_of_memory_is_where_little_is_free(fail_with, monkeypatch, capsys, free, said):
    monkeypatch.setattr("solo_hub.core.system.free_memory", lambda: free)
    assert fail_with(RuntimeError("could not create a primitive")) == 1
    assert said in " ".join(capsys.readouterr().err.split())


def test_an_error_is_told_even_where_there_is_no_memory_to_format_it(monkeypatch, capsys):
    from solo_hub.cli import main
    from solo_hub.core.console import Console

    def no_room(*_, **__):
        raise MemoryError

    monkeypatch.setattr(main.cli, "main", no_room)
    monkeypatch.setattr(Console, "error", no_room)
    assert main.run(["distill"]) == 1
    assert "Error: Out of memory." in capsys.readouterr().err
