"""A model writes question and answer from passages: the plugin `prompted`.

It is asked for plain lines, `Question: ...` and `Answer: ...`, never for JSON: small models keep to lines. What cannot
be read, and what the passage does not bear out, is kept as dropped with its reason, so that its yield can be told.
Below about 0.5B parameters few questions are of use; the rules of `cloze` and `chains` serve such a base better.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

from pydantic import Field

from solo_hub.core.config import PluginOptions, read_options
from solo_hub.core.errors import ConfigError
from solo_hub.core.plugins import Engine, Progress, Prompt
from solo_hub.core.records import CuratedQuestion, Document
from solo_hub.curation.cloze import SETTING, Sentence, curated
from solo_hub.curation.forms import Asked
from solo_hub.curation.frequencies import words
from solo_hub.curation.scripts import language_of

UNREADABLE = "the model wrote no question with an answer"
UNSUPPORTED = "the answer is not in the passage"

_END = (
    "Write one line that begins with 'Question:' and one that begins with 'Answer:'. Write in the language of the text."
)
TEMPLATES = {
    "plain": (
        "{passages}\n\nAsk a short question that this text answers, and answer it in a few words.\n"
        f"{_END}\n\nQuestion:"
    ),
    "implication": (
        "{passages}\n\nAsk a short question about something that follows from this text without being said in it, and "
        f"answer it in a few words.\n{_END}\n\nQuestion:"
    ),
    "comparison": (
        "First: {first}\nSecond: {second}\n\nAsk a short question that needs both texts, the first and the second, and "
        f"answer it in a few words.\n{_END}\n\nQuestion:"
    ),
}
"""What the model is asked, by name; `comparison` shows two documents."""
_FREE = frozenset({"implication", "comparison"})
"""Templates whose answer need not stand in the passage."""

_QUESTION = re.compile(
    r"(?:^|\n)\s*(?:\*\*|#+\s*)?(?:question|q|\u554f\u984c|\u95ee\u9898|\u554f|\u95ee)\s*\d*\s*[:\uff1a]\s*(?:\*\*)?",
    re.IGNORECASE,
)
_ANSWER = re.compile(
    r"(?:^|\n)\s*(?:\*\*|#+\s*)?(?:answer|a|\u7b54\u6848|\u7b54)\s*\d*\s*[:\uff1a]\s*(?:\*\*)?", re.IGNORECASE
)


class PromptedOptions(PluginOptions):
    """Options of `prompted`.

    Attributes:
        templates: Names of `TEMPLATES` that every document is asked by in turn.
        max_new_tokens: Maximum length of what is written.
        batch_size: Documents at once.
        most_characters: Characters of a passage that are shown.
    """

    templates: list[str] = Field(["plain"])
    max_new_tokens: int = Field(80, ge=0)
    batch_size: int = Field(16, ge=1)
    most_characters: int = Field(2000, ge=0)


class Prompted:
    """The plugin `prompted`.

    Args:
        options: See `PromptedOptions`.
        seed: Not used: decoding is greedy.
        engine: The model that writes.

    Raises:
        ConfigError: Another option, a value out of range, or a template that does not exist.
    """

    name: ClassVar[str] = "prompted"
    needs_engine: ClassVar[bool] = True

    def __init__(self, options: Mapping[str, Any], seed: int, engine: Engine) -> None:  # noqa: ARG002 - see the docstring
        self.options = read_options(PromptedOptions, options, f"question writer '{self.name}'", SETTING)
        for name in self.options.templates:
            if name not in TEMPLATES:
                raise ConfigError(f"Unknown template '{name}'.", hint=f"Available: {', '.join(TEMPLATES)}.")
        self.engine = engine

    def write(self, documents: Sequence[Document], progress: Progress | None = None) -> Iterator[CuratedQuestion]:
        """One question a document and template; `comparison` pairs a document with the next."""
        for start in range(0, len(documents), self.options.batch_size):
            places = range(start, min(start + self.options.batch_size, len(documents)))
            asked = [
                (name, [documents[place] for place in self._shown(name, place, len(documents))])
                for place in places
                for name in self.options.templates
            ]
            prompts = [Prompt(self._fill(name, [document.text for document in shown])) for name, shown in asked]
            for (name, shown), written in zip(
                asked, self.engine.generate(prompts, self.options.max_new_tokens), strict=True
            ):
                yield self._read(name, shown, written.text)
            if progress:
                progress(len(places))

    def _shown(self, name: str, place: int, count: int) -> list[int]:
        return [place, (place + 1) % count] if name == "comparison" and count > 1 else [place]

    def _fill(self, name: str, texts: Sequence[str]) -> str:
        texts = [" ".join(text.split())[: self.options.most_characters] for text in texts]
        # `format` is not used: documents hold braces
        filled = TEMPLATES[name].replace("{passages}", "\n".join(texts))
        return filled.replace("{first}", texts[0]).replace("{second}", texts[-1])

    def _read(self, name: str, shown: Sequence[Document], text: str) -> CuratedQuestion:
        sources = [Sentence(document, document.text, language_of(document.text)) for document in shown]
        found = read_answer(text)
        if found is None:
            return replace(
                curated(self.name, Asked(name, " ".join(text.split())[:400], ""), sources), dropped=UNREADABLE
            )
        question = curated(self.name, Asked(name, *found), sources)
        stems = set(words(question.answer))
        said = {stem for document in shown for stem in words(document.text)}
        if name not in _FREE and (not stems or not stems <= said):
            return replace(question, dropped=UNSUPPORTED)
        return question


def read_answer(text: str) -> tuple[str, str] | None:
    r"""Question and answer out of what a model wrote after `Question:`; None where they cannot be told.

    >>> read_answer(" What do bees carry?\nAnswer: pollen\nQuestion: Who?")
    ('What do bees carry?', 'pollen')
    """
    text = _QUESTION.sub("\n", text, count=1) if _QUESTION.match(text) else text
    parts = _ANSWER.split(text, maxsplit=1)
    if len(parts) != 2:  # noqa: PLR2004 - a question and its answer
        return None
    question = " ".join(parts[0].split()).strip('*" ')
    answer = _QUESTION.split(parts[1].strip(), maxsplit=1)[0].strip().split("\n")[0].strip("*\"' ").rstrip(".\u3002")
    return (question, answer) if question and answer else None
