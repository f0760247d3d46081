"""Rejects settings that no run can use, before anything is read or asked."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from solo_hub.core.config import Config
from solo_hub.core.errors import ConfigError, InputError, SoloHubError
from solo_hub.core.plugins import InformedSelector, find
from solo_hub.core.records import PseudoLabel
from solo_hub.core.redaction import first_line_scrubbed
from solo_hub.hub import tables
from solo_hub.run.task import make_task

LEARN_PROBABILITIES = ("kl", "dpo", "kto", "grpo")
"""Objectives that need labels with probabilities."""


def check(config: Config) -> None:
    """Reject settings that no run can use.

    Raises:
        ConfigError: No documents are configured; a plugin is unknown or rejects its options; training and held-out
            questions are the same; or an encoder would be its own teacher.
    """
    _check_documents(config)
    check_plugins(config)
    _check_held_out(config)
    _check_written(config)
    _check_classifier(config)
    _check_teachers(config)


def _check_documents(config: Config) -> None:
    """Require documents: a default corpus would silently answer a user's questions from other documents."""
    if not config.knowledge.source and (config.writers or config.knowledge.passages):
        raise ConfigError(
            "There is nothing to learn from: no documents are configured."
            if not config.task.questions
            else "No documents are configured for the teacher to retrieve from.",
            hint="Set knowledge.source to a folder, a file or a dataset repo"
            + (" (or knowledge.passages=0)." if config.task.questions and not config.writers else "."),
        )


def check_plugins(config: Config) -> None:
    """Reject unknown plugins and invalid options.

    Raises:
        ConfigError: A plugin is unknown, or rejects its options.
        DependencyError: A package it needs is missing.
    """
    for _, _, load in plugins(config):
        load()


def plugins(config: Config) -> Iterator[tuple[str, str, Callable[[], Any]]]:
    """The plugins of a run: group, name, and a function that loads it, or raises as `check_plugins` does."""
    yield "tasks", config.task.name, partial(make_task, config.task)
    for group, name in (
        ("embedders", config.knowledge.embedder),
        ("retrievers", config.knowledge.retriever),
        ("engines", config.engine.name),
        *(("engines", model.engine.name) for model in config.teacher.base if model.engine),
        *(() if config.student.objective == "sft" else (("objectives", config.student.objective),)),
    ):  # the default objective needs no entry point
        yield group, name, partial(find, group, name)
    yield "selectors", config.selection.method, partial(_make_selector, config)
    for name in config.writers:
        yield "question_writers", name, partial(_make_writer, config, name)


def _make_selector(config: Config) -> Any:
    selector = find("selectors", config.selection.method)
    try:
        return selector(config.selection.options, config.seed)
    except SoloHubError:
        raise
    except Exception as error:
        raise ConfigError(
            f"The selector '{config.selection.method}' rejects selection.options: "
            f"{type(error).__name__}: {first_line_scrubbed(error)}.",
            hint="See `solo-hub plugins`, or remove selection.options.",
        ) from error


def _make_writer(config: Config, name: str) -> Any:
    """The question writer; one that asks a model is only found."""
    plugin = find("question_writers", name)
    asks = getattr(plugin, "needs_engine", False)
    return plugin if asks else plugin(config.curation.options.get(name, {}), config.seed)


def _check_held_out(config: Config) -> None:
    """Training and held-out questions must differ, or the evaluation measures memorisation."""
    task = config.task
    if task.questions is None:
        if not task.evaluation_questions and not config.curation.held_out:
            raise ConfigError(
                "No questions are left to evaluate on.",
                hint="Set curation.held_out above 0, or task.evaluation_questions.",
            )
        return
    same_source = task.evaluation_questions in (None, task.questions)
    is_file = tables.local_file(task.questions) is not None
    if same_source and (is_file or task.train_split == task.evaluation_split):
        raise ConfigError(
            "The training questions and the held-out questions are the same.",
            hint="Set task.evaluation_questions to another file, or task.evaluation_split to another split.",
        )


def _check_classifier(config: Config) -> None:
    """An encoder with an untrained head can be a student, but not a teacher."""
    if not getattr(find("engines", config.engine.name), "classifies", False):
        return
    if not getattr(find("tasks", config.task.name), "has_classes", False):
        raise ConfigError(
            f"An encoder (engine.name={config.engine.name}) classifies texts, but the task {config.task.name} has no "
            "classes.",
            hint="Set task.name=text_classification.",
        )
    if not config.teacher.labels and not config.teacher.base:
        raise ConfigError(
            f"An encoder (engine.name={config.engine.name}) cannot be its own teacher.",
            hint="Name a language model with teacher.base=OWNER/NAME, or import labels with teacher.labels=REPO|FILE.",
        )


