"""How the teacher of a run answers: decided once, without labels, and used for labels and evaluation alike.

The decisions are recorded in `config.yaml` under `resolved.teacher`, where a resumed run reads them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from solo_hub.core.errors import RunError
from solo_hub.core.records import Question
from solo_hub.models import prompts
from solo_hub.models.experts import Recipe
from solo_hub.models.prompts import PromptBuilder
from solo_hub.run.context import RunContext
from solo_hub.run.teachers import RunTeacher


@dataclass(frozen=True, slots=True)
class TeacherSetup:
    """The decisions.

    Attributes:
        style: How base and student score options.
        recipe: How the teacher's answer is computed; its style differs if the teacher's engine returns no
            log-probabilities and has to write its choice from listed options.
        explains: Whether labels have explanations.
        samples: Number of sampled answers per generated one.
        examples: Questions with answers in the teacher's prompt.
        base_format: Parts of the base's own files that affect prompts and answers (`RunContext.format_key`); empty for
            most bases, and for labels made by earlier versions.
        notes: The basis of the decisions, for the record.
    """

    style: str
    recipe: Recipe
    explains: bool = False
    samples: int = 0
    examples: tuple[tuple[Question, str], ...] = ()
    base_format: tuple[str, ...] = ()
    notes: Mapping[str, Any] = field(default_factory=dict)

    def to_row(self) -> dict[str, Any]:
        """Return it as JSON types, for `config.yaml`."""
        row: dict[str, Any] = {"style": self.style, "explains": self.explains, "recipe": self.recipe.to_row()}
        if self.samples:
            row["samples"] = self.samples
        if self.examples:
            row["examples"] = [[question.to_row(), answer] for question, answer in self.examples]
        if self.base_format:
            row["base_format"] = list(self.base_format)
        return {**row, **self.notes}

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> TeacherSetup:
        """Read it back; early runs have no recipe."""
        style = str(row["style"])
        return cls(
            style,
            Recipe(**row.get("recipe", {"style": style})),
            bool(row.get("explains")),
            int(row.get("samples", 0)),
            tuple((Question.from_row(question), str(answer)) for question, answer in row.get("examples", ())),
            tuple(str(part) for part in row.get("base_format", ())),
        )

    @property
    def details(self) -> list[str]:
        """Further dependencies of an answer beside style and prompt; empty for the plain teacher."""
        parts = [self.recipe.identity] if self.recipe.identity else []
        if self.samples:
            parts.append(f"samples {self.samples}")
        if self.examples:
            text = json.dumps([[question.asked(), answer] for question, answer in self.examples], ensure_ascii=False)
            # labels made when some orders of the options showed a question its own example are not reused
            parts.append(f"examples {hashlib.sha256(text.encode()).hexdigest()[:16]} but the question's own")
        return [*parts, *self.base_format]

    def builder(self, plain: PromptBuilder) -> PromptBuilder:
        """The builder of the teacher's prompts."""
        return replace(plain, examples=self.examples) if self.examples else plain


def load_setup(context: RunContext, teacher: RunTeacher | None = None) -> TeacherSetup | None:
    """The setup of a teacher of this run, by default the first; None before labelling."""
    row = context.resolved.get(teacher.role if teacher else "teacher")
    return TeacherSetup.from_row(row) if row else None


def require_setup(context: RunContext, teacher: RunTeacher | None = None) -> TeacherSetup:
    """The setup of a teacher of this run, by default the first.

    Raises:
        RunError: There is none yet.
    """
    setup = load_setup(context, teacher)
    if setup is None:
        raise RunError(
            f"The run '{context.run}' has no labels yet.",
            hint=f"Create them with `solo-hub label --run {context.run}`.",
        )
    return setup


def identity(teacher: RunTeacher, setup: TeacherSetup) -> str:
    """All a label depends on besides question and passages; does not load the model in a resumed run."""
    settings = teacher.context.config.teacher
    return " | ".join((
        teacher.identity,
        f"prompt {settings.prompt} {prompts.identity(settings.prompt)}",
        f"style {setup.recipe.style}",
        f"explains {setup.explains} max_new_tokens {settings.max_new_tokens}",
        *setup.details,
    ))  # fmt: skip


def labels_identity(context: RunContext) -> str | None:
    """The same for the labels of a run, of one teacher or of several together; None before labelling."""
    teachers, together = context.teachers, context.resolved.get("teachers")
    if len(teachers) > 1:
        if not together:
            return None
        teachers = tuple(teacher for teacher in teachers if teacher.role in together["roles"])
    setups = [load_setup(context, teacher) for teacher in teachers]
    identities = [identity(teacher, setup) for teacher, setup in zip(teachers, setups, strict=True) if setup]
    if len(identities) < len(teachers):
        return None
    return " x ".join([*identities, *([f"temperature {together['temperature']}"] if together else [])])


def supports(retrievals: Sequence[Any]) -> list[tuple[float, ...] | None]:
    """Retrieval's log-probabilities of the options of each question."""
    return [retrieval.option_support for retrieval in retrievals]
