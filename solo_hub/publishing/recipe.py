"""Python that a card prints: it asks the model in exactly the words of the run, and runs as printed.

The general form of the prompt is found from the example (the question's text and the listed options become
placeholders), so that no second copy of the prompt templates exists that could differ from what the model was
trained on.
"""

from __future__ import annotations

import string
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from solo_hub.publishing.documents import PromptExample
from solo_hub.publishing.markdown import Markdown, fenced, python_literal


@dataclass(frozen=True, slots=True)
class Recipe:
    """The parts of the printed code: Python expressions, printed as they are.

    Attributes:
        prompt: Literal of the prompt with `{question}` and, where options are listed, `{options}`.
        prior: Literal of the prior prompt, or None.
        answer: Expression for what follows the prompt, of `letter` and `option`; None for free text.
        lists_options: Whether `{options}` stands in the prompt.
        question: Literal of the example question.
        options: Literal of the example's options.
        special_tokens: `True` or `False`.
        stop: Literal of what ends a written answer, or None.
        general: Whether the prompt could be generalised; else it is the example's alone.
    """

    prompt: Markdown
    prior: Markdown | None
    answer: Markdown | None
    lists_options: bool
    question: Markdown
    options: Markdown
    special_tokens: Markdown
    stop: Markdown | None
    general: bool


def make(example: PromptExample) -> Recipe:
    """Find the general form of the example's prompt."""
    question = example.question
    asked = " ".join(question.text.split())
    form = example.prompt
    listing = "".join(
        f"{letter}. {option}\n" for letter, option in zip(string.ascii_uppercase, question.options, strict=False)
    )
    lists_options = bool(listing) and form.count(listing) == 1
    if lists_options:
        form = form.replace(listing, "{options}")
    general = bool(asked) and form.count(asked) == 1 and "{question}" not in form
    if general:
        form = form.replace(asked, "{question}")
    return Recipe(
        prompt=python_literal(form),
        prior=python_literal(example.prior) if example.prior is not None else None,
        answer=_answer(example),
        lists_options=lists_options,
        question=python_literal(asked),
        options=Markdown("[" + ", ".join(python_literal(option) for option in question.options) + "]"),
        special_tokens=Markdown(example.special_tokens),
        stop=python_literal(example.stop) if example.stop else None,
        general=general,
    )


def _answer(example: PromptExample) -> Markdown | None:
    """The expression that gives what follows the prompt: a prefix and the option's text or letter."""
    for name, values in (("option", example.question.options), ("letter", tuple(string.ascii_uppercase))):
        pairs = list(zip(example.continuations, values, strict=False))
        if pairs and all(text.endswith(value) for text, value in pairs):
            prefixes = {text.removesuffix(value) for text, value in pairs}
            if len(prefixes) == 1:
                prefix = prefixes.pop()
                return Markdown(f"{python_literal(prefix)} + {name}" if prefix else name)
    return None


def scoring(style: str) -> str:
    """How an option is chosen, in a sentence."""
    return {
        "letter": (
            "The options are listed in the prompt; the option whose letter is most probable after it is the answer."
        ),
        "text": (
            "The options are not in the prompt; the option whose text is most probable after it "
            "(log-probabilities summed over its tokens) is the answer."
        ),
        "text_minus_prior": (
            "The options are not in the prompt. Each option scores the log-probability of its text after the prompt "
            "(summed over its tokens) minus "
            "its log-probability after the bare beginning of an answer, so that common phrases gain nothing; the "
            "highest score is the answer."
        ),
        "class": "It has one output for each class and is asked the text alone; the largest output is the answer.",
        "generate": "The answer is what the model writes, greedily, after the prompt.",
    }.get(style, f"The options are scored by the style {style}.")


def combined(teacher: Mapping[str, Any]) -> str:
    """What else the teacher's answer is made of, by what the run decided; empty where it is the model's word alone.

    A teacher that is helped by retrieval's own choice must say so: the number is not the model's alone.
    """
    recipe = teacher.get("recipe") or {}
    said = []
    if recipe.get("orders", 1) > 1:
        said.append(f"Probabilities are means over {recipe['orders']} orders of the options.")
    if recipe.get("support_weight"):
        said.append(
            "The retriever has a say of its own: the probability its chains of passages give each option, without any "
            f"language model, is multiplied with the model's (weight {recipe['support_weight']:g})."
        )
    found = teacher.get("calibration") or {}
    if found.get("views"):
        said.append(
            "Confidence is calibrated without labels, by how often two views give the same answer "
            f"({found['views']}: {100 * found['agreement']:.0f} % of {found['n']} questions)."
        )
    if teacher.get("examples"):
        said.append(f"The prompt begins with {len(teacher['examples'])} examples.")
    return " ".join(said)


def served(resolved: Mapping[str, Any]) -> str:
    """That the teacher answered behind a server, in a sentence; empty where it did not."""
    engine = resolved.get("teacher_engine") or {}
    if not engine.get("name"):
        return ""
    return (
        f"It answered through a server (engine {engine['name']}, {engine.get('identity', 'not named')}), in the "
        "server's precision; base and student were asked in a process of the run."
    )


def prompt_block(text: str) -> Markdown:
    """A prompt, as the model reads it."""
    return fenced(text, "text")
