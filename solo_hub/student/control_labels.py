"""Labels for control students, trained on gold answers or on answers that carry no knowledge.

| student            | label of a question                        | measures                             |
|--------------------|--------------------------------------------|--------------------------------------|
| `gold_student`     | the gold answer                            | the upper bound of perfect labels    |
| `random_student`   | one of its own options, drawn at random    | what learning the format contributes |
| `shuffled_student` | the answer given to another question       | what the form of answers contributes |

A student that does not beat the controls has learnt how to answer, not what to answer. Gold answers are used here for
`gold_student` only, for evaluation; no label of a run comes from here.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from solo_hub.core.records import Example

GOLD, RANDOM, SHUFFLED = "gold_student", "random_student", "shuffled_student"
CONTROLS = (GOLD, RANDOM, SHUFFLED)
LEARNT_FROM = {
    RANDOM: "random options",
    SHUFFLED: "answers of other questions",
    GOLD: "gold answers",
}
"""What each control student is trained on, as the report says it."""


def relabelled(
    control: str,
    examples: Sequence[Example],
    right: Mapping[str, tuple[int | None, str]],
    seed: int,
    *,
    by_position: bool = False,
) -> list[Example]:
    """The examples with a control's labels; explanations and weights, which carry teacher knowledge, are dropped.

    Args:
        control: One of `CONTROLS`.
        examples: The student's training examples.
        right: Gold answers by question id: option (None for free text) and text; only `gold_student` reads them.
        seed: Random seed.
        by_position: Whether students answer with an option's letter: then letters are shuffled, else texts.

    Returns:
        One for each example, in their order; without those without gold answer (`gold_student`), without options
        (`random_student`), or without another example to swap with (`shuffled_student`).
    """
    rng = np.random.default_rng([seed, 1])
    if control == GOLD:
        known = [example for example in examples if example.question.id in right]
        return [_answering(example, *right[example.question.id]) for example in known]
    if control == RANDOM:
        asked = [example for example in examples if example.question.options]
        drawn = [int(rng.integers(len(example.question.options))) for example in asked]
        return [_answering(e, option, e.question.options[option]) for e, option in zip(asked, drawn, strict=True)]
    if len(examples) < 2:  # noqa: PLR2004 - nobody to swap with
        return []
    # a random cycle: no example keeps its own answer
    order = rng.permutation(len(examples))
    given = dict(zip(order.tolist(), np.roll(order, 1).tolist(), strict=True))
    return [_taking(e, examples[given[place]], by_position=by_position) for place, e in enumerate(examples)]


def _answering(example: Example, option: int | None, text: str) -> Example:
    label = dataclasses.replace(
        example.label, option=option, text=text, probabilities=None, confidence=None, explanation=None
    )
    return dataclasses.replace(example, label=label, weight=1.0)


def _taking(example: Example, other: Example, *, by_position: bool) -> Example:
    """The example with another one's answer: its letter, or its text, which may be one of the example's own options."""
    options, label = example.question.options, other.label
    if by_position and label.option is not None and options:
        option = label.option % len(options)
        return _answering(example, option, options[option])
    return _answering(example, options.index(label.text) if label.text in options else None, label.text)
