"""`solo-hub verify`: is a published repo complete, and are its claims true?"""

from __future__ import annotations

import click

from solo_hub.cli.options import FORMAT, HUB, open_console, without_deprecations


@click.command(
    epilog="""\b
Examples:
  solo-hub verify OWNER/qasc-SmolLM2-135M-Instruct-solo-adapter
  solo-hub verify OWNER/qasc-SmolLM2-135M-Instruct-pseudo-labels@v1 --hub local
  solo-hub verify OWNER/NAME --no-model --format json"""
)
@click.argument("repo", metavar="REPO[@REV]")
@HUB
@click.option("--no-model", is_flag=True, help="Do not download the base and load the adapter.")
@FORMAT
def verify(repo: str, hub: str | None, mode: str, *, no_model: bool) -> int:
    """Check a published dataset, adapter or knowledge base.

    Checks files and hashes, rows, weights, the card's numbers, secrets, links to exact commits, and that the adapter
    changes its base. No code of the repo is run. Exit code 0 if all checks pass.
    """
    from solo_hub.checks.result import failed, lines
    from solo_hub.checks.verification import verify_repo
    from solo_hub.hub.opening import open_hub

    console = open_console(mode)
    client = open_hub(hub, needs=[], note=console.note).client()
    with without_deprecations():
        verified = verify_repo(client, repo, console, model=not no_model)
    console.document(verified.to_row())
    what = f"{verified.repo.repo_id} at {verified.repo.commit[:8]}"
    console.line(f"{verified.repo.type} {what}")
    for line in lines(verified.results):
        console.line(line)
    failures, skipped = failed(verified.results), sum(result.state == "skipped" for result in verified.results)
    total = len(verified.results)
    rest = f"; {skipped} skipped" if skipped else ""
    if failures:
        names = ", ".join(result.name for result in failures)
        console.error(f"{len(failures)} of {total} checks of {what} failed: {names}{rest}.")
        return 1
    console.line(f"{total - skipped} of {total} checks passed{rest}")
    return 0
