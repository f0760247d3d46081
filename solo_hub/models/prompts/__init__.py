"""Prompts: the templates in this folder and the class that renders them.

All arms use one template: the teacher's prompt is the student's with passages in front. The question comes after the
passages, so that truncation never affects the question.
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

ORDER = "best passage last"  # the passage order of `models.answering.fit`; labels with another one are not reused
BARE_STYLE = "class"
"""The style of encoders, whose prompt is the text alone."""
LISTED_STYLES = ("letter",)
"""Styles whose prompt lists the options; the others show the question alone."""


def check_letters(questions: Iterable[Question]) -> None:
    """Check that there are enough letters for the options of every question.

    Raises:
        InputError: A question has more options than there are letters.
    """
    for question in questions:
        if len(question.options) > len(LETTERS):
            raise InputError(
                f"question '{question.id}' has {len(question.options)} options, but there are {len(LETTERS)} letters.",
                hint="Set teacher.style=text (or auto) to score each option's text. A teacher without "
                "log-probabilities needs letters.",
            )


def suit_letters(questions: Iterable[Question]) -> bool:
    """Whether there are enough letters for the options of every question."""
    return all(len(question.options) <= len(LETTERS) for question in questions)


@cache
def _template(name: str) -> jinja2.Template:
    # Prompts are plain text, not HTML: no escaping.
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, autoescape=False, trim_blocks=False)  # noqa: S701
    return environment.from_string(_source(name))


@cache
def _source(name: str) -> str:
    return (resources.files(__name__) / f"{name}.jinja").read_text("utf-8")


def identity(prompt: str) -> str:
    """Hash of all templates and the prompt format: part of each label's key.

    The chat template itself is part of the base model and pinned by its commit.
    """
    parts = [_source("answer"), _source("explain"), prompt, ORDER]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class PromptBuilder:
    """Renders the templates.

    Attributes:
        chat: Converts a user message to the model's chat format, ready for the answer; None for a plain prompt.
        examples: Few-shot examples put in front of every other question (never of the same one).
    """

    chat: Callable[[str], Prompt] | None = None
    examples: tuple[tuple[Question, str], ...] = ()

    def ask(self, question: Question, style: str, passages: Sequence[str] = ()) -> Prompt:
        """The prompt for a question, with passages for the teacher and without for the student."""
        if style == BARE_STYLE:
            return Prompt(_line(question.text))
        examples = [pair for pair in self.examples if not is_same_question(pair[0], question)]
        shown = [f"{self._ask(example, style, ())} {_line(answer)}\n\n" for example, answer in examples]
        return self._finish("".join([*shown, self._ask(question, style, passages)]))

    def prior(self) -> Prompt:
        """The start of an answer without a question, to measure prior probabilities."""
        return self.chat("Answer:") if self.chat else Prompt("Answer:")

    def explain(self, question: Question, answer: str, passages: Sequence[str]) -> Prompt:
        """Prompt for an explanation, with numbered passages to cite."""
        text = _template("explain").render(
            question=_line(question.text), answer=answer, passages=[_line(p) for p in passages]
        )
        return self._finish(text)

    def continuation(self, answer: str) -> str:
        """An answer as it follows the prompt: after a space in plain text, directly in a chat turn."""
        return answer if self.chat else f" {answer}"

    def continuations(self, question: Question, style: str) -> list[str]:
        """The continuation to score for each option."""
        return [self.continuation(text) for text in self.answers(question, style)]

    def answers(self, question: Question, style: str) -> list[str]:
        """The answer for each option: its letter or its text."""
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


def messages(question: Question, style: str, answer: str) -> list[dict[str, str]]:
    """A question without passages and its answer as a conversation, as trainers of chat models read them."""
    asked = PromptBuilder().ask(question, style).text
    return [{"role": "user", "content": asked}, {"role": "assistant", "content": answer}]


def is_same_question(first: Question, second: Question) -> bool:
    """Whether two questions are equal up to case, whitespace and option order.

    Options are compared only if both have some: a user's example need not have any.
    """
    if _line(first.text).casefold() != _line(second.text).casefold():
        return False
    return not first.options or not second.options or sorted(first.options) == sorted(second.options)


def _line(text: str) -> str:
    """Collapse to one line: a newline inside a question or passage would look like its end."""
    return " ".join(text.split())
