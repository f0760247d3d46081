"""`solo-hub evaluate`: the arms of a run, predictions of other systems, and power analysis."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from solo_hub.cli.options import FORMAT, RUN, UPDATE, connect, open_console, read_config, run_context, settings_options

if TYPE_CHECKING:
    from solo_hub.core.config import Config
    from solo_hub.core.console import Console
    from solo_hub.evaluation.external_answers import QuestionSet
    from solo_hub.hub.unusable import Unusable

LISTED = 20  # bad rows printed; `--format json` has all


@click.command(epilog="Example: solo-hub evaluate --run runs/demo --arm mine=me/my-adapter@v2")
@click.argument("source", required=False, metavar="[CONFIG.yaml|PRESET]")
@settings_options
@RUN
@UPDATE
@click.option(
    "--arm",
    "arms",
    multiple=True,
    metavar="NAME=REPO[@REV]|NAME=FOLDER|ARM",
    help="Also evaluate another adapter or model, or an arm of `evaluation.arms`, e.g. random_student. Repeatable.",
)
@click.option("--power", is_flag=True, help="Compute how many questions are needed to detect a gain; runs no model.")
@click.option(
    "--gain",
    "gains",
    multiple=True,
    type=click.FloatRange(0, 1, min_open=True),
    metavar="FRACTION",
    help="Gain in accuracy for --power, e.g. 0.05. Repeatable.",
)
@click.option(
    "--accuracy",
    type=click.FloatRange(0, 1),
    metavar="FRACTION",
    help="Base accuracy for --power. [default: the run's, or 0.5, which needs the most questions]",
)
@click.option(
    "--predictions",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Score predictions of another system: .jsonl, .csv or .parquet with columns id and text or label.",
)
@click.option(
    "--against",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Test --predictions against those of another system, paired by id. Either may be a file of "
    "lm-evaluation-harness (--log_samples).",
)
@click.option(
    "--column",
    "columns",
    multiple=True,
    metavar="id|text|label|right=NAME",
    help="Name of a column of --predictions, if it differs; `right` (1 or 0) for --against. Repeatable.",
)
@click.option("--rouge", is_flag=True, help="Also compute ROUGE of the texts in --predictions.")
@click.option("--bert-score", is_flag=True, help="Also compute BERTScore of the texts in --predictions.")
@click.option(
    "--harness",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="FOLDER",
    help="Export the run's task for lm-evaluation-harness to a folder; runs no model.",
)
@FORMAT
def evaluate(
    source: str | None,
    run_dir: Path | None,
    assignments: tuple[str, ...],
    arms: tuple[str, ...],
    gains: tuple[float, ...],
    accuracy: float | None,
    predictions: Path | None,
    against: Path | None,
    columns: tuple[str, ...],
    harness: Path | None,
    mode: str,
    *,
    power: bool,
    rouge: bool,
    bert_score: bool,
    update: bool,
    **options: Any,
) -> None:
    """Evaluate base, teacher, student and other arms on held-out questions.

    Missing earlier steps are run first. With --predictions it scores a file of predictions instead, with --against it
    compares two, with --power it computes how many questions are needed, with --harness it exports the task.
    """
    from solo_hub.core.errors import UsageError

    console = open_console(mode)
    modes = [name for name, on in (("--power", power), ("--predictions", predictions), ("--harness", harness)) if on]
    if len(modes) > 1 or (modes and arms):
        raise UsageError(
            f"{' and '.join([*modes, *(['--arm'] if arms else [])])} cannot be combined.", hint="Use only one of them."
        )
    if against is not None and predictions is None:
        raise UsageError("--against needs --predictions.", hint="Name the first file with --predictions FILE.")
    if power:
        _print_power(console, run_dir, gains, accuracy)
        return
    config, folder = read_config(source, run_dir, options, assignments)
    if predictions is not None:
        scored_run = run_dir if run_dir is not None and options.get("questions") is None else None
        if against is not None:
            _compare_files(console, config, scored_run, (predictions, against), columns)
        else:
            _score_file(console, config, scored_run, predictions, columns, rouge=rouge, bert_score=bert_score)
    elif harness is not None:
        _write_harness(console, folder, harness)
    else:
        _ask(config, folder, arms, mode, update=update, only_arms=not assignments and source is None)


def _ask(config: Config, folder: Path, arms: tuple[str, ...], mode: str, *, update: bool, only_arms: bool) -> None:
    from solo_hub import pipeline
    from solo_hub.cli.results import print_result
    from solo_hub.core.config import build

    if arms:
        by_name = {arm.partition("=")[0]: arm for arm in config.evaluation.arms}
        by_name |= {arm.partition("=")[0]: arm for arm in arms}
        settings = config.model_dump(mode="json")
        settings["evaluation"]["arms"] = list(by_name.values())
        config = build(settings, "--arm")
        update = update or only_arms  # another arm affects only the evaluation, and existing answers are kept
    with run_context(config, folder, mode, update=update) as (context, console):
        document = pipeline.distill(context)
        print_result(console, {**document, "run": str(folder)})


def _print_power(console: Console, run_dir: Path | None, gains: tuple[float, ...], accuracy: float | None) -> None:
    from solo_hub.evaluation.report.format import percent
    from solo_hub.evaluation.statistics import power
    from solo_hub.run.folder import RunFolder

    disagreement, questions, base = None, None, 0.5
    if run_dir is not None:
        base, disagreement, questions = power.seen(RunFolder(run_dir).read_json("report"))
    if accuracy is not None:
        base, disagreement = accuracy, None
    planned = power.plan(base, gains or power.GAINS, disagreement=disagreement, questions=questions)
    console.document({"power": planned})
    how = f"{percent(disagreement)} of the answers differ, as in this run" if disagreement else "independent errors"
    columns = ["gain, points", *(f"questions for {100 * p:.0f} % power" for p in power.POWERS)]
    rows = [
        [f"{100 * row['gain']:.1f}", *(_count(row[f"{100 * p:.0f} %"]) for p in power.POWERS)]
        for row in planned["gains"]
    ]
    console.table(
        f"Questions needed to detect a gain over {percent(base)} (paired test, 5 % level; {how})", columns, rows
    )
    if planned["detectable"]:
        gains_ = [
            f"{100 * gain:.1f} points with {chance} power" for chance, gain in planned["detectable"].items() if gain
        ]
        console.line(f"{questions:,} questions detect {', '.join(gains_) or 'no gain of any size'}.")


def _count(number: int | None) -> str:
    return "not possible" if number is None else f"{number:,}"


def _question_set(console: Console, config: Config, run_dir: Path | None, unusable: Unusable) -> QuestionSet:
    """The questions that predictions are scored on: those of a run, else of the task."""
    from solo_hub.evaluation import external_predictions
    from solo_hub.run.folder import RunFolder

    if run_dir is not None:
        return external_predictions.of_run(RunFolder(run_dir))
    return external_predictions.of_task(config, lambda needs: connect(config, needs, console), unusable)


def _column_names(columns: tuple[str, ...], known: tuple[str, ...]) -> dict[str, str]:
    from solo_hub.core.errors import UsageError

    names = dict(pair.partition("=")[::2] for pair in columns)
    invalid = next((key for key, name in names.items() if key not in known or not name), None)
    if invalid is not None:
        raise UsageError(f"--column {invalid} is invalid.", hint="Write e.g. --column id=qid --column text=answer.")
    return names


def _compare_files(
    console: Console, config: Config, run_dir: Path | None, files: tuple[Path, Path], columns: tuple[str, ...]
) -> None:
    from solo_hub.evaluation.paired_files import compare_files
    from solo_hub.evaluation.report.format import metric_value, p_value, points_interval
    from solo_hub.hub.unusable import Unusable, describe_left_out

    unusable = Unusable(config.task.unusable_rows)
    document = compare_files(
        *files,
        columns=_column_names(columns, ("id", "text", "label", "right")),
        questions=lambda: _question_set(console, config, run_dir, unusable),
        config=config,
    )
    console.document({"predictions": str(files[0]), "against": str(files[1]), **document})
    for note in document["notes"]:
        console.note(note)
    if unusable.left_out:
        console.warn(describe_left_out(unusable.left_out, "question"))
    rows = [
        [str(file), judged, metric_value("accuracy", accuracy), f"{only:,}", f"{alone:,}"]
        for file, judged, accuracy, only, alone in zip(
            files,
            document["judged_by"],
            document["accuracy"],
            (document["only_first"], document["only_second"]),
            document["only_in"],
            strict=True,
        )
    ]
    console.table(
        f"{document['n']:,} questions that both answered",
        ["system", "judged by", "accuracy (95 % interval)", "only it right", "only in it"],
        rows,
        left=2,
    )
    test = f"{p_value(document['p_value'])} (McNemar's exact test)"
    console.line(f"{files[0].name} - {files[1].name}: {points_interval(document['difference'])}, {test}")
    for file, bad in zip(files, document["bad_rows"], strict=True):
        _list_bad_rows(console, bad, f" of {file.name}")


def _list_bad_rows(console: Console, bad: list[dict[str, Any]], whose: str = "") -> None:
    for row in bad[:LISTED]:
        console.line(f"row {row['row']}{whose}: {row['problem']}")
    if bad:
        more = "; the first are listed above" if len(bad) > LISTED else ""
        console.warn(f"{len(bad):,} rows{whose} were not scored{more}.")


def _score_file(
    console: Console,
    config: Config,
    run_dir: Path | None,
    file: Path,
    columns: tuple[str, ...],
    *,
    rouge: bool,
    bert_score: bool,
) -> None:
    from solo_hub.evaluation.external_answers import score_file
    from solo_hub.evaluation.report.format import metric_value
    from solo_hub.hub.unusable import Unusable, describe_left_out

    names = _column_names(columns, ("id", "text", "label"))
    unusable = Unusable(config.task.unusable_rows)
    evaluated = _question_set(console, config, run_dir, unusable)
    model = None
    if bert_score:
        reference = config.evaluation.bert_score_model
        client = connect(config, [reference], console).client()
        model = client.pull(client.pin(reference, "model"))
    scores = score_file(file, evaluated, config, columns=names, rouge=rouge, bert_score_model=model)
    unusable_rows = [item.to_row() for item in unusable.left_out]
    console.document({"predictions": str(file), "questions": evaluated.place, **scores, "unusable": unusable_rows})
    for note in scores["notes"]:
        console.note(note)
    if unusable.left_out:
        console.warn(describe_left_out(unusable.left_out, "question"))
    rows = [
        [name.replace("_", " "), *metric_value(name, row).rstrip(")").split(" (")]
        for name, row in scores.items()
        if isinstance(row, dict)
    ]
    title = f"{file.name}: {scores['answered']:,} of {scores['n_questions']:,} questions of {evaluated.place} answered"
    console.table(title, ["metric", "value", "95 % interval"], rows)
    _list_bad_rows(console, scores["bad_rows"])


def _write_harness(console: Console, folder: Path, out: Path) -> None:
    from solo_hub.core.errors import RunError, UsageError
    from solo_hub.evaluation.finished_run import read
    from solo_hub.evaluation.harness import write_task
    from solo_hub.run.resolved import LocalFile

    run = read(folder)
    settings, resolved = run.settings, run.resolved
    if settings["task"]["name"] != "qasc":
        raise UsageError(
            f"The task '{settings['task']['name']}' cannot be exported, only qasc can.",
            hint="Call solo_hub.evaluation.harness.write_task with the columns of your dataset.",
        )
    repo = resolved.repos.get("evaluation_questions")
    if repo is None:
        raise UsageError(
            "The held-out questions of this run were written from its documents, and are in no dataset of their own.",
            hint=f"They are in {folder / '6-questions.jsonl'}; or give task.evaluation_questions.",
        )
    where: dict[str, Any] = {"dataset": repo.repo_id, "revision": repo.commit}
    split = settings["task"]["evaluation_split"]
    if isinstance(repo, LocalFile):
        suffix = Path(repo.file).suffix.lstrip(".")
        kind = {"jsonl": "json"}.get(suffix, suffix)
        where = {"dataset": kind, "data_files": {split: repo.file}}
    if settings["task"]["evaluation_limit"]:
        console.warn("The run used a sample of the split; the exported task uses all of it.")
    if "teacher" not in resolved.setups:
        raise RunError("The run's config.yaml has no scoring style of the teacher.", hint="Finish the run first.")
    path = write_task(out, style=resolved.style, name="qasc_solo", split=split, **where)
    console.document({"task": str(path)})
    console.line(str(path))
    console.line(f"lm_eval --model hf --model_args pretrained={settings['base']},dtype=float32 "
                 f"--tasks qasc_solo --include_path {out}")  # fmt: skip
