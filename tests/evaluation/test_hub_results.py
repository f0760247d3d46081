from __future__ import annotations

import yaml
from huggingface_hub import parse_eval_result_entries

from solo_hub.core.settings import TaskSettings
from solo_hub.evaluation.hub_results import documents
from solo_hub.run.resolved import LocalFile, PinnedRepo, Resolved, TeacherSetup

REPORT = {"arms": {"student": {"accuracy": {"value": 0.5129, "low": 0.4808, "high": 0.545}}}, "n_questions": 926}
RESOLVED = Resolved(
    solo_hub="0.1",
    setups={"teacher": TeacherSetup(style="text")},
    repos={"evaluation_questions": PinnedRepo(repo_id="allenai/QASC", type="dataset", commit="c0ffee")},
)


def test_the_hub_s_own_parser_reads_it():
    files = documents(REPORT, TaskSettings(), RESOLVED)
    assert list(files) == [".eval_results/qasc.yaml"]
    (entry,) = parse_eval_result_entries(yaml.safe_load(files[".eval_results/qasc.yaml"]))
    assert (entry.dataset_id, entry.task_id, entry.dataset_revision) == ("allenai/QASC", "default", "c0ffee")
    assert entry.value == 0.5129
    assert "926 questions (split validation), closed book, zero-shot, options scored by text" in entry.notes


def test_nothing_where_nothing_can_be_entered():
    """A local file has no page; a sample of a split is not the split; no student, no result."""
    local = Resolved(repos={"evaluation_questions": LocalFile(file="mine.jsonl", sha256="5a")})
    assert documents(REPORT, TaskSettings(), local) == {}
    assert documents(REPORT, TaskSettings(evaluation_limit=100), RESOLVED) == {}
    assert documents({"arms": {}}, TaskSettings(), RESOLVED) == {}


def test_empty():
    assert documents({}, TaskSettings(), Resolved(repos={})) == {}
