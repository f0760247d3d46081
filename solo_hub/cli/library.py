"""solo-hub from Python, as `import solo_hub` offers it: the commands' work as functions, a run's tables as records.

It stands beside the commands, above all rooms, and like them imports what is heavy only when it is used.
"""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from solo_hub.cli.options import KEYS, default_folder, open_console, read_settings, run_context
from solo_hub.core.config import Config, build, put
from solo_hub.core.errors import InputError, UsageError, nearest
from solo_hub.core.records import Prediction, PseudoLabel, Question, Verdict
from solo_hub.core.rows import Record
from solo_hub.run import rows
from solo_hub.run.folder import RunFolder

if TYPE_CHECKING:
    import pandas as pd

    from solo_hub.evaluation.comparison.asking import Comparison

R = TypeVar("R", bound=Record)

FRAME = '<iframe srcdoc="{}" title="report" sandbox="allow-scripts" style="width:100%;height:40rem;border:0"></iframe>'


def distill(
    config: str | Path | Mapping[str, Any] | Config | None = None,
    *,
    run: str | Path | None = None,
    push: bool = False,
    update: bool = False,
    yes: bool = False,
    progress: bool = True,
    **settings: Any,
) -> Run:
    """Do all steps of a run that are not done yet, as `solo-hub distill` does; a finished run is a no-op.

    >>> run = distill("my.yaml", push=True)                                       # doctest: +SKIP
    >>> run = distill("documents", knowledge="docs/", student={"epochs": 5})      # doctest: +SKIP

    Args:
        config: A YAML file, the name of a preset, or the settings themselves. Without it those of the folder `run`.
        run: The run folder; `runs/NAME` by default. An interrupted run is resumed.
        push: Also publish; write permission is checked first.
        update: Accept changed settings in an existing run: redo the affected steps, keep completed labels.
        yes: Publish over what another run published without asking.
        progress: Report on stderr what is being done; warnings are shown in any case.
        settings: Settings to change: the options of the command (`base`, `task`, `questions`, `knowledge`, `seed`,
            `hub`, `namespace`), or a section with its settings, e.g. `student={"epochs": 5}`.

    Returns:
        The finished run.

    Raises:
        SoloHubError: Something failed that the user can act on; see `solo_hub.core.errors`.
    """
    from solo_hub import pipeline

    folder = None if run is None else Path(run)
    final = _with_settings(config, folder, settings)
    folder = folder or default_folder(final)
    with run_context(final, folder, "human" if progress else "json", update=update, yes=yes) as (context, _):
        pipeline.distill(context, push=push)
    return Run(folder)


def _with_settings(
    config: str | Path | Mapping[str, Any] | Config | None, run: Path | None, settings: Mapping[str, Any]
) -> Config:
    if isinstance(config, Config | Mapping):
        given = config.model_dump(mode="json") if isinstance(config, Config) else config
        data = {key: dict(value) if isinstance(value, Mapping) else value for key, value in given.items()}
        place = "the settings"
    else:
        data, place = read_settings(None if config is None else str(config), run)
    for name, value in settings.items():
        if name not in KEYS and name not in Config.model_fields:
            raise UsageError(f"Unknown setting '{name}'.", hint=nearest(name, [*KEYS, *Config.model_fields]))
        if isinstance(value, Mapping):
            for key, inner in value.items():
                put(data, f"{name}.{key}", inner)
        else:
            put(data, KEYS.get(name, name), str(value) if isinstance(value, Path) else value)
    return build(data, place)


def load_run(path: str | Path) -> Run:
    """Open a run folder for reading.

    Raises:
        RunError: It is not a run folder.
    """
    run = Run(Path(path))
    run.folder.read_config()
    return run


class Records(list[R]):
    """Records of a run, in their order.

    Args:
        records: The records.
        columns: Further columns of the data frame, a mapping a record.
    """

    def __init__(self, records: Sequence[R], columns: Sequence[Mapping[str, Any]] = ()) -> None:
        super().__init__(records)
        self._columns = columns or [{} for _ in records]

    def to_pandas(self) -> pd.DataFrame:
        """A data frame with a row a record: its fields, beside what they refer to (the question's text, ...)."""
        import pandas as pd

        rows_ = zip(self, self._columns, strict=True)
        return pd.DataFrame([{**row.to_row(), **more} for row, more in rows_])


class Report(dict[str, Any]):
    """The content of `6-report.json`; a notebook shows the report's page.

    Args:
        content: The document.
        page: The file of the page.
    """

    def __init__(self, content: Mapping[str, Any], page: Path) -> None:
        super().__init__(content)
        self._page = page

    def to_pandas(self) -> pd.DataFrame:
        """A data frame with a row an arm; fractions 0..1, with `_low` and `_high` of their 95 % interval."""
        import pandas as pd

        arms: dict[str, dict[str, float]] = {}
        for name, arm in self["arms"].items():
            arms[name] = columns = {}
            for key, measure in arm.items():
                if isinstance(measure, Mapping) and "value" in measure:
                    columns[key] = measure["value"]
                    columns |= {f"{key}_{end}": measure[end] for end in ("low", "high") if end in measure}
        return pd.DataFrame.from_dict(arms, orient="index").rename_axis("arm")

    def _repr_html_(self) -> str:
        """The page in a frame of its own, so that its styles and the notebook's stay apart."""
        return FRAME.format(html.escape(self._page.read_text("utf-8")))


