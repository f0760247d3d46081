"""Choosing how options are scored, without labels.

On a small model the wrong style scores at chance: asked for a letter it always gives the same one; asked for a text it
gives the most common phrase. Both failures are visible without gold answers:

    robust       share of questions whose chosen option stays when the options are listed in another order
    indifferent  share of questions whose chosen option stays when *another question* is asked about the same options
    score        robust - indifferent

A model that answers at random has both at 1/options; one that always answers "A" has robust = 1/options and is fully
indifferent; one that follows the option's prior probability is robust but mostly indifferent. A style that uses the
question is robust and not indifferent.

An engine without log-probabilities writes its answer, shown the options by letter or asked the question alone: a small
model writes one letter whatever is asked, and yet knows what to say; a large one names an option wherever it is shown
some. The same two shares tell.
"""

from __future__ import annotations

import functools
import random
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from solo_hub.core.plugins import Engine, Progress
from solo_hub.core.records import Passage, Question
from solo_hub.models.answering import choose, fit, named_option
from solo_hub.models.prompts import LISTED_STYLES, PromptBuilder

STYLES = ("text_minus_prior", "text", "letter")
"""In order of preference for equal scores."""
WRITTEN_STYLES = ("letter", "text")
"""The same for engines without log-probabilities: the answer is written, and an option that it names is chosen."""
FEWEST = 2  # "another question" takes two
NO_OPTION = -1
"""The choice where a written answer names no option: it agrees with nothing."""


@dataclass(frozen=True, slots=True)
class StyleTest:
    """Test result of one style.

    Attributes:
        style: Its name.
        robust: Share of choices that survive another order of the options, 0..1.
        indifferent: Share of choices that survive another question, 0..1.
    """

    style: str
    robust: float
    indifferent: float

    @property
    def score(self) -> float:
        """`robust - indifferent`, -1..1."""
        return self.robust - self.indifferent

    def to_row(self) -> dict[str, Any]:
        """Return it as JSON types, with its score."""
        return {**asdict(self), "score": self.score}


def choose_style(
    engine: Engine,
    builder: PromptBuilder,
    questions: Sequence[Question],
    passages: Sequence[Sequence[Passage]],
    *,
    seed: int,
    batch_size: int = 16,
    letters: bool = True,
    longest: int | None = None,
    progress: Progress | None = None,
) -> tuple[str, list[StyleTest]]:
    """Test every style on a sample of unlabelled questions.

    Args:
        engine: The base model.
        builder: Builds prompts.
        questions: The sample; with fewer than two, the first style is taken untested.
        passages: Their passages, aligned.
        seed: Seed of the shuffles.
        batch_size: Questions scored at once.
        letters: Whether there are enough letters for the options of all questions; else the style `letter` is excluded.
        longest: Tokens of a written answer, where the engine has no log-probabilities.
        progress: Called with questions asked; `asked` says how many there are.

    Returns:
        The best style and the tests of all, best first.
    """
    styles = _tested(letters=letters, written=longest is not None)
    if len(questions) < FEWEST:
        return styles[0], []

    def choices(style: str, asked: Sequence[Question], given: Sequence[Sequence[Passage]]) -> list[int]:
        chosen: list[int] = []
        for start in range(0, len(asked), batch_size):
            batch = asked[start : start + batch_size]
            prompts = [
                fit(engine, builder, q, p, style, reserve=longest or 0).prompt
                for q, p in zip(batch, given[start : start + batch_size], strict=True)
            ]
            if longest is None:
                chosen += [answer.option for answer in choose(engine, builder, batch, prompts, style)]
            else:
                texts = [made.text for made in engine.generate(prompts, longest)]
                named = [named_option(text, q, style) for text, q in zip(texts, batch, strict=True)]
                chosen += [NO_OPTION if option is None else option for option in named]
            if progress:
                progress(len(batch))
        return chosen

    tests = [_test(style, functools.partial(choices, style), questions, passages, seed) for style in styles]
    tests.sort(key=lambda test: -test.score)  # stable: preference decides ties
    return tests[0].style, tests


def asked(questions: int, *, letters: bool = True, written: bool = False) -> int:
    """How many questions `choose_style` asks in all for a sample of this size."""
    views = [3 if style in LISTED_STYLES else 2 for style in _tested(letters=letters, written=written)]
    return questions * sum(views) if questions >= FEWEST else 0


def _tested(*, letters: bool, written: bool) -> list[str]:
    styles = WRITTEN_STYLES if written else STYLES
    return [style for style in styles if letters or style not in LISTED_STYLES]


def _test(
    style: str,
    choices: Callable[[Sequence[Question], Sequence[Sequence[Passage]]], list[int]],
    questions: Sequence[Question],
    passages: Sequence[Sequence[Passage]],
    seed: int,
) -> StyleTest:
    rng = random.Random(seed)  # noqa: S311 - a shuffle, not a secret
    orders = [rng.sample(range(len(q.options)), len(q.options)) for q in questions]
    shuffled = [
        Question(q.id, q.text, tuple(q.options[i] for i in order)) for q, order in zip(questions, orders, strict=True)
    ]
    swapped = [Question(q.id, questions[(k + 1) % len(questions)].text, q.options) for k, q in enumerate(questions)]
    other = [passages[(k + 1) % len(questions)] for k in range(len(questions))]

    own = choices(questions, passages)
    # if the prompt does not list the options, their order cannot matter
    again = own
    if style in LISTED_STYLES:
        found = zip(orders, choices(shuffled, passages), strict=True)
        again = [NO_OPTION if choice == NO_OPTION else order[choice] for order, choice in found]
    return StyleTest(style, _agreement(own, again), _agreement(own, choices(swapped, other)))


def _agreement(first: Sequence[int], second: Sequence[int]) -> float:
    return sum(a == b != NO_OPTION for a, b in zip(first, second, strict=True)) / len(first)
