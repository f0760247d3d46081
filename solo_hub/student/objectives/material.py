"""What an objective is given, and what it says of a batch; shared by all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import numpy.typing as npt

from solo_hub.core import config
from solo_hub.core.errors import ConfigError, ModelError
from solo_hub.core.records import Example, Passage, Preference
from solo_hub.core.settings import Section
from solo_hub.models.packing import Tree
from solo_hub.models.prompts import PromptBuilder

if TYPE_CHECKING:
    from solo_hub.models.causal import CausalEngine

Array = npt.NDArray[Any]
S = TypeVar("S", bound=Section)


def read_options(model: type[S], options: Mapping[str, Any], objective: str) -> S:
    """Check an objective's options and freeze them.

    Raises:
        ConfigError: An unknown option, with the nearest known one, or a value that cannot be.
    """
    return config.read_options(model, options, f"objective '{objective}'", "student.objective_options")


@dataclass(frozen=True, slots=True, eq=False)
class TrainingData:
    """The training data and its context.

    Attributes:
        engine: The model with its adapter.
        builder: Makes the prompts.
        examples: Questions with the teacher's labels.
        style: Scoring style, which decides what an answer looks like.
        passages: The teacher's passages by question id, best first; for objectives that ask the teacher anew.
        preferences: The teacher's rankings by question id, for objectives that learn from them.
    """

    engine: CausalEngine
    builder: PromptBuilder
    examples: Sequence[Example]
    style: str
    passages: Mapping[str, Sequence[Passage]] = field(default_factory=dict)
    preferences: Mapping[str, Preference] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class TeacherTargets:
    """What the teacher says of B examples at this step.

    Attributes:
        options: `(B,)` the chosen options; 0 for free text.
        confidence: `(B,)` 0..1, NaN where none is told.
        probabilities: B rows of option probabilities, None where none are told.
        targets: `(B, C)` distributions that a per-step selector wants learnt in place of the labels; None: the labels.
    """

    options: Array
    confidence: Array
    probabilities: tuple[tuple[float, ...] | None, ...]
    targets: Array | None = None

    def take(self, rows: Sequence[int]) -> TeacherTargets:
        """Some of them, by their place in the batch."""
        chosen = np.asarray(rows, dtype=np.int64)
        return TeacherTargets(
            self.options[chosen],
            self.confidence[chosen],
            tuple(self.probabilities[i] for i in rows),
            None if self.targets is None else self.targets[chosen],
        )


@dataclass(frozen=True, slots=True)
class LossWeights:
    """What the sums of a whole batch are divided by: weights summed over samples, and over their answers' tokens."""

    samples: float
    tokens: float


def targets_of_labels(examples: Sequence[Example]) -> TeacherTargets:
    """What the labels hold."""
    labels = [example.label for example in examples]
    return TeacherTargets(
        np.array([label.option or 0 for label in labels], dtype=np.int64),
        np.array([np.nan if label.confidence is None else label.confidence for label in labels], dtype=np.float64),
        tuple(label.probabilities for label in labels),
    )


def completion(builder: PromptBuilder, example: Example, style: str, option: int | None = None) -> str:
    """What the student is taught to say: the answer, and the teacher's explanation where there is one.

    Args:
        builder: Writes options as the style wants them.
        example: The question with its label.
        style: Scoring style.
        option: Another option than the label's, without explanation then.
    """
    label = example.label
    if option is not None and option != label.option:
        return builder.answers(example.question, style)[option]
    answer = label.text
    if label.option is not None:
        answer = builder.answers(example.question, style)[label.option]
    if label.explanation:
        from re import sub

        # the student has no passages: numbers that point at them would teach it to make some up
        answer += ". " + sub(r"\s*\[\d{1,3}\]", "", label.explanation)
    return answer


def encode(material: TrainingData, options: Sequence[int | None] | None = None) -> list[Tree]:
    """Closed-book prompt and completion of each example, as tokens; the completion ends with the end-of-turn token.

    Args:
        material: The training data.
        options: The option to be taught of each example; the label's where there are none.

    Raises:
        ModelError: The model's end-of-turn token would not be learnt (it would answer on and on).
    """
    engine, builder, style = material.engine, material.builder, material.style
    stops = engine.ends(chat=builder.chat is not None)
    trees = []
    for example, option in zip(material.examples, options or [None] * len(material.examples), strict=True):
        prompt, (answer,) = engine.encode(
            builder.ask(example.question, style), [builder.continuation(completion(builder, example, style, option))]
        )
        trees.append(Tree(prompt, ((*answer, stops[0]),)))
    check_end_of_turn(trees, stops)
    return trees


def check_passages(material: TrainingData, objective: str) -> None:
    """Refuse to ask a teacher who has nothing to read.

    Raises:
        ConfigError: There are no passages for a question.
    """
    bare = next((e.question.id for e in material.examples if e.question.id not in material.passages), None)
    if bare is not None:
        raise ConfigError(
            f"student.objective={objective} asks the teacher with its passages, and there are none for '{bare}'.",
            hint="Rerun the step that finds passages, or set student.objective=sft.",
        )


def check_end_of_turn(trees: Sequence[Tree], stop_tokens: Sequence[int]) -> None:
    """Refuse to train when an answer would not end, or would end before it is teacher_targets.

    Raises:
        ModelError: The end-of-turn token is missing from the loss, or stands in the middle of an answer.
    """
    for tree in trees:
        for branch in tree.branches:
            if branch[-1] not in stop_tokens:
                raise ModelError(
                    "The end-of-turn token is outside the loss: the student would never stop.",
                    hint="Check the tokenizer's eos_token and the model's generation_config.",
                )
            if any(token in stop_tokens for token in branch[:-1]):
                raise ModelError(
                    "An answer holds the end-of-turn token in its middle.",
                    hint="Remove the model's special tokens from the options.",
                )


def zero_loss(engine: CausalEngine) -> Any:
    """A loss that moves nothing, with a gradient of 0 for every trained parameter."""
    import torch

    parameters = [parameter for parameter in engine.model.parameters() if parameter.requires_grad]
    return sum((p.sum() for p in parameters), start=torch.zeros((), device=engine.device)) * 0.0
