"""Creates the task of a configuration from its plugin."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from solo_hub.core.errors import ConfigError
from solo_hub.core.plugins import Task, find
from solo_hub.core.settings import TaskSettings


def make_task(settings: TaskSettings, named: Callable[[str], Sequence[str]] | None = None) -> Task:
    """Create the task of a configuration.

    Args:
        settings: Its settings.
        named: Returns the dataset's class names of a column; empty if it has none. Without it the classes are those of
            the settings.

    Raises:
        ConfigError: Unknown task; a setting the task does not support; classes without names.
    """
    task = _make(settings, named)
    if settings.first_option is None:
        return task
    count_from = getattr(task, "count_from", None)
    if count_from is None:
        raise ConfigError(
            f"The task {settings.name} does not support task.first_option.",
            hint="Use it with multiple_choice or text_classification.",
        )
    counted: Task = count_from(settings.first_option)
    return counted


def _make(settings: TaskSettings, named: Callable[[str], Sequence[str]] | None) -> Task:
    kind: Callable[..., Task] = find("tasks", settings.name)
    if not getattr(kind, "has_classes", False):
        for name in ("classes", "template"):
            if getattr(settings, name) != type(settings).model_fields[name].default:
                raise ConfigError(
                    f"The task {settings.name} does not support task.{name}.", hint="Set task.name=text_classification."
                )
        return kind(settings.columns)
    task = kind(settings.columns, settings.classes, settings.template)
    if settings.classes or named is None:
        return task
    column = task.gold_columns[0]
    classes = tuple(named(column))
    if not classes:
        raise ConfigError(
            f"The dataset has no class names for its column '{column}'.",
            hint="Set task.classes=[NAME, NAME, ...] in label order.",
        )
    return kind(settings.columns, classes, settings.template)
