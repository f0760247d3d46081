"""Every example of README and docs, read by the command line, the configuration and the compiler that it is for.

What can be done in seconds is done by `test_printed_runs.py`, as printed, on the embedded Hub.
"""

from __future__ import annotations

import ast
import importlib
import re
from importlib import metadata, util
from pathlib import Path

import click
import pytest
import yaml
from packaging.requirements import Requirement
from printed import PROGRAMS, ROOT, commands, documents, lines, pieces

from solo_hub.cli import main
from solo_hub.cli.options import KEYS, read_config
from solo_hub.core import config as settings

COMMANDS = commands()
PROJECT = metadata.metadata("solo-hub")


def parse(words):
    """A command of `solo-hub` as click reads it: every option is known, and has a value that fits."""
    command, context, name = main.cli, click.Context(main.cli, info_name="solo-hub"), "solo-hub"
    rest = list(words[1:])
    while isinstance(command, click.Group):
        if not rest or rest[0] in ("--help", "--version", "-h"):
            return None
        name, command, rest = command.resolve_command(context, rest)
        context = click.Context(command, info_name=name, parent=context)
    if "--help" in rest:
        return None
    if not rest and any(param.required for param in command.params):
        return None  # a command's name in a sentence
    try:
        return command.make_context(name, rest, parent=context.parent)
    except click.BadParameter as error:
        if "does not exist" in error.message:  # the reader's own file or folder
            return None
        raise


def check_settings(words):
    """What the options stand for is a configuration."""
    context = parse(words)
    if context is None or "assignments" not in context.params:
        return
    given = context.params
    source = given.get("source")
    if source and source.endswith((".yaml", ".yml")):
        source = None  # another block shows it, which has a test of its own
    options = {name: value if value is None or name == "seed" else str(value) for name in KEYS
               if (value := given.get(name, None)) is not None or name in given}  # fmt: skip
    read_config(source, Path("runs/none"), options, given["assignments"])


@pytest.mark.parametrize(("place", "words"), [(p, w) for p, w in COMMANDS if w[0] in PROGRAMS])
def test_a_command(place, words):
    if any("..." in word or "…" in word for word in words):
        words = [word for word in words if "..." not in word and "…" not in word]
    check_settings(words)


def test_there_are_commands_and_this_test_can_fail():
    assert sum(words[0] in PROGRAMS for _, words in COMMANDS) > 20
    for wrong in ("distil my.yaml", "distill --no-such-option", "index --to", "hub sreve", "train --seed none"):
        with pytest.raises((click.ClickException, ValueError)):
            check_settings(["solo-hub", *wrong.split()])
    with pytest.raises(ValueError, match="epoch"):
        check_settings(["solo-hub", "distill", "--set", "student.epoch=3"])


def _check_make(words):
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    assert {word for word in words[1:] if "=" not in word and not word.startswith("-")} <= set(targets)


def _check_pip(words):
    """Of our own package the extras, and the files that are named."""
    named = [word for word in words[2:] if not word.startswith("-")]
    for word in named:
        if word.endswith(".txt"):
            assert (ROOT / word).is_file()
            continue
        needed = Requirement(word.replace(".", "solo-hub", 1) if word.startswith(".") else word)
        if needed.name == "solo-hub":
            assert needed.extras <= set(PROJECT.get_all("Provides-Extra"))


def _check_python(words):
    """A script of ours with options it has, or a command of ours as a module."""
    words = words[1:]
    if words[0] == "-m":
        if words[1] == "solo_hub.cli.main":
            check_settings(["solo-hub", *words[2:]])
        return
    if words[0].startswith(("benchmarks/", "spaces/")):
        script = (ROOT / words[0]).read_text("utf-8")
        names = [word.partition("=")[0].lstrip("-") for word in words if word.startswith("--")]
        assert all(name in script or name.replace("-", "_") in script for name in names)


def _check_accelerate(words):
    at = words.index("-m")
    _check_python(["python", *words[at:]])


OTHERS = {"make": _check_make, "pip": _check_pip, "python": _check_python, "accelerate": _check_accelerate}
"""Other programs whose lines say something of ours; of the rest only the quotes are read."""


@pytest.mark.parametrize(("place", "words"), [(p, w) for p, w in COMMANDS if w[0] in OTHERS])
def test_a_line_of_another_program(place, words):
    OTHERS[words[0]](words)


@pytest.mark.parametrize("piece", pieces(("yaml", "yml")), ids=str)
def test_yaml(piece):
    """Settings are settings; other YAML is YAML."""
    for document in yaml.safe_load_all(piece.text):
        if isinstance(document, dict) and document.keys() & settings.Config.model_fields.keys():
            settings.build(document, piece.place)


@pytest.mark.parametrize("piece", pieces(("python", "py")), ids=str)
def test_python(piece):
    """It compiles, and everything it imports is there."""
    tree = ast.parse(piece.text, piece.place)
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            if node.module.split(".")[0] == "solo_hub":
                module = importlib.import_module(node.module)
                missing = [n.name for n in node.names if not hasattr(module, n.name)
                           and util.find_spec(f"{node.module}.{n.name}") is None]  # fmt: skip
                assert not missing
            else:
                assert util.find_spec(node.module.split(".")[0]) is not None
        elif isinstance(node, ast.Import):
            assert all(util.find_spec(name.name.split(".")[0]) is not None for name in node.names)


def test_the_examples_of_help():
    """What `--help` of each command prints as an example is a command."""
    found = 0
    for name in main.COMMANDS:
        command = main.cli.get_command(click.Context(main.cli), name)
        every = [command, *(command.commands.values() if isinstance(command, click.Group) else ())]
        for one in every:
            text = f"{one.help or ''}\n{one.epilog or ''}".replace("\b", "")
            for line in re.findall(r"(?:solo-hub|hf-solo) [^\n]+", text):
                said = re.split(r"\s{2,}| #", line.strip().rstrip("."))[0]
                words = said.split()
                if len(words) > 1 and not any(mark in said for mark in ("...", "`", ":", "[")):
                    check_settings(words)
                    found += 1
    assert found > 8


def test_links_to_files_of_the_repository():
    for document in documents():
        for target in re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", document.read_text("utf-8")):
            assert (document.parent / target).exists(), f"{document.name}: {target}"


def test_what_is_not_a_command_is_left_out():
    from printed import Printed

    piece = Printed("x:1", "console", "$ solo-hub show runs/a  # tables\nbase 0.1\n$ solo-hub \\\n  plugins\n")
    assert lines(piece) == [["solo-hub", "show", "runs/a"], ["solo-hub", "plugins"]]
