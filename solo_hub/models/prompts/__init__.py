"""What a model is asked, word for word: the templates of this folder and the one class that fills them.

One template serves all arms: the teacher's prompt is the student's with the passages put in front. The question comes
after the passages, so that nothing which is cut for length can ever be the question.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources

import jinja2

from solo_hub.core.errors import InputError
from solo_hub.core.plugins import Prompt
from solo_hub.core.records import Question
from solo_hub.models.options import LETTERS

ORDER = "best passage last"  # how `models.answering.fit` orders passages; labels made otherwise are not reused
BARE_STYLE = "class"
"""The style of an encoder, which is asked the text alone."""
LISTED_STYLES = ("letter",)
"""Styles whose prompt lists the options; the others show the question alone."""


def check_letters(questions: Iterable[Question]) -> None:
    """See that letters can name the options of every question.

    Raises:
        InputError: A question has more options than there are letters.
    """
    for question in questions:
        if len(question.options) > len(LETTERS):
            raise InputError(
                f"question '{question.id}' has {len(question.options)} options, and letters name {len(LETTERS)}.",
                hint="Set teacher.style=text (or auto): each option is then scored by its own words. A teacher without "
                "log-probabilities needs letters.",
            )


def suit_letters(questions: Iterable[Question]) -> bool:
    """Whether letters can name the options of every question."""
    return all(len(question.options) <= len(LETTERS) for question in questions)


@cache
def _template(name: str) -> jinja2.Template:
    # Prompts are plain text for a model, not HTML: escaping would put entities into what it reads.
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, autoescape=False, trim_blocks=False)  # noqa: S701
    return environment.from_string(_source(name))


@cache
def _source(name: str) -> str:
    return (resources.files(__name__) / f"{name}.jinja").read_text("utf-8")


def identity(prompt: str) -> str:
    """Hash of every template and of the prompt's format: part of each label's key.

    The chat format itself comes with the base model and is pinned by its commit.
    """
    parts = [_source("answer"), _source("explain"), prompt, ORDER]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class PromptBuilder:
    """Fills the templates.

    Attributes:
        chat: Turns a user message into the model's chat format, ready for the answer; None for a plain prompt.
        examples: Questions with their answers that are put in front of every other question: nobody is shown the answer
            that is asked for.
    """

    chat: Callable[[str], Prompt] | None = None
    examples: tuple[tuple[Question, str], ...] = ()

    def ask(self, question: Question, style: str, passages: Sequence[str] = ()) -> Prompt:
        """The question, with passages for the teacher and without for the student."""
        if style == BARE_STYLE:
            return Prompt(_line(question.text))
        others = [pair for pair in self.examples if not asks_the_same(pair[0], question)]
        shown = [f"{self._ask(asked, style, ())} {_line(answer)}\n\n" for asked, answer in others]
        return self._finish("".join([*shown, self._ask(question, style, passages)]))

    def prior(self) -> Prompt:
        """The bare beginning of an answer: what the model would say to no question at all."""
        return self.chat("Answer:") if self.chat else Prompt("Answer:")

    def explain(self, question: Question, answer: str, passages: Sequence[str]) -> Prompt:
        """Ask why, with numbered passages to cite."""
        text = _template("explain").render(
            question=_line(question.text), answer=answer, passages=[_line(p) for p in passages]
        )
        return self._finish(text)

    def continuation(self, answer: str) -> str:
        """An answer as it follows the prompt: after a blank in running text, at once in a chat turn."""
        return answer if self.chat else f" {answer}"

    def continuations(self, question: Question, style: str) -> list[str]:
        """What is scored for each option."""
        return [self.continuation(text) for text in self.answers(question, style)]

    def answers(self, question: Question, style: str) -> list[str]:
        """What the model says for each option: its letter or its text."""
        if style not in LISTED_STYLES:
            return list(question.options)
        check_letters([question])
        return list(LETTERS[: len(question.options)])

    def _ask(self, question: Question, style: str, passages: Sequence[str]) -> str:
        options = question.options if style in LISTED_STYLES else ()
        check_letters([question] if options else [])
        listed = list(zip(LETTERS[: len(options)], options, strict=True))
        return _template("answer").render(
            question=_line(question.text), listed=listed, passages=[_line(p) for p in passages]
        )

    def _finish(self, text: str) -> Prompt:
        return self.chat(text) if self.chat else Prompt(text)


def asks_the_same(first: Question, second: Question) -> bool:
    """Whether two questions are one: the same words, case and blanks aside, about the same options in any order.

    Options that one of them does not list are not compared: an example a user wrote need not have any.
    """
    if _line(first.text).casefold() != _line(second.text).casefold():
        return False
    return not first.options or not second.options or sorted(first.options) == sorted(second.options)


def _line(text: str) -> str:
    """One line: a line break inside a question or passage would look like the end of it."""
    return " ".join(text.split())
