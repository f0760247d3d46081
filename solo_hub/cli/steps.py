"""Single steps of a run: `label`, `select`, `train`, `publish`; `index` and `evaluate` have modules of their own.

Each runs missing earlier steps first.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from solo_hub.cli.options import (
    ALLOW_NO_GAIN,
    FORMAT,
    NAMESPACE,
    RUN,
    SET,
    UPDATE,
    YES,
    read_config,
    run_context,
    settings_options,
)

if TYPE_CHECKING:
    from solo_hub.run.context import RunContext

Work = Callable[..., dict[str, Any]]


def _step(name: str, help_text: str, example: str, work: Work, *flags: click.Option) -> click.Command:
    """A command that runs a run folder up to one step; its flags are passed to `work`."""

    @click.command(name, help=help_text, epilog=f"Example: {example}")
    @click.argument("source", required=False, metavar="[CONFIG.yaml|PRESET]")
    @settings_options
    @RUN
    @UPDATE
    @FORMAT
    def command(
        source: str | None,
        run_dir: Path | None,
        assignments: tuple[str, ...],
        mode: str,
        *,
        update: bool,
        **options: Any,
    ) -> None:
        chosen = {flag.name: options.pop(flag.name) for flag in flags if flag.name}
        config, folder = read_config(source, run_dir, options, assignments)
        with run_context(config, folder, mode, update=update) as (context, console):
            console.document({"run": str(folder), **work(context, **chosen)})

    command.params.extend(flags)
    return command


def _rows(context: RunContext) -> Any:
    """Questions, passages and labels."""
    from solo_hub import pipeline

    questions = pipeline.load_questions(context)
    passages = pipeline.find_passages(context, questions)
    return questions, passages, pipeline.label(context, questions, passages)


def _label(context: RunContext) -> dict[str, Any]:
    *_, labels = _rows(context)
    confidences = [row.confidence for row in labels if row.confidence is not None]
    mean = sum(confidences) / len(confidences) if confidences else None
    return {"labels": len(labels), "mean_confidence": mean}


def _select(context: RunContext) -> dict[str, Any]:
    from solo_hub import pipeline

    selection = pipeline.select(context, *_rows(context))
    return {"method": selection.method, "kept": len(selection.kept), "dropped": len(selection.dropped)}


def _train(context: RunContext, *, merge: bool) -> dict[str, Any]:
    from solo_hub import pipeline
    from solo_hub.student.training import summary

    questions, passages, labels = _rows(context)
    selection = pipeline.select(context, questions, passages, labels)
    preferences = pipeline.rank(context, questions, passages, labels)
    trained = pipeline.train(context, questions, passages, labels, selection, preferences)
    if merge:
        pipeline.merge(context, questions, labels)
    merged = {"merged": str(context.run.file("merged"))} if merge else {}
    return {"training": summary(trained), **merged}


label = _step(
    "label",
    "Label the questions: the teacher answers them with their passages.",
    "solo-hub label --run runs/demo",
    _label,
)
select = _step(
    "select",
    "Select the pseudo-labels that the student is trained on.",
    "solo-hub select --run runs/demo --set selection.method=confidence --update",
    _select,
)
train = _step(
    "train",
    "Train the student's adapter on the selected pseudo-labels.",
    "solo-hub train --run runs/demo",
    _train,
    click.Option(["--merge"], is_flag=True, help="Also write the student as a merged model without an adapter."),
)


@click.command(epilog="Example: solo-hub publish --run runs/demo --hub local")
@RUN
@NAMESPACE
@click.option("--hub", metavar="local|URL", help="Hub to publish on. [default: the run's]")
@click.option("--message", default="", help="Message of this version, for commit and card.")
@click.option("--private", is_flag=True, help="Make new repos private.")
@ALLOW_NO_GAIN
@YES
@SET
@FORMAT
def publish(
    run_dir: Path | None,
    namespace: str | None,
    hub: str | None,
    message: str,
    assignments: tuple[str, ...],
    *,
    mode: str,
    private: bool,
    allow_no_gain: bool,
    yes: bool,
) -> None:
    """Publish dataset and adapter of a finished run: one commit and one version tag each."""
    from solo_hub.core.errors import UsageError

    if run_dir is None:
        raise UsageError("No run given.", hint="Name its folder: solo-hub publish --run runs/demo.")
    assignments += ("publish.private=true",) if private else ()
    assignments += ("publish.allow_no_gain=true",) if allow_no_gain else ()
    assignments += ("publish.allow_personal=true",) if yes else ()
    config, run_dir = read_config(None, run_dir, {"namespace": namespace, "hub": hub}, assignments)
    with run_context(config, run_dir, mode, yes=yes) as (context, console):
        from solo_hub import pipeline

        context.run.read_json("report")  # an unfinished run fails here, before anything is pushed
        published = pipeline.publish(context, message=message)
        console.document({"run": str(run_dir), "published": published})
