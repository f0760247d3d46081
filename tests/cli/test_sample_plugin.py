"""A stranger's package, installed by pip: its plugins are used by name, its broken ones reported and skipped."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from sample_data import WRITE

SAMPLE = Path(__file__).parent.parent / "sample_plugin"
SELECT = """
import json
from pathlib import Path
from types import SimpleNamespace
from solo_hub import pipeline
from solo_hub.core.config import build
from solo_hub.core.console import Console
from solo_hub.core.records import PseudoLabel, Question, Retrieval
from solo_hub.run.folder import RunFolder
from solo_hub.run.resolved import Resolved
from solo_hub.run.processes import Processes

config = build({"task": {"questions": "q.jsonl"}, "selection": {"method": "few_options", "options": {"most": 2}}})
label = lambda name, *p: PseudoLabel(name, 0, p, "rain", p[0], (), 0, "text", name)
run = RunFolder(Path("run"))
questions = [Question("two", "Rain?", ("yes", "no")), Question("three", "Snow?", ("a", "b", "c"))]
passages = [Retrieval("two", ()), Retrieval("three", ())]
context = SimpleNamespace(
    config=config, console=Console("quiet"), run=run, resolved=Resolved(repos={}), record=lambda **_: None,
    processes=Processes())
context.shared = lambda kind: kind(context)
pipeline.select(context, questions, passages, [label("two", 0.7, 0.3), label("three", 0.5, 0.3, 0.2)])
"""


MEASURE = """
from solo_hub.core.report_settings import EvaluationSettings
from solo_hub.evaluation.report.page import ReportData, render_html
from solo_hub.evaluation.report.report import build_report
from solo_hub.core.records import Gold, Prediction, Question

questions = [Question("a", "Is it?", ("YES", "no")), Question("b", "And now?", ("YES", "no"))]
golds = [Gold("a", 0, "YES"), Gold("b", 1, "no")]
arms = {"base": [Prediction(q, "base", 0, (0.95, 0.05), "YES") for q in "ab"],
        "student": [Prediction("a", "student", 0, (0.6, 0.4), "YES"), Prediction("b", "student", 1, (0.4, 0.6), "no")]}
settings = EvaluationSettings(metrics=("shouts", "brier"), reports=("certain",), resamples=200, generate=False)
report = build_report(questions, golds, arms, settings=settings, seed=0)
print({arm: row["shouts"]["value"] for arm, row in report["arms"].items()})
config = {"settings": {"evaluation": settings.model_dump()}, "resolved": {"repos": {}}}
page = render_html(ReportData(config, report, questions, golds, arms))
print("Share of capitals" in page, "Certain &lt;answers&gt;" in page, "<td>base</td><td>2</td><td>2</td>" in page)
"""


@pytest.fixture(scope="session")
def site(tmp_path_factory):
    """A folder with the package as pip installs it."""
    pytest.importorskip("hatchling", reason="the package's build backend is not installed")
    source, target = tmp_path_factory.mktemp("source") / "plugin", tmp_path_factory.mktemp("site")
    source.mkdir()
    for file in SAMPLE.iterdir():  # building leaves files behind, and not beside the tests
        if file.is_file():
            (source / file.name).write_bytes(file.read_bytes())
    pip = ["-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--no-build-isolation", "--no-cache-dir"]
    done = subprocess.run(
        [sys.executable, *pip, "--disable-pip-version-check", "--target", str(target), str(source)],
        capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return target


@pytest.fixture
def command(site, fork_server, tmp_path):
    """Runs a command, or code, in a process of its own that sees the package."""

    def run(*arguments, code="", **variables):
        env = {"SOLO_HUB_HOME": str(tmp_path / "home"), **variables}
        path = f"import sys; sys.path.insert(0, {str(site)!r})\n"
        return fork_server.run(*arguments, setup=path + code, env=env, folder=tmp_path)

    return run


def test_plugins_are_listed_with_their_origin_and_broken_ones_with_their_problem(command):
    done = command("plugins", "--format", "json")
    assert done.code == 0, done.err
    found = {row["name"]: row for row in json.loads(done.out)["plugins"] if row["origin"] == "solo-hub-sample-plugin"}
    assert {name: row["group"] for name, row in found.items()} == {
        "riddles": "tasks",
        "torn": "tasks",
        "few_options": "selectors",
        "shouts": "metrics",
        "certain": "reports",
        "needy": "retrievers",
    }
    assert {row["version"] for row in found.values()} == {"1.2.3"}
    assert [name for name, row in found.items() if row["problem"] is None] == [
        "riddles", "few_options", "shouts", "certain"]  # fmt: skip
    assert "Gone" in found["torn"]["problem"]
    assert "a_package_nobody_has" in found["needy"]["problem"]


def doctor(command, hub, tmp_path, **settings):
    config = {
        "base": "tests/tiny",
        "task": {"name": "riddles", "questions": "tests/town"},
        "knowledge": {"source": "tests/town-facts", "embedding_model": "tests/tiny", "passages": 2},
        "selection": {"method": "few_options"},
        "evaluation": {"bert_score_model": "tests/tiny"},
        "engine": {"device": "cpu"},
    }
    (tmp_path / "config.yaml").write_text(yaml.safe_dump({**config, **settings}))
    line = ("doctor", "config.yaml", "--hub", hub.endpoint, "--format", "json")
    done = command(*line, HF_TOKEN=WRITE)
    assert done.out, done.err
    return done.code, {check["name"]: check for check in json.loads(done.out)["checks"]}


def test_a_task_named_in_a_configuration_reads_its_questions_beside_broken_neighbours(command, hub, tmp_path):
    code, found = doctor(command, hub, tmp_path)
    assert code == 0
    assert found["plugins"]["detail"] == "riddles, sentence-transformers, fused, transformers, few_options"
    assert found["questions"]["detail"] == "4 to label, 4 held out"


def test_a_broken_plugin_named_in_a_configuration_is_one_sentence(command, hub, tmp_path):
    code, found = doctor(command, hub, tmp_path, task={"name": "torn", "questions": "tests/town"})
    assert code == 1
    assert found["task torn"]["detail"].startswith("The task 'torn' cannot be used: ")


def test_a_selector_named_in_a_configuration_selects(command, tmp_path):
    done = command(code=SELECT)
    assert done.code == 0, done.err
    kept, dropped = (
        [json.loads(line) for line in (tmp_path / "run" / f"4-{name}.jsonl").read_text().splitlines()]
        for name in ("selected", "dropped")
    )
    assert [(row["question_id"], row["reason"]) for row in kept] == [("two", "2 options")]
    assert [(row["question_id"], row["reason"]) for row in dropped] == [("three", "3 options")]


def test_a_metric_and_a_report_section_named_in_a_configuration_are_in_the_report(command):
    """Of the student's two answers one is in capitals; the base was certain of both of its own."""
    done = command(code=MEASURE)
    assert done.out.splitlines() == ["{'base': 1.0, 'student': 0.5}", "True True True"], done.err
