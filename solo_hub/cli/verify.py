"""`solo-hub verify`: is what is published whole, and is what it says true?"""

from __future__ import annotations

from typing import cast

import click

from solo_hub.cli.options import FORMAT, HUB


@click.command(
    epilog="""\b
Examples:
  solo-hub verify OWNER/qasc-SmolLM2-135M-Instruct-solo-adapter
  solo-hub verify OWNER/qasc-SmolLM2-135M-Instruct-pseudo-labels@v1 --hub local
  solo-hub verify OWNER/NAME --no-model --format json"""
)
@click.argument("repo", metavar="REPO[@REV]")
@HUB
@click.option("--no-model", is_flag=True, help="Do not load an adapter on its base: no model is downloaded.")
@FORMAT
def verify(repo: str, hub: str | None, mode: str, *, no_model: bool) -> int:
    """Check a published dataset, adapter or knowledge base as a stranger would.

    Files and hashes, rows, weights, the card's numbers, secrets, links to exact commits, and whether the adapter
    changes its base. Nothing of the repo is run. Exit code 0 when all checks hold.
    """
    import warnings

    from solo_hub.checks.result import lines, wrong
    from solo_hub.checks.verification import verify_repo
    from solo_hub.core.console import Console, Mode
    from solo_hub.hub.opening import open_hub

    console = Console(cast("Mode", mode))
    console.quieten_libraries()
    client = open_hub(hub, needs=[], note=console.note).client()
    with warnings.catch_warnings():
        # libraries warn of their own future; a user can do nothing about it
        warnings.simplefilter("ignore", FutureWarning)
        warnings.simplefilter("ignore", DeprecationWarning)
        found = verify_repo(client, repo, console, model=not no_model)
    console.document(found.to_row())
    what = f"{found.repo.repo_id} at {found.repo.commit[:8]}"
    console.line(f"{found.repo.type} {what}")
    for line in lines(found.findings):
        console.line(line)
    bad, unseen = wrong(found.findings), sum(finding.state == "open" for finding in found.findings)
    total = len(found.findings)
    rest = f"; {unseen} not looked at" if unseen else ""
    if bad:
        names = ", ".join(finding.name for finding in bad)
        console.error(f"{len(bad)} of {total} checks of {what} do not hold: {names}{rest}.")
        return 1
    console.line(f"{total - unseen} of {total} checks hold{rest}")
    return 0
