"""Runs side by side and seeds pooled, on the six questions worked by hand."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import yaml

from solo_hub.cli import main
from solo_hub.core.errors import InputError, RunError
from solo_hub.evaluation.finished_run import read
from solo_hub.evaluation.report.report import build_report
from solo_hub.evaluation.statistics import intervals
from solo_hub.evaluation.statistics.pooling import pool
from solo_hub.evaluation.statistics.side_by_side import compare, write_page
from solo_hub.run.folder import RunFolder

from .by_hand import prediction

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


@pytest.fixture
def make(tmp_path, questions, golds, predictions, settings):
    """Writes a run folder; `student` replaces what the student chose."""

    def write(name, *, student=None, seed=0, asked=questions, **changed):
        given = dict(predictions)
        if student is not None:
            given["student"] = [prediction("student", i, option) for i, option in enumerate(student)]
        run = RunFolder(tmp_path / name)
        run.path.mkdir(parents=True, exist_ok=True)
        repo = {"repo_id": "a/b", "type": "model", "commit": "c"}
        config = {"settings": {"name": name, "seed": seed, **changed}, "resolved": {"repos": {"base": repo}}}
        run.file("config").write_text(yaml.safe_dump(config))
        run.write_rows("held_out", asked)
        order = [question.id for question in asked]
        given = {arm: sorted(rows, key=lambda row: order.index(row.question_id)) for arm, rows in given.items()}
        run.write_rows("golds", sorted(golds, key=lambda row: order.index(row.question_id)))
        run.write_rows("predictions", [row for rows in given.values() for row in rows])
        report = build_report(asked, golds, given, settings=settings, seed=0)
        run.write_json("report", {**report, "run": name, "seed": seed, "task": "t"})
        return run.path

    return write


def test_side_by_side(make, tmp_path):
    """The student of a is right on 0 1 2 4, that of b on 0 1 2 3: each right alone once. Base and teacher are equal."""
    a, b = make("a"), make("b", student=(0, 1, 2, 3, 1, 0), rate=0.1)
    document = compare(read(a), read(b))
    pair = document["arms"]["student"]["paired"]
    assert (pair["only_first"], pair["only_second"], pair["p_value"], pair["difference"]["value"]) == (1, 1, 1, 0)
    assert document["arms"]["base"]["paired"]["only_first"] == 0
    assert document["differing"] == {"name": ["a", "b"], "rate": [None, 0.1]}
    write_page(tmp_path / "both.html", document)
    page = (tmp_path / "both.html").read_text("utf-8")
    assert "compared question by question" in page
    assert "http" not in page.replace("http-equiv", "")


def test_what_training_took_is_set_beside(make, tmp_path):
    """LoRA against DoRA: steps, seconds a step, memory; a run of before steps were measured has none."""
    paths = [make("a"), make("b")]
    for path, took in zip(
        paths, ({"seconds_per_step": 1.25, "peak_memory_bytes": 2_000_000}, {"steps": 7}), strict=True
    ):
        run = RunFolder(path)
        run.write_json("report", {**run.read_json("report"), "training": took})
    document = compare(*map(read, paths))
    rows = {row["name"]: (row["first"], row["second"]) for row in document["training"]}
    assert rows["seconds per step"] == (1.25, None)
    assert rows["optimiser steps"] == (None, 7)
    write_page(tmp_path / "both.html", document)
    page = (tmp_path / "both.html").read_text("utf-8")
    assert "seconds per step" in page
    assert "2,000,000" in page


def test_order_of_the_questions_does_not_matter(make, questions):
    other = make("b", student=(0, 1, 2, 3, 1, 0), asked=questions[::-1])
    pair = compare(read(make("a")), read(other))["arms"]["student"]["paired"]
    assert (pair["only_first"], pair["only_second"]) == (1, 1)


def test_other_questions_are_not_tested(make, questions, tmp_path):
    asked = [dataclasses.replace(q, text=q.text + "!") for q in questions]
    document = compare(read(make("a")), read(make("b", asked=asked)))
    assert not document["same_questions"]
    assert document["arms"]["student"]["paired"] is None
    write_page(tmp_path / "both.html", document)
    assert "cannot be compared by a paired test" in (tmp_path / "both.html").read_text("utf-8")
    with pytest.raises(InputError, match="'b' was not asked the same questions as 'a'"):
        pool([read(tmp_path / "a"), read(tmp_path / "b")])


def test_pool(make):
    """4 and 3 of 6 right: mean 3.5 / 6, standard deviation of 4/6 and 3/6 is (1/6) / sqrt(2)."""
    runs = [read(make("a")), read(make("b", student=(0, 1, 2, 0, 1, 0), seed=1))]
    document = pool(runs)
    student = document["arms"]["student"]
    assert student["by_run"] == pytest.approx([4 / 6, 3 / 6])
    assert student["accuracy"]["value"] == pytest.approx(3.5 / 6)
    assert student["standard_deviation"] == pytest.approx(1 / 6 / np.sqrt(2))
    assert document["arms"]["base"]["standard_deviation"] == 0
    assert document["paired"]["student_vs_base"]["value"] == pytest.approx(1.5 / 6)
    assert (document["seeds"], document["differing"]) == ([0, 1], [])


def test_pooled_gap_of_one_seed_is_the_gap():
    rng = np.random.default_rng(0)
    base, teacher, student = ((rng.random(400) < p).astype(float) for p in (0.3, 0.7, 0.6))
    one = intervals.pooled_ratio((student - base)[None], (teacher - base)[None])
    plain = intervals.gap_closed(base, teacher, student)
    assert one.value == pytest.approx(plain.value)
    assert (one.low, one.high) == pytest.approx((plain.low, plain.high), abs=0.03)
    assert intervals.pooled_ratio((student - teacher)[None], (base - teacher)[None]) is None


def test_pooled_gap_covers_the_truth():
    """Students of 5 seeds close 60 % of a gap of 0.4 on average: the 95 % interval holds it about 95 times in 100."""
    rng, hits, trials = np.random.default_rng(1), 0, 200
    for _ in range(trials):
        hard = rng.random(300)
        base, teacher = np.tile(hard < 0.3, (5, 1)), np.tile(hard < 0.7, (5, 1))
        reached = 0.3 + 0.24 + rng.normal(0, 0.02, size=(5, 1))
        found = intervals.pooled_ratio((hard < reached) - base.astype(float), teacher.astype(float) - base)
        hits += found.low <= 0.6 <= found.high
    assert 0.92 <= hits / trials <= 0.99


def test_pooled_ratio_of_equal_tables_is_one():
    gain = np.random.default_rng(0).random((3, 50)) < 0.5
    assert intervals.pooled_ratio(gain, gain).to_row() == {"value": 1.0, "low": 1.0, "high": 1.0, "n": 50}


def test_empty(tmp_path, make):
    with pytest.raises(RunError, match="not a run folder"):
        read(tmp_path)
    with pytest.raises(InputError, match="at least two runs"):
        pool([read(make("a"))])


class TestCommand:
    def test_pooled(self, make, capsys):
        runs = [make("a"), make("b", student=(0, 1, 2, 0, 1, 0), seed=0, rate=1)]
        assert main.run(["show", *map(str, runs)]) == 0
        out, err = capsys.readouterr()
        assert "2 runs (seeds 0, 0)" in out
        assert "student - base: +25.0" in out
        assert "counted twice" in err
        assert "2 seeds are too few" in err
        assert "Pool at least 5" in err
        assert "differ in settings other than the seed: rate" in err

    def test_five_seeds_are_no_cause_for_a_warning(self, make, capsys):
        assert main.run(["show", *(str(make(f"run-{seed}", seed=seed)) for seed in range(5))]) == 0
        assert "say little" not in capsys.readouterr().err

    def test_side_by_side_tells_both_p_values(self, make, capsys):
        """No comparison of two runs was declared beforehand: the Holm-corrected p-value counts, and is said to."""
        assert main.run(["show", str(make("a")), "--compare", str(make("b"))]) == 0
        assert "the Holm-corrected p-value counts" in " ".join(capsys.readouterr().out.split())

    def test_compare(self, make, capsys, tmp_path):
        runs = [str(make("a")), "--compare", str(make("b"))]
        assert main.run(["show", *runs, "--html", str(tmp_path / "x.html"), "--format", "json"]) == 0
        assert json.loads(capsys.readouterr().out)["same_questions"]
        assert (tmp_path / "x.html").exists()

    def test_wrong_use(self, make, tmp_path, capsys):
        run = str(make("a"))
        assert main.run(["show", run, "--html", str(tmp_path / "x.html")]) == 2
        assert main.run(["show", run, run, "--compare", run]) == 2
        assert main.run(["show", str(tmp_path / "nowhere")]) == 1
