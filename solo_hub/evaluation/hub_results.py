"""The student's result in the Hub's format for evaluation results: `.eval_results/*.yaml` in the adapter's repo.

The Hub shows such entries on the model's page, and on the leaderboard of the dataset where that is a registered
benchmark. An entry names a dataset repo at a commit, so there is one only where the held-out questions are a repo; a
sample of a split is no result on the split and is not entered.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import yaml

from solo_hub.core.settings import TaskSettings
from solo_hub.run.resolved import PinnedRepo, Resolved

FOLDER = ".eval_results"
TASK = "default"  # tasks are named by a benchmark's registration; a dataset that is none has this one


def documents(report: Mapping[str, Any], task: TaskSettings, resolved: Resolved) -> dict[str, str]:
    """Files for the adapter's repo.

    Args:
        report: Content of `6-report.json`.
        task: The settings of the task.
        resolved: What the settings were resolved to.

    Returns:
        Path in the repo -> YAML text; empty where nothing can be entered.
    """
    student = (report.get("arms") or {}).get("student")
    repo, teacher = resolved.repos.get("evaluation_questions"), resolved.setups.get("teacher")
    if not student or not isinstance(repo, PinnedRepo) or task.evaluation_limit:
        return {}
    from huggingface_hub import EvalResultEntry, eval_result_entries_to_yaml

    listed = teacher is not None and teacher.style != "generate"
    scored = f"options scored by {teacher.style}" if teacher and listed else "free text, exact match"
    entry = EvalResultEntry(
        dataset_id=repo.repo_id,
        task_id=TASK,
        dataset_revision=repo.commit,
        value=student["accuracy"]["value"],
        notes=f"accuracy (0..1) on {report['n_questions']} questions (split {task.evaluation_split}), "
        f"closed book, zero-shot, {scored}; "
        f"95 % interval {student['accuracy']['low']:.4f} to {student['accuracy']['high']:.4f}; solo-hub "
        f"{resolved.solo_hub or ''}".rstrip(),
    )
    name = re.sub(r"[^a-z0-9]+", "-", repo.repo_id.rsplit("/", 1)[-1].lower()).strip("-") or "results"
    text = yaml.safe_dump(eval_result_entries_to_yaml([entry]), sort_keys=False, allow_unicode=True, width=120)
    return {f"{FOLDER}/{name}.yaml": text}
