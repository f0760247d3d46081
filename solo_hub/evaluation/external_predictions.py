"""The questions on which answers of other systems are scored: of a repo, a file or a finished run."""

from __future__ import annotations

from collections.abc import Callable

from solo_hub.core.config import Config
from solo_hub.core.errors import ConfigError
from solo_hub.evaluation.external_answers import QuestionSet
from solo_hub.hub import tables
from solo_hub.hub.connection import Connection
from solo_hub.hub.unusable import Unusable
from solo_hub.run import references
from solo_hub.run.folder import RunFolder
from solo_hub.run.rows import read_evaluation
from solo_hub.run.task import make_task
from solo_hub.tasks import loading
from solo_hub.tasks.reading import Numbered


def of_run(run: RunFolder) -> QuestionSet:
    """The held-out questions of a finished run, with their answers.

    Raises:
        RunError: The run has not been evaluated.
        InputError: Its files do not fit together.
    """
    left = read_evaluation(run)
    return QuestionSet(left.questions, left.golds, str(run))


def of_task(config: Config, connect: Callable[[list[str]], Connection], unusable: Unusable) -> QuestionSet:
    """The held-out questions of a repo or file, with their answers.

    Args:
        config: Its task says what is read.
        connect: Opens the Hub, given the references to be pulled; not called for a file.
        unusable: What happens to rows that cannot be used.

    Raises:
        ConfigError: No questions are named.
        InputError: A row cannot be read.
        HubError: The repo is missing or unreachable.
    """
    reference = config.task.evaluation_questions or config.task.questions
    if reference is None:
        raise ConfigError("No questions given.", hint="Use --questions REPO|FILE, or --run DIR.")
    split = config.task.evaluation_split
    source = references.local("evaluation_questions", reference, "dataset")
    name = str(source)
    if source is None:
        client = connect([reference]).client()
        pinned = client.pin(reference, "dataset")
        source, name = client.pull(pinned), f"{pinned.repo_id}@{pinned.commit}"
    task = make_task(config.task, lambda column: tables.class_names(source, split=split, column=column))
    there = tables.read_columns(source, split=split)
    columns = loading.columns_to_read(task, there)
    rows = tables.read_table(source, split=split, columns=columns, on_error=unusable)
    questions = loading.load_questions(task, rows, name, unusable)
    more = [column for column in (*task.question_columns, *task.gold_columns) if tables.has_column(column, there)]
    known = list(tables.read_table(source, split=split, columns=more, on_error=lambda _: None))  # reported above
    notes: list[str] = []
    task = loading.count_options(task, known, name, notes.append)
    leaves_out = unusable.policy == "leave_out"
    golds = loading.load_golds(task, known, questions, name, on_error=unusable, required=leaves_out)
    if leaves_out:
        answered = {gold.question_id for gold in golds}
        questions = [question for question in questions if question.id in answered]
    count_from = task.counting.first if isinstance(task, Numbered) else 0
    return QuestionSet(questions, golds, name, count_from, tuple(notes))