class Run:
    """A run folder, read when asked.

    Each table is a list of the records of `solo_hub.core.records`, with `to_pandas()`.

    Attributes:
        path: The folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.folder = RunFolder(path)

    def __repr__(self) -> str:
        return f"Run('{self.path}')"

    def _repr_html_(self) -> str | None:
        """The report in a notebook, once there is one."""
        return self.report._repr_html_() if self.folder.has("report", "html") else None

    @property
    def config(self) -> Config:
        """All settings of the run."""
        return build(self.folder.read_config()["settings"], str(self.folder.file("config")))

    @cached_property
    def questions(self) -> Records[Question]:
        """The unlabelled questions."""
        return Records(rows.read_questions(self.folder))

    @cached_property
    def labels(self) -> Records[PseudoLabel]:
        """The teacher's labels; the data frame has the question's text too."""
        return Records(rows.read_labels(self.folder, self.questions), self._questions_shown)

    @cached_property
    def selection(self) -> Records[Verdict]:
        """What was decided on each label, in the labels' order; the data frame has the question and label too."""
        shown = [
            {**question, "text": label.text} for question, label in zip(self._questions_shown, self.labels, strict=True)
        ]
        return Records(rows.read_verdicts(self.folder, self.labels), shown)

    @cached_property
    def held_out(self) -> Records[Question]:
        """The questions of the evaluation; nobody trained on them."""
        return Records(rows.read_questions(self.folder, "held_out"))

    @cached_property
    def predictions(self) -> Records[Prediction]:
        """Every arm's answers to the held-out questions; the data frame also says whether each is `right`."""
        from solo_hub.evaluation.scoring import is_right

        evaluation = rows.read_evaluation(self.folder)
        answers, columns = [], []
        for given in evaluation.predictions.values():
            for question, gold, answer in zip(evaluation.questions, evaluation.golds, given, strict=True):
                answers.append(answer)
                columns.append({"question": question.text, "gold": gold.text, "right": is_right(gold, answer)})
        return Records(answers, columns)

    def messages(self, arm: str | None = None) -> list[dict[str, Any]]:
        """Questions and answers as conversations, which trainers of chat models read (TRL, axolotl, Unsloth).

        Args:
            arm: Whose answers to the held-out questions; without it the kept labels, as in the published dataset.

        Returns:
            Rows of `id`, `messages` (`role`, `content`: the question as the student is asked, and the answer), and
            for labels `weight`.
        """
        from solo_hub.models.prompts import messages
        from solo_hub.publishing.dataset import conversation
        from solo_hub.publishing.documents import Row
        from solo_hub.run.resolution import read_resolved

        style = read_resolved(self.folder).style
        if arm is None:
            labelled = zip(self.questions, self.labels, self.selection, strict=True)
            return [conversation(Row(*row), style) for row in labelled if row[-1].kept]
        answers = rows.read_evaluation(self.folder, [arm])
        answered = zip(answers.questions, answers.predictions[arm], strict=True)
        return [{"id": question.id, "messages": messages(question, style, given.text)} for question, given in answered]

    @property
    def report(self) -> Report:
        """The report's numbers; a notebook shows its page."""
        return Report(self.folder.read_json("report"), self.folder.file("html"))

    @property
    def published(self) -> dict[str, Any] | None:
        """The repos with their commits and tags, by kind (`dataset`, `adapter`, ...); None if it is not published."""
        return self.folder.read_json("published") if self.folder.has("published") else None

    @property
    def _questions_shown(self) -> list[dict[str, Any]]:
        return [{"question": question.text} for question in self.questions]


class Student:
    """A published adapter on its base, asked with the very prompt it was trained on; see `from_pretrained`."""

    def __init__(self, comparison: Comparison) -> None:
        comparison.arms = ("student",)
        comparison.load()
        self._comparison = comparison

    @classmethod
    def from_pretrained(cls, source: str | Path, *, hub: str | None = None, trust_remote_code: bool = False) -> Student:
        """Load an adapter made by solo-hub and its base, at the commit the adapter names.

        Args:
            source: OWNER/ADAPTER[@REVISION], or a run folder.
            hub: `local` for the embedded Hub, or a URL; the Hugging Face Hub by default, or a run's own.
            trust_remote_code: Run Python code from the base model's repo.

        Raises:
            RepoMissingError: No such repo.
            RunError: It was not made by solo-hub.
        """
        from solo_hub.cli.compare import open_source

        console = open_console("quiet")
        return cls(open_source(str(source), hub, console, trust_remote_code=trust_remote_code, excerpt=([], 0)))

    def answer(self, question: str, options: Sequence[str] = ()) -> Prediction:
        """Answer a question without passages.

        Args:
            question: The question, or the text to be put into a class.
            options: At least two; without them the student writes an answer, or chooses among its classes.

        Returns:
            `text` is the chosen option or the written answer, `option` its index, `probabilities` one an option.

        Raises:
            InputError: The question is empty or too long, or there is one option, or two are the same.
        """
        from solo_hub.evaluation.comparison.asking import read_question

        context = self._comparison.context
        task = context.config.task
        given = tuple(options) or tuple(context.resolved.classes or task.classes)
        asked = read_question(task.template.replace("{text}", question), "\n".join(" ".join(o.split()) for o in given))
        if len(asked.options) < len(given):
            raise InputError("An option is empty.", hint="Remove it.")
        (answer,) = self._comparison.answer(replace(asked, options=given), generate=False)
        return answer.prediction
