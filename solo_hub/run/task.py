"""The task of a configuration, found among the plugins."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from solo_hub.core.errors import ConfigError
from solo_hub.core.plugins import Task, find
from solo_hub.core.settings import TaskSettings


def make_task(settings: TaskSettings, named: Callable[[str], Sequence[str]] | None = None) -> Task:
    """Make the task of a configuration.

    Args:
        settings: Its settings.
        named: Tells the names that the dataset gives to the classes of a column; none where it gives no names. Without
            it classes are taken as the settings have them.

    Raises:
        ConfigError: There is no such task; a setting that is not its own; classes without names.
    """
    task = _make(settings, named)
    if settings.first_option is None:
        return task
    count_from = getattr(task, "count_from", None)
    if count_from is None:
        raise ConfigError(
            f"task.first_option means nothing to the task {settings.name}.",
            hint="Set it with multiple_choice or text_classification.",
        )
    made: Task = count_from(settings.first_option)
    return made


def _make(settings: TaskSettings, named: Callable[[str], Sequence[str]] | None) -> Task:
    kind: Callable[..., Task] = find("tasks", settings.name)
    if not getattr(kind, "has_classes", False):
        for name in ("classes", "template"):
            if getattr(settings, name) != type(settings).model_fields[name].default:
                raise ConfigError(
                    f"task.{name} means nothing to the task {settings.name}.", hint="Set task.name=text_classification."
                )
        return kind(settings.columns)
    task = kind(settings.columns, settings.classes, settings.template)
    if settings.classes or named is None:
        return task
    column = task.gold_columns[0]
    classes = tuple(named(column))
    if not classes:
        raise ConfigError(
            f"The dataset does not name the classes in its column '{column}'.",
            hint="Set task.classes=[NAME, NAME, ...] in the order of their numbers.",
        )
    return kind(settings.columns, classes, settings.template)