def _check_teachers(config: Config) -> None:
    """Reject teachers that cannot teach, and objectives that ask the base itself while another model teaches."""
    if getattr(find("engines", config.engine.name), "reads_text", False):
        raise ConfigError(
            f"engine.name={config.engine.name} embeds texts: it can teach, but has nothing to train.",
            hint=f"Write teacher.base={{base: OWNER/NAME, engine: {{name: {config.engine.name}}}}}.",
        )
    if not config.teacher.base and not config.teacher.adapter:
        return
    if config.teacher.labels:
        raise ConfigError(
            "Labels are imported (teacher.labels), so no teacher is asked.",
            hint="Leave out teacher.labels, or teacher.base and teacher.adapter.",
        )
    if config.teacher.adapter:
        _check_earlier_student(config)
    for model in config.teacher.base:
        if model.engine and getattr(find("engines", model.engine.name), "classifies", False):
            raise ConfigError(
                f"The teacher '{model.base}' cannot be an encoder (engine.name={model.engine.name}): its head is "
                "untrained.",
                hint="Name a language model, e.g. with engine.name=transformers.",
            )
    objective = config.student.objective
    if objective != "sft" and getattr(find("objectives", objective), "asks_base", False):
        raise ConfigError(
            f"student.objective={objective} asks the base itself in every step and compares token by token, which "
            "takes the base's own weights and tokenizer; teacher.base or teacher.adapter names another teacher.",
            hint="Set student.objective=kl: it learns the teacher's option probabilities, whatever its tokenizer.",
        )


def _check_earlier_student(config: Config) -> None:
    """An adapter teaches on the base in this process, and alone."""
    if config.teacher.base:
        raise ConfigError(
            "An earlier student (teacher.adapter) is the teacher, so no other model is (teacher.base).",
            hint="Leave out one of them.",
        )
    engine = find("engines", config.engine.name)
    if getattr(engine, "remote", False) or getattr(engine, "classifies", False):
        raise ConfigError(
            f"An earlier student (teacher.adapter) cannot teach with engine.name={config.engine.name}: its adapter is "
            "worn by a language model in this process.",
            hint="Set engine.name=transformers.",
        )


def _check_written(config: Config) -> None:
    """What cannot be done with questions written from documents: found out before they are written and labelled."""
    if not config.writers:
        return
    own = "Or learn your own questions alone: curation.writers=[]." if config.task.questions else ""
    if getattr(find("engines", config.engine.name), "classifies", False):
        raise ConfigError(
            f"An encoder (engine.name={config.engine.name}) puts texts into classes and cannot learn questions written "
            "from documents.",
            hint=own or "Give texts to put into classes with task.questions, or choose a language model.",
        )
    if getattr(find("tasks", config.task.name), "has_classes", False) and not config.task.questions:
        raise ConfigError(
            f"Questions written from documents have no classes, which the task {config.task.name} needs.",
            hint="Give the texts with task.questions, or set task.name=multiple_choice.",
        )
    if config.teacher.labels:
        raise ConfigError(
            "Imported labels (teacher.labels) have no answers to questions that are yet to be written.",
            hint=f"Leave teacher.labels out. {own}".rstrip(),
        )
    if config.curation.check == "teacher":
        return
    hint = "Set curation.check=teacher: the teacher then answers every written question, with its source before it."
    if config.student.objective in LEARN_PROBABILITIES:
        raise ConfigError(
            f"student.objective={config.student.objective} learns the teacher's probabilities, and no teacher is asked "
            "about written questions.",
            hint=f"{hint} Or set student.objective=sft.",
        )
    if _judges_by_confidence(config):
        raise ConfigError(
            f"selection.method={config.selection.method} judges by the teacher's confidence, and no teacher is asked "
            "about written questions.",
            hint=f"{hint} Or set selection.options.without_confidence to keep or drop, or selection.method=all.",
        )


def _judges_by_confidence(config: Config) -> bool:
    """Whether the selection refuses a label without a confidence; asked with one."""
    selector = _make_selector(config)
    label = PseudoLabel("", 0, None, "", None, (), 0, "", "")
    try:
        if config.selection.ask_student and isinstance(selector, InformedSelector):
            selector.select_with([label], {"": 0.5})
        else:
            selector.select([label])
    except InputError as error:
        return error.field == "confidence"
    except SoloHubError:  # said when there are labels
        return False
    return False
