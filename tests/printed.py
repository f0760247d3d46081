"""What README and docs print: their code blocks and the commands in their sentences."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
SKILL = ROOT / "solo_hub" / "cli" / "skill.md"
SHELL = ("bash", "sh", "shell", "console")
PROGRAMS = ("solo-hub", "hf-solo")
_FENCE = re.compile(
    r"^(?P<indent> *)```(?P<language>[\w-]*)[^\n]*\n(?P<text>.*?)^(?P=indent)```", re.MULTILINE | re.DOTALL
)
_INLINE = re.compile(r"`((?:solo-hub|hf-solo)\s[^`]+)`")


@dataclass(frozen=True, slots=True)
class Printed:
    """A piece of code in a document.

    Attributes:
        place: `FILE:LINE`.
        language: As the fence names it; `inline` for one in a sentence.
        text: The code.
    """

    place: str
    language: str
    text: str

    def __str__(self) -> str:
        return self.place


def documents() -> list[Path]:
    """README, CONTRIBUTING, AGENTS, every page of docs, and the skill for agents."""
    top = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "AGENTS.md")]
    return [*top, *sorted((ROOT / "docs").rglob("*.md")), SKILL]


def pieces(languages: tuple[str, ...]) -> list[Printed]:
    """The code of these languages, in the order of the documents."""
    found = []
    for document in documents():
        text = document.read_text("utf-8")
        here = [(m.start(), m["language"], m["text"]) for m in _FENCE.finditer(text)]
        plain = _FENCE.sub(lambda m: re.sub(r"[^\n]", " ", m[0]), text)  # keeps the places
        here += [(m.start(), "inline", " ".join(m[1].split())) for m in _INLINE.finditer(plain)]
        for start, language, code in sorted(here):
            if language in languages:
                place = f"{document.relative_to(ROOT)}:{text.count(chr(10), 0, start) + 1}"
                found.append(Printed(place, language, code))
    return found


def lines(piece: Printed) -> list[list[str]]:
    """The commands of a piece, as words; comments, prompts and what a command prints are left out.

    Raises:
        ValueError: A quote is not closed.
    """
    text = piece.text.replace("\\\n", " ")
    some = text.splitlines()
    if any(line.lstrip().startswith("$ ") for line in some):  # a transcript: the rest is what was printed
        some = [line.lstrip()[2:] for line in some if line.lstrip().startswith("$ ")]
    return [words for line in some if (words := shlex.split(line, comments=True))]


def commands() -> list[tuple[str, list[str]]]:
    """Every command line with its place, those in sentences too."""
    return [(piece.place, words) for piece in pieces((*SHELL, "inline")) for words in lines(piece)]
