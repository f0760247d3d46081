"""The skill for coding agents; its commands are read and run with those of the docs (`printed.documents`)."""

from __future__ import annotations

import re

import yaml
from printed import PROGRAMS, SKILL, commands

from solo_hub.cli import main


def test_it_is_a_skill():
    """A folder of the skill's name, front matter with name and description, and commands in the order of the work."""
    text = SKILL.read_text("utf-8")
    front = yaml.safe_load(text.split("---")[1])
    assert front.keys() == {"name", "description"}
    assert re.fullmatch(r"[a-z0-9-]{1,64}", front["name"])
    assert len(front["description"]) <= 1024
    ours = [words[1] for place, words in commands() if place.startswith("solo_hub/cli/") and words[0] in PROGRAMS]
    steps = [name for name in dict.fromkeys(ours) if name in ("init", "doctor", "distill", "show", "verify")]
    assert steps == ["init", "doctor", "distill", "show", "verify"]


def test_printed_and_installed_it_is_the_same(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main.run(["skill"]) == 0
    printed = capsys.readouterr().out
    assert printed == SKILL.read_text("utf-8")
    assert not list(tmp_path.iterdir())
    for _ in range(2):  # again replaces it
        assert main.run(["skill", "--install", "--to", "mine"]) == 0
        files = capsys.readouterr().out.split()
        assert files == [f"{name}/solo-hub/SKILL.md" for name in (".agents/skills", ".claude/skills", "mine")]
        assert [(tmp_path / file).read_text("utf-8") for file in files] == [printed] * 3
