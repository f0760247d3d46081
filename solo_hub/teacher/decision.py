"""How the teacher of a run answers: decided once, without labels, and used for labels and evaluation alike.

The decisions are recorded in `config.yaml` (`TeacherSetup`), where a resumed run reads them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from solo_hub.core.errors import RunError
from solo_hub.models import prompts
from solo_hub.run.context import RunContext
from solo_hub.run.resolved import TeacherSetup
from solo_hub.run.teachers import RunTeacher


def require_setup(context: RunContext, teacher: RunTeacher | None = None) -> TeacherSetup:
    """The setup of a teacher of this run, by default the first.

    Raises:
        RunError: There is none yet.
    """
    setup = context.resolved.setups.get(teacher.role if teacher else "teacher")
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
    teachers, together = context.teachers, context.resolved.teachers
    if len(teachers) > 1:
        if not together:
            return None
        teachers = tuple(teacher for teacher in teachers if teacher.role in together.roles)
    setups = [context.resolved.setups.get(teacher.role) for teacher in teachers]
    identities = [identity(teacher, setup) for teacher, setup in zip(teachers, setups, strict=True) if setup]
    if len(identities) < len(teachers):
        return None
    return " x ".join([*identities, *([f"temperature {together.temperature}"] if together else [])])


def supports(retrievals: Sequence[Any]) -> list[tuple[float, ...] | None]:
    """Retrieval's log-probabilities of the options of each question."""
    return [retrieval.option_support for retrieval in retrievals]
