"""The Space's own files: where they are, and the folder that is pushed."""

from __future__ import annotations

import importlib.util
import json
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import yaml

from solo_hub.core.errors import DependencyError
from solo_hub.core.paths import shipped
from solo_hub.evaluation.comparison.cases import Case, excerpt, read_cases
from solo_hub.hub.client import HubClient
from solo_hub.hub.repos import Pushed
from solo_hub.models.loading import NF4
from solo_hub.publishing import frontmatter, leaks
from solo_hub.publishing.markdown import inline
from solo_hub.publishing.naming import is_repo_id, space_name
from solo_hub.run.folder import RunFolder
from solo_hub.run.jobs.package import copy_package, pin, pins
from solo_hub.run.resolved import Resolved
from solo_hub.run.teachers import teacher_names

TITLE, TITLE_WITHOUT_TEACHER = "Base, teacher, student", "Base, student"
ITSELF = "- **teacher**: the same model"  # of the card, where the base taught itself
EXAMPLES = 120
"""Questions of the evaluation in a Space; those where arms differ first."""


def space_folder() -> Path:
    """Folder of the Space."""
    return shipped("spaces") / "compare"


def load_app() -> ModuleType:
    """The Space's `app.py` as a module.

    Raises:
        DependencyError: Gradio is not installed.
    """
    if importlib.util.find_spec("gradio") is None:
        raise DependencyError("gradio", extra="space", purpose="The comparison page")
    spec = importlib.util.spec_from_file_location("solo_hub_space_compare", space_folder() / "app.py")
    assert spec is not None and spec.loader is not None  # noqa: S101, PT018 - the file is there
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@dataclass(frozen=True, slots=True)
class Filling:
    """The content of a Space.

    Attributes:
        adapter: OWNER/NAME of the adapter repo.
        commit: Its commit.
        title: Title on the Space's page.
        base: Repo id of the base model, for the card.
        teachers: Who taught, if not the base itself: repo ids, or a name on a server.
        datasets: Repo ids for the card.
        cases: Questions of the evaluation with all answers.
        total: How many questions the evaluation asked.
        license: Licence of the Space, or None.
        packages: Additional Python packages.
    """

    adapter: str
    commit: str
    title: str
    base: str
    datasets: tuple[str, ...]
    cases: tuple[Case, ...]
    total: int
    license: str | None = None
    packages: tuple[str, ...] = ()
    teachers: tuple[str, ...] = ()


def fill(folder: Path, filling: Filling, *, requirement: str | None = None) -> None:
    """Fill an empty folder with everything a Space needs.

    solo-hub itself goes into the folder as pip would install it (the package and its metadata, through which plugins
    are found), beside `app.py`, where Python looks first. So the Space needs no registry that has this version, and
    a private Space no token to build: a Space's builder sees `requirements.txt` alone, and could not read a wheel that
    lies beside it. What solo-hub depends on is pinned in `requirements.txt` to the versions it runs with here.

    Args:
        folder: The folder; must be empty.
        filling: What is shown.
        requirement: Take solo-hub from pip instead, by this requirement (`solo-hub==0.2.0`, an address of a wheel).

    Raises:
        InputError: Something in the folder looks like a secret.
    """
    source = space_folder()
    shutil.copytree(source, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__", ".*"))
    readme = source / "README.md"
    (folder / "README.md").write_text(_card(readme.read_text("utf-8"), filling), "utf-8")
    needed = (folder / "requirements.txt").read_text("utf-8")
    own_pins = "".join(f"{pin}\n" for pin in [*pins(needed), *map(pin, filling.packages)])
    own = f"{requirement}\n" if requirement else ""
    (folder / "requirements.txt").write_text(f"{needed}{own_pins}{own}", "utf-8")
    named = {"format_version": 1, "adapter": {"repo_id": filling.adapter, "commit": filling.commit}}
    evaluation = {"format_version": 1, "total": filling.total, "cases": [case.to_row() for case in filling.cases]}
    for name, document in (("compare.json", named), ("evaluation.json", evaluation)):
        content = json.dumps(document, ensure_ascii=False, indent=1, allow_nan=False) + "\n"
        (folder / name).write_text(content, "utf-8")
    if requirement is None:
        copy_package(folder)
    leaks.refuse(folder)


def _card(card: str, filling: Filling) -> str:
    data, body = frontmatter.split(card)
    if filling.teachers:
        who = " and ".join(inline(name) for name in filling.teachers)
        body = body.replace(ITSELF, f"- **teacher**: {who}, another model than the base")
        data["short_description"] = "A model before and after learning from another"
        data["tags"] = [tag for tag in data["tags"] if tag != "self-distillation"]
    data |= {
        "title": filling.title,
        "models": [filling.base, *(name for name in filling.teachers if is_repo_id(name)), filling.adapter],
        "datasets": list(filling.datasets),
        **({"license": filling.license} if filling.license else {}),
    }
    block = yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=10_000)
    shown = (
        f"\nThis Space shows [{filling.adapter}](/{filling.adapter}/tree/{filling.commit}) and "
        f"{len(filling.cases):,} of the {filling.total:,} questions it was evaluated on.\n"
    )
    return f"---\n{block}---\n{body.rstrip()}\n{shown}"


