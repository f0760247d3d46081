"""A run that takes seconds, and a way to start it hundreds of times, to kill it, and to compare what is left."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fork_server import Command, ForkServer
from small_hub import WRITE as TOKEN
from small_hub import small_settings

KEPT = {".lock", ".sums.json", ".6-answers.jsonl"}  # the lock, and answers that were paid for


@dataclass
class Runner:
    """Starts commands against a Hub.

    Args:
        endpoint: The Hub.
        server: What forks.
    """

    endpoint: str
    server: ForkServer

    def start(
        self, *words: Any, home: Path, hub: str | None = None, env: dict[str, str] | None = None, **options: Any
    ) -> Command:
        """Start a command; `hub` is another one, or empty for none named; see `ForkServer.start` for the rest."""
        named = ("--hub", hub or self.endpoint) if hub != "" else ()
        return self.server.start(*words, *named, env={"SOLO_HUB_HOME": str(home), **(env or {})}, **options)

    def run(self, *words: Any, **options: Any) -> Command:
        """Run a command to its end, whatever that is."""
        command = self.start(*words, **options)
        command.wait(300)
        return command


def settings_of(repos: str = "rel", *, whole: bool = False) -> dict[str, Any]:
    """Settings of the run; `repos` names what it publishes, `whole`: with a Space and in a Collection."""
    made = small_settings(whole=True)
    made["task"] |= {"train_limit": 24, "evaluation_limit": 10}
    made["knowledge"]["passages"] = 3
    made["teacher"]["batch_size"] = 6
    made["evaluation"] |= {"max_new_tokens": 2, "arms": []}
    made["publish"] |= {
        "namespace": "tests", "dataset": f"{repos}-labels", "adapter": f"{repos}-adapter",
        "space": whole, "collection": f"Collection {repos}" if whole else False,
    }  # fmt: skip
    return made


def leftovers(run: Path) -> list[str]:
    """Temporary files that a finished run should not hold."""
    return [path.name for path in run.iterdir() if path.name.startswith(".") and path.name not in KEPT]


def versions(endpoint: str, repo_id: str, kind: str, token: str = TOKEN) -> tuple[list[str], int]:
    """Tags of a repo, and how many commits it has beside the one that made it."""
    from huggingface_hub import HfApi

    api = HfApi(endpoint=endpoint, token=token)
    tags = sorted(ref.name for ref in api.list_repo_refs(repo_id, repo_type=kind).tags)
    return tags, len(api.list_repo_commits(repo_id, repo_type=kind)) - 1
