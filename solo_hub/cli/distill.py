"""`solo-hub distill`: all steps of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from solo_hub.cli.options import (
    ALLOW_NO_GAIN,
    FORMAT,
    JOB,
    JOB_TIME,
    RUN,
    UPDATE,
    YES,
    next_round,
    read_config,
    run_context,
    settings_options,
)

PRESETS = {
    "demo": "an invented world on the embedded Hub; two CPU cores, a few minutes, no network",
    "documents": "questions written from your documents, named by --knowledge; the embedded Hub, a CPU is enough",
    "documents-gpu": "the same, Qwen2.5-1.5B-Instruct, which writes questions too; one GPU of 16 GB",
    "qasc-small": "QASC, SmolLM2-135M-Instruct; a CPU is enough",
    "qasc": "QASC, Qwen2.5-1.5B-Instruct (not gated); one GPU of 16 GB",
    "grpo": "QASC by reinforcement, Qwen2.5-1.5B-Instruct; one GPU of 24 GB",
    "thesis": "QASC, Gemma 3 (gated), LoRA; the setup of the thesis, as far as its abstract describes it",
}


class WithSettings(click.Command):
    """A command whose help lists presets and all settings below the options."""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Write examples, presets and settings."""
        from solo_hub.core.config import describe

        with formatter.section("Examples"):
            formatter.write_dl([
                ("solo-hub distill demo --push", "all steps, on the embedded Hub"),
                ("solo-hub distill qasc-small --hub local --push", "real questions, if the repos are seeded"),
                ("solo-hub distill my.yaml --base OWNER/MODEL --set student.epochs=5", "your own configuration"),
                ("solo-hub distill qasc --push --job a10g-small", "run as a Hugging Face job"),
                ("solo-hub distill --run runs/demo", "resume an interrupted run"),
            ])  # fmt: skip
        with formatter.section("Presets"):
            formatter.write_dl(list(PRESETS.items()))
        with formatter.section("Settings (in CONFIG or with --set KEY=VALUE)"):
            formatter.write_dl([(key, f"{text} [{default}]" if default else text) for key, default, text in describe()])


@click.command(cls=WithSettings)
@click.argument("source", required=False, metavar="[CONFIG.yaml|PRESET]")
@settings_options
@RUN
@click.option(
    "--from",
    "earlier",
    type=click.Path(path_type=Path),
    metavar="RUN",
    help="Next round: the student of this finished run teaches, with its passages. Its settings are the defaults.",
)
@click.option("--push", is_flag=True, help="Publish dataset and adapter after the evaluation.")
@click.option(
    "--plan",
    is_flag=True,
    help="Only say what the run would read, ask and take: timed on a small run, nothing is kept.",
)
@click.option(
    "--preview",
    type=click.IntRange(1, 50),
    metavar="N",
    help="Only take N questions through all steps and show what becomes of each; nothing is kept.",
)
@ALLOW_NO_GAIN
@UPDATE
@JOB
@JOB_TIME
@YES
@FORMAT
def distill(
    source: str | None,
    run_dir: Path | None,
    assignments: tuple[str, ...],
    mode: str,
    *,
    earlier: Path | None,
    push: bool,
    plan: bool,
    preview: int | None,
    allow_no_gain: bool,
    update: bool,
    job: str | None,
    job_time: float,
    yes: bool,
    **options: Any,
) -> int:
    """Run all steps: questions, passages, labels, selection, training, evaluation and, with --push, publishing.

    An interrupted run resumes where it stopped; a finished run is a no-op.
    """
    if allow_no_gain:
        assignments = (*assignments, "publish.allow_no_gain=true")
    if yes:
        assignments = (*assignments, "publish.allow_personal=true")
    if earlier is not None:
        source, assignments = next_round(earlier, source, assignments)
    config, run_dir = read_config(source, run_dir, options, assignments)
    if plan or preview:
        from solo_hub.cli.rehearsal import print_plan, print_preview

        return print_preview(config, mode, preview) if preview else print_plan(config, run_dir, mode, job)
    if job is not None:
        from solo_hub.cli.job import run_as_job

        return run_as_job(config, run_dir, mode, job, job_time, push=push, update=update, yes=yes)
    with run_context(config, run_dir, mode, update=update, yes=yes) as (context, console):
        from solo_hub.cli.results import print_result
        from solo_hub.pipeline import distill as run_all

        if context.processes.first and not context.run.has("adapter"):
            from solo_hub.checks.preflight import at_start

            at_start(context, console)
        print_result(console, run_all(context, push=push))
    return 0
