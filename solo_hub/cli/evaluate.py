"""`solo-hub evaluate`: the arms of a run, answers of other systems, and how many questions a gain needs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from solo_hub.cli.options import FORMAT, RUN, UPDATE, read_config, run_context, settings_options

if TYPE_CHECKING:
    from solo_hub.core.config import Config
    from solo_hub.core.console import Console

LISTED = 20  # bad rows shown to people; `--format json` has all


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
    help="Ask another adapter or model too, or an arm of `evaluation.arms`, e.g. random_student; may be repeated.",
)
@click.option("--power", is_flag=True, help="Tell how many questions a gain needs; asks no model.")
@click.option(
    "--gain",
    "gains",
    multiple=True,
    type=click.FloatRange(0, 1, min_open=True),
    metavar="SHARE",
    help="Gain in accuracy for --power, e.g. 0.05; may be repeated.",
)
@click.option(
    "--accuracy",
    type=click.FloatRange(0, 1),
    metavar="SHARE",
    help="Accuracy of the base for --power. [default: the run's; else 0.5, which needs the most questions]",
)
@click.option(
    "--predictions",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Score answers of another system: .jsonl, .csv or .parquet with columns id and text or label.",
)
@click.option(
    "--column",
    "columns",
    multiple=True,
    metavar="id|text|label=NAME",
    help="A column of --predictions that has another name; may be repeated.",
)
@click.option("--rouge", is_flag=True, help="Also ROUGE of the texts in --predictions.")
@click.option(
    "--harness",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="FOLDER",
    help="Write the run's task for lm-evaluation-harness into a folder; asks no model.",
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
    columns: tuple[str, ...],
    harness: Path | None,
    mode: str,
    *,
    power: bool,
    rouge: bool,
    update: bool,
    **options: Any,
) -> None:
    """Measure base, teacher, student and further arms on held-out questions.

    Does the steps before it that are missing. With --predictions it scores a file of answers instead, with --power it
    tells how many questions are needed, with --harness it writes the task for another tool.
    """
    from solo_hub.core.console import Console, Mode
    from solo_hub.core.errors import UsageError

    console = Console(cast("Mode", mode))
    others = [name for name, on in (("--power", power), ("--predictions", predictions), ("--harness", harness)) if on]
    if len(others) > 1 or (others and arms):
        raise UsageError(
            f"{' and '.join([*others, *(['--arm'] if arms else [])])} do not go together.", hint="Use one."
        )
    if power:
        _tell_power(console, run_dir, gains, accuracy)
        return
    config, folder = read_config(source, run_dir, options, assignments)
    if predictions is not None:
        asked = run_dir if run_dir is not None and options.get("questions") is None else None
        _score_file(console, config, asked, predictions, columns, rouge=rouge)
    elif harness is not None:
        _write_harness(console, folder, harness)
    else:
        _ask(config, folder, arms, mode, update=update, only_arms=not assignments and source is None)


def _ask(config: Config, folder: Path, arms: tuple[str, ...], mode: str, *, update: bool, only_arms: bool) -> None:
    from solo_hub import pipeline
    from solo_hub.cli.results import print_result
    from solo_hub.core.config import build

    if arms:
        given = {arm.partition("=")[0]: arm for arm in config.evaluation.arms}
        given |= {arm.partition("=")[0]: arm for arm in arms}
        settings = config.model_dump(mode="json")
        settings["evaluation"]["arms"] = list(given.values())
        config = build(settings, "--arm")
        update = update or only_arms  # another arm touches the evaluation alone, and what is answered is kept
    with run_context(config, folder, mode, update=update) as (context, console):
        document = pipeline.distill(context)
        print_result(console, {**document, "run": str(folder)})


def _tell_power(console: Console, run_dir: Path | None, gains: tuple[float, ...], accuracy: float | None) -> None:
    from solo_hub.evaluation.statistics import power
    from solo_hub.run.folder import RunFolder

    disagreement, questions, base = None, None, 0.5
    if run_dir is not None:
        base, disagreement, questions = power.seen(RunFolder(run_dir).read_json("report"))
    if accuracy is not None:
        base, disagreement = accuracy, None
    told = power.plan(base, gains or power.GAINS, disagreement=disagreement, questions=questions)
    console.document({"power": told})
    how = (
        f"{100 * disagreement:.1f} % of the answers differ, as in this run"
        if disagreement
        else "arms err independently"
    )
    columns = ["gain, points", *(f"questions for {100 * p:.0f} %" for p in power.POWERS)]
    rows = [
        [f"{100 * row['gain']:.1f}", *(_count(row[f"{100 * p:.0f} %"]) for p in power.POWERS)] for row in told["gains"]
    ]
    console.table(f"Questions needed to see a gain over {100 * base:.1f} % (paired test, 5 %; {how})", columns, rows)
    if told["detectable"]:
        found = [
            f"{100 * gain:.1f} points with a chance of {chance}" for chance, gain in told["detectable"].items() if gain
        ]
        console.line(f"{questions:,} questions show a gain of {', '.join(found) or 'no size'}.")


def _count(number: int | None) -> str:
    return "not possible" if number is None else f"{number:,}"


def _score_file(
    console: Console, config: Config, run_dir: Path | None, file: Path, columns: tuple[str, ...], *, rouge: bool
) -> None:
    from solo_hub.cli.options import connect
    from solo_hub.core.errors import UsageError
    from solo_hub.evaluation import external_predictions as outside_answers
    from solo_hub.hub.unusable import Unusable, describe_left_out
    from solo_hub.run.folder import RunFolder

    names = dict(pair.partition("=")[::2] for pair in columns)
    wrong = next((key for key, name in names.items() if key not in ("id", "text", "label") or not name), None)
    if wrong is not None:
        raise UsageError(
            f"--column {wrong} is not understood.", hint="Write e.g. --column id=qid --column text=answer."
        )
    unusable = Unusable(config.task.unusable_rows)
    if run_dir is not None:
        asked = outside_answers.of_run(RunFolder(run_dir))
    else:
        console.quieten_libraries()
        asked = outside_answers.of_task(config, lambda needs: connect(config, needs, console), unusable)
    told = outside_answers.score(file, asked, columns=names, rouge=rouge, config=config)
    left_out = [item.to_row() for item in unusable.left_out]
    console.document({"predictions": str(file), "questions": asked.place, **told, "left_out": left_out})
    for said in told["notes"]:
        console.note(said)
    if unusable.left_out:
        console.warn(describe_left_out(unusable.left_out, "question"))
    rows = [
        [name.replace("_", " "), f"{row['value']:.3f}", f"{row['low']:.3f} to {row['high']:.3f}"]
        for name, row in told.items()
        if isinstance(row, dict)
    ]
    title = f"{file.name}: {told['answered']:,} of {told['n_questions']:,} questions of {asked.place} answered"
    console.table(title, ["metric", "value", "95 % interval"], rows)
    bad = told["bad_rows"]
    for row in bad[:LISTED]:
        console.line(f"row {row['row']}: {row['problem']}")
    if bad:
        console.warn(f"{len(bad):,} rows were not scored{', the first of them above' if len(bad) > LISTED else ''}.")


def _write_harness(console: Console, folder: Path, out: Path) -> None:
    from solo_hub.core.errors import RunError, UsageError
    from solo_hub.evaluation.finished_run import read
    from solo_hub.evaluation.harness import write_task

    run = read(folder)
    settings, resolved = run.config["settings"], run.config["resolved"]
    if settings["task"]["name"] != "qasc":
        raise UsageError(
            f"The task '{settings['task']['name']}' is not exported, only qasc is.",
            hint="Call solo_hub.evaluation.harness.write_task with the columns of your dataset.",
        )
    repo = resolved["repos"]["evaluation_questions"]
    where: dict[str, Any] = {"dataset": repo.get("repo_id"), "revision": repo.get("commit")}
    split = settings["task"]["evaluation_split"]
    if "file" in repo:
        suffix = Path(repo["file"]).suffix.lstrip(".")
        kind = {"jsonl": "json"}.get(suffix, suffix)
        where = {"dataset": kind, "data_files": {split: repo["file"]}}
    if settings["task"]["evaluation_limit"]:
        console.warn("The run asked a sample of the split; the exported task asks all of it.")
    style = resolved.get("teacher", {}).get("style")
    if style is None:
        raise RunError("The run's config.yaml does not say how its teacher answers.", hint="Finish the run first.")
    path = write_task(out, style=style, name="qasc_solo", split=split, **where)
    console.document({"task": str(path)})
    console.line(str(path))
    console.line(f"lm_eval --model hf --model_args pretrained={settings['base']},dtype=float32 "
                 f"--tasks qasc_solo --include_path {out}")  # fmt: skip
