"""Python code for a card: it uses exactly the prompt of the run, and runs as printed.

The prompt template is derived from the example (the question's text and the listed options become placeholders), so
there is no second copy of the templates that could differ from the training prompt.
"""

from __future__ import annotations

import string
from dataclasses import dataclass

from solo_hub.publishing.documents import PromptExample, public_identity
from solo_hub.publishing.markdown import Markdown, fenced, python_literal
from solo_hub.run.resolved import Resolved, TeacherSetup, Together


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
        "letter": ("The options are listed in the prompt; the answer is the option whose letter is most probable."),
        "text": (
            "The options are not in the prompt; the answer is the option whose text is most probable after it "
            "(log-probabilities summed over its tokens)."
        ),
        "text_minus_prior": (
            "The options are not in the prompt. Each option scores the log-probability of its text after the prompt "
            "(summed over its tokens) minus "
            "its log-probability after the bare answer prefix, so that common phrases have no advantage; the "
            "answer is the option with the highest score."
        ),
        "class": "The model has one output per class and sees only the text; the answer is the largest output.",
        "generate": "The answer is generated greedily after the prompt.",
    }.get(style, f"The options are scored by the style {style}.")


def combined(teacher: TeacherSetup | None, together: Together | None = None) -> str:
    """Other components of the teacher's answer; empty if it is the model's answer alone, or labels were imported.

    Args:
        teacher: How the teacher, or the first of several, answers.
        together: How several are combined; None for one.
    """
    if together:
        text = (
            f"So did each of the {len(together.roles)} teachers, in the style that suits it; their calibrated "
            "probabilities were multiplied (of written answers, the one most teachers give was taken)."
        )
        if (agreed := together.agreement) is None:
            return text
        return f"{text} Pairs of teachers agree in {100 * agreed:.0f} % of cases, to which the mean confidence is set."
    if teacher is None:
        return ""
    recipe, calibration, sentences = teacher.recipe, teacher.calibration or {}, []
    if recipe.orders > 1:
        sentences.append(f"Probabilities are means over {recipe.orders} orders of the options.")
    if recipe.support_weight:
        sentences.append(
            "The retriever votes too: the probability that its passage chains give each option, without any language "
            f"model, is multiplied with the model's (weight {recipe.support_weight:g})."
        )
    if calibration.get("views"):
        sentences.append(
            "Confidence is calibrated without labels, by how often two views give the same answer "
            f"({calibration['views']}: {100 * calibration['agreement']:.0f} % of {calibration['n']} questions)."
        )
    if teacher.examples:
        sentences.append(f"The prompt begins with {len(teacher.examples)} examples.")
    return " ".join(sentences)


def served(resolved: Resolved) -> str:
    """A sentence saying that the teacher was served; empty if it was not."""
    engine = resolved.engines.get("teacher")
    if engine is None or engine.device:  # another model in the process of the run has a device
        return ""
    through = "vLLM" if engine.name == "vllm" else "a server"
    return (
        f"It answered through {through} (engine {engine.name}, {public_identity(engine) or 'not named'}), in the "
        "precision of that engine; base and student were evaluated with transformers."
    )


def prompt_block(text: str) -> Markdown:
    """A prompt, as the model reads it."""
    return fenced(text, "text")