def _packages(settings: Mapping[str, Any]) -> tuple[str, ...]:
    """What a run's answers need besides: bitsandbytes where its base answers in 4 bits in the evaluation too."""
    same = settings.get("evaluation", {}).get("dtype") == "same"
    return ("bitsandbytes",) if same and settings.get("engine", {}).get("dtype") == NF4 else ()


def push_space(
    run: RunFolder,
    adapter: Mapping[str, Any],
    client: HubClient,
    *,
    name: str | None = None,
    title: str | None = None,
    examples: int = EXAMPLES,
    requirement: str | None = None,
    private: bool = False,
) -> Pushed:
    """Publish the comparison of a published run, tagged like the adapter it shows.

    Args:
        run: The run folder.
        adapter: Its adapter's entry in `7-published.json`.
        client: The Hub the adapter lives on.
        name: The Space's repo; the adapter's with `-compare` when None.
        title: Title on its page; who is compared when None.
        examples: How many questions of the evaluation go with it.
        requirement: As for `fill`.
        private: Whether a new Space is private.

    Returns:
        What the push left on the Hub.

    Raises:
        InputError: Something in the folder looks like a secret.
        RepoMissingError: The adapter is not on this Hub.
        NotAllowedError: The token may not write there.
    """
    repo_id, commit = str(adapter["repo_id"]), str(adapter["commit"])
    space = name or space_name(repo_id)
    client.require_write(space.split("/")[0])
    pinned = client.pin(f"{repo_id}@{commit}", "model")
    document = run.read_config()
    resolved = Resolved.read(document["resolved"])
    repos = {role: entry.repo_id for role, entry in resolved.repos.items()}
    if run.has("published") and (knowledge := run.read_json("published").get("knowledge")):
        repos["knowledge"] = knowledge["repo_id"]
    roles = ("evaluation_questions", "knowledge")
    cases = read_cases(run)
    filling = Filling(
        adapter=repo_id,
        commit=pinned.commit,
        title=title or (TITLE_WITHOUT_TEACHER if "labels" in repos else TITLE),
        base=str(repos["base"]),
        teachers=tuple(teacher_names(resolved)),
        datasets=tuple(dict.fromkeys(repo for role in roles if (repo := repos.get(role)))),
        cases=tuple(excerpt(cases, examples)),
        total=len(cases),
        license=pinned.license,
        packages=_packages(document["settings"]),
    )
    with tempfile.TemporaryDirectory(prefix="solo-hub-space-") as scratch:
        fill(Path(scratch), filling, requirement=requirement)
        who = "base and student" if "labels" in repos else "base, teacher and student"
        message = f"Compare {who} of {repo_id} at {commit[:7]}"
        return client.push(
            Path(scratch),
            space,
            "space",
            message=message,
            private=private,
            next_version_tag=False,
            tag=str(adapter["tag"]) if adapter.get("tag") else None,
        )
