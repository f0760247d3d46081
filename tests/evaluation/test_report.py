"""The report on six questions worked by hand (see conftest), and what it refuses."""

from __future__ import annotations

import json

import pytest

from solo_hub.cli.results import print_result
from solo_hub.core.console import Console
from solo_hub.core.errors import ModelError
from solo_hub.core.records import Gold, Prediction, Question
from solo_hub.core.report_settings import EvaluationSettings
from solo_hub.evaluation.report.format import p_values
from solo_hub.evaluation.report.report import build_report
from solo_hub.evaluation.report.terminal import COLUMNS, measured_lines, summary_table
from solo_hub.evaluation.statistics import intervals, significance

from .by_hand import prediction

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


@pytest.fixture
def report(questions, golds, predictions, retrievals, settings):
    return build_report(questions, golds, predictions, settings=settings, seed=0, retrievals=retrievals)


def test_accuracy_with_interval(report):
    """2, 4 and 4 of 6 are right."""
    values = {name: arm["accuracy"]["value"] for name, arm in report["arms"].items()}
    assert values == pytest.approx({"base": 2 / 6, "teacher": 4 / 6, "student": 4 / 6})
    assert report["arms"]["base"]["accuracy"] == intervals.wilson(2, 6).to_row()


def test_pairs(report):
    """Student and base: both right on 0 and 4, only the student on 1 and 2. Student and teacher: 4 against 3."""
    pair = report["paired"]["student_vs_base"]
    assert (pair["n"], pair["only_first"], pair["only_second"]) == (6, 2, 0)
    assert pair["difference"]["value"] == pytest.approx(2 / 6)
    assert pair["p_value"] == pytest.approx(0.5)  # 2 * (1/2)^2
    assert pair["test"] == "mcnemar_exact"
    other = report["paired"]["student_vs_teacher"]
    assert (other["only_first"], other["only_second"], other["p_value"]) == (1, 1, 1.0)


def test_p_values_are_corrected_for_three_comparisons(report):
    raw = [row["p_value"] for row in report["paired"].values()]
    assert [row["p_value_holm"] for row in report["paired"].values()] == significance.holm(raw)
    assert report["metrics"]["primary"].startswith("student_vs_base, declared beforehand")
    assert significance.PRIMARY in report["paired"]


def test_interval_of_a_pair_agrees_with_its_test(report):
    """2 of 6 questions only the student got right, p = 0.5: +33.3 points, whose interval holds 0."""
    difference = report["paired"]["student_vs_base"]["difference"]
    assert difference == intervals.paired_difference(2, 0, 6).to_row()
    assert difference["low"] < 0 < difference["high"]


def test_words_are_scored(report):
    """One-word answers: ROUGE-1 is 1 where the option is right and 0 elsewhere; ROUGE-2 has no pair of words."""
    student = report["arms"]["student"]
    assert student["rouge1"]["value"] == student["rougeL"]["value"] == student["accuracy"]["value"]
    assert student["rouge2"]["value"] == 0
    assert report["metrics"]["rouge"]["one_token_references"] == 1.0


def test_seconds_and_passages(report):
    """0.1 .. 0.6 seconds: the median is 0.35."""
    assert report["arms"]["base"]["seconds_per_question"]["p50"] == pytest.approx(0.35)
    assert [arm["passages"] for arm in report["arms"].values()] == [False, True, False]


def test_is_json_and_reproducible(report, questions, golds, predictions, retrievals, settings):
    again = build_report(questions, golds, predictions, settings=settings, seed=0, retrievals=retrievals)
    report["metrics"].pop("cost")
    again["metrics"].pop("cost")
    assert json.dumps(report, allow_nan=False) == json.dumps(again, allow_nan=False)


def test_order_of_rows_does_not_matter(report, questions, golds, predictions, retrievals, settings):
    mixed = {arm: rows[::-1] for arm, rows in predictions.items()}
    again = build_report(questions, golds[::-1], mixed, settings=settings, seed=0, retrievals=retrievals)
    assert again["arms"] == report["arms"]
    assert again["errors"] == report["errors"]


def test_gap_is_not_told_where_six_questions_cannot_tell_it(report):
    assert report["gap_closed"] is None


def of_a_hundred(right, settings):
    """The report on 100 questions; `right`: how many each arm gets right, the first ones."""
    questions = [Question(f"q{i}", "?", ("a", "b")) for i in range(100)]
    golds = [Gold(question.id, 0, "a") for question in questions]
    arms = {arm: [prediction(arm, i, int(i >= count), "a") for i in range(100)] for arm, count in right.items()}
    return build_report(questions, golds, arms, settings=settings, seed=0)


def test_gap(settings):
    report = of_a_hundred({"base": 20, "teacher": 60, "student": 50}, settings)
    assert report["gap_closed"]["value"] == pytest.approx(0.75)
    assert report["gap_recovered"] is None  # nothing is known of a student of right answers
    assert report["arms"]["student"]["macro_f1"]["n"] == 100  # every question has the same options: they are classes


def test_gap_recovered_from_a_weak_teacher(settings):
    """(50 - 30) / (70 - 30); the base is strong here, and above its teacher."""
    weak = {"base": 35, "teacher": 30, "student": 50}
    report = of_a_hundred({**weak, "gold_student": 70}, settings)
    assert report["gap_recovered"]["value"] == pytest.approx(0.5)
    assert report["gap_recovered"]["low"] < 0.5 < report["gap_recovered"]["high"]
    assert report["gap_closed"] is None
    assert any(
        line.startswith("gap between teacher and gold student recovered: 50 %") for line in measured_lines(report)
    )
    assert of_a_hundred({**weak, "gold_student": 30}, settings)["gap_recovered"] is None


def test_written_answers_are_matched_to_the_options(questions, golds, settings):
    """One right by text, one right by letter, one wrong option, three name none: 2 of 6 right, 3 of 6 unparsed."""
    texts = ("Rain.", "(B)", "rain", "who knows", "", "rain or snow")
    rows = [prediction("base", i, 0, text) for i, text in enumerate(texts)]
    arm = build_report(questions, golds, {"base": rows}, settings=settings, seed=0)["arms"]["base"]
    assert arm["accuracy_generated"]["value"] == pytest.approx(2 / 6)
    assert arm["unparsed"]["value"] == pytest.approx(3 / 6)


def test_without_generation_there_is_no_generated_accuracy(questions, golds, predictions):
    settings = EvaluationSettings(generate=False, resamples=200)
    report = build_report(questions, golds, predictions, settings=settings, seed=0)
    assert "accuracy_generated" not in report["arms"]["base"]
    assert not {"rougeL", "bert_score_f1"} & set(report["arms"]["base"])  # they would repeat the accuracy
    assert (report["metrics"]["text"], report["metrics"]["rouge"]) == (None, None)


def test_free_text(settings):
    """No options: the written answer is compared with the reference once case and outer punctuation are folded."""
    questions = [Question(f"q{i}", "Where?") for i in range(3)]
    golds = [Gold(f"q{i}", None, "the North Sea") for i in range(3)]
    rows = [
        Prediction(f"q{i}", "student", None, None, text)
        for i, text in enumerate(("The north sea.", "North Sea", "Oslo"))
    ]
    report = build_report(questions, golds, {"student": rows}, settings=settings, seed=0)
    arm = report["arms"]["student"]
    assert arm["accuracy"]["value"] == pytest.approx(1 / 3)
    assert arm["rouge1"]["value"] == pytest.approx((1 + 0.8 + 0) / 3)
    assert "accuracy_generated" not in arm
    assert "equals the reference" in report["metrics"]["accuracy"]


def test_further_arms_are_compared_with_the_base(questions, golds, predictions, settings):
    predictions["oracle"] = [prediction("oracle", i, gold.option) for i, gold in enumerate(golds)]
    report = build_report(questions, golds, predictions, settings=settings, seed=0)
    assert report["paired"]["oracle_vs_base"]["only_first"] == 4


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_bert_score_is_recorded(questions, golds, predictions, settings, embedding_model):
    report = build_report(
        questions,
        golds,
        predictions,
        settings=settings,
        seed=0,
        bert_score_model=embedding_model,
        bert_score_identity="a/b@c0ffee",
    )
    told = report["metrics"]["bert_score"]
    assert (told["model"], told["commit"], told["layer"]) == ("a/b", "c0ffee", 6)
    f1 = report["arms"]["student"]["bert_score_f1"]
    assert told["baseline"] < f1["value"] < 1
    assert told["unknown_tokens"] == 0
    assert f1["low"] <= f1["value"] <= f1["high"]


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_texts_the_bert_score_model_cannot_tell_apart_are_warned_of(settings, embedding_model, caplog):
    """To an English model both names are three unknown tokens: the wrong answer scores 1, and that must be said."""
    questions = [Question("q1", "鐘樓是誰設計的", ("杜若蘭", "葛念慈"))]
    golds = [Gold("q1", 0, "杜若蘭")]
    predictions = {"student": [Prediction("q1", "student", 1, None, "葛念慈")]}
    report = build_report(questions, golds, predictions, settings=settings, seed=0, bert_score_model=embedding_model)
    assert report["arms"]["student"]["bert_score_f1"]["value"] == pytest.approx(1)
    assert report["metrics"]["bert_score"]["unknown_tokens"] == 1
    assert "100 % of the references' tokens are unknown to BERTScore's model" in caplog.text


def test_without_a_bert_score_model_it_says_so(report):
    assert "no BERTScore model" in report["metrics"]["bert_score"]["left_out"]


def test_a_bert_score_model_that_is_none(questions, golds, predictions, settings, tmp_path):
    with pytest.raises(ModelError, match=r"no embedding model.*evaluation\.bert_score_model"):
        build_report(questions, golds, predictions, settings=settings, seed=0, bert_score_model=tmp_path)


class TestTerminal:
    def test_table(self, report):
        columns, rows = summary_table(report)
        assert columns == [column for column in COLUMNS if column != "BERTScore"]  # no column of dashes
        assert rows[1] == ["teacher (base with passages)", "66.7 % (30.0 to 90.3)", "0.667", "0.350"]

    def test_the_gain_and_its_test(self, report):
        [line] = measured_lines(report)
        assert line.startswith("student - base: +33.3 points")
        assert "p = 0.500 (primary endpoint; McNemar" in line

    def test_a_result_ends_with_the_verdict_and_the_links(self, report, capsys):
        pushed = {
            "adapter": {"repo_id": "ada/town-adapter", "tag": "v1", "commit": "1" * 40, "url": "http://hub/ada/town"},
            "collection": {"title": "town: that taught itself", "url": "http://hub/collections/town"},
        }
        print_result(Console("human"), {**report, "run": "runs/town", "task": "qasc", "published": pushed})
        verdict, *links = capsys.readouterr().out.splitlines()[-5:]
        assert verdict.startswith("Neither yet: the base answers 33.3 % of the questions correctly")
        assert links == [
            "adapter: ada/town-adapter v1", "  http://hub/ada/town",
            "collection: town: that taught itself", "  http://hub/collections/town",
        ]  # fmt: skip

    def test_secondary_comparisons_have_the_corrected_p_value(self):
        """Only the primary endpoint is judged by its own p-value; the first reports had no correction."""
        pair = {"difference": {"value": 0.1, "low": 0.01, "high": 0.2}, "p_value": 0.03, "p_value_holm": 0.09}
        line = measured_lines({"paired": {"student_vs_random_student": pair}})[0]
        assert line.endswith("(95 % interval +1.0 to +20.0), p = 0.030, Holm-corrected p = 0.090")
        assert p_values({"p_value": 0.03}) == "p = 0.030"

    def test_what_was_lost_and_what_it_costs(self):
        difference = {"value": -0.04, "low": -0.08, "high": 0.01}
        told = {
            "forgetting": {
                "text": {"ratio": {"value": 1.178, "low": 1.15, "high": 1.21}},
                "second_task": {"student_vs_base": {"difference": difference, "p_value": 0.14, "n": 180}},
            },
            "cost": {"arms": {"student": {"latency": {"p50": 0.11, "p95": 0.2}, "memory": {"peak": 1_340_000_000},
                                          "prompt_tokens": 20.4}}},
        }  # fmt: skip
        assert measured_lines(told) == [
            (
                "forgetting: perplexity on general text, student over base: 1.178 (95 % interval 1.150 to 1.210); "
                "above 1 is worse"
            ),
            (
                "forgetting: accuracy on a second task not trained on, student minus base: -4.0 points "
                "(95 % interval -8.0 to +1.0), n = 180, p = 0.140"
            ),
            "cost of a single answer, student: median 110 ms (95th percentile 200 ms), 1.34 GB, 20 tokens read",
        ]

    def test_confidence_is_told_with_its_error(self):
        """Where gold answers tell what it is worth; without them nothing is said of it."""
        labels = {"mean_confidence": 0.507, "accuracy": {"value": 0.56}, "calibration": {"ece": 0.067, "n": 300}}
        assert measured_lines({"labels": labels}) == [
            (
                "confidence of the labels (a heuristic): mean 50.7 %, accuracy 56.0 %, "
                "expected calibration error 0.067 (n = 300)"
            )
        ]
        assert measured_lines({"labels": {**labels, "calibration": None}}) == []

    def test_what_training_took(self):
        took = {"adapter": "dora", "rank": 16, "steps": 1375, "seconds": 2750.0, "peak_memory_bytes": 2_240_000_000}
        told = {"training": {**took, "trainable_parameters": 4884480}}
        wanted = "training: dora, rank 16, sft: 1,375 steps of 2.00 s, 2.24 GB, 4,884,480 parameters"
        assert measured_lines(told) == [wanted]
        told["training"] |= {"objective": "kl", "seconds_per_step": 1.5}
        assert "kl: 1,375 steps of 1.50 s" in measured_lines(told)[0]

    def test_empty(self):
        assert summary_table({}) == (list(COLUMNS), [])
        assert measured_lines({}) == []


def test_the_best_of_several_references_counts_in_every_metric(settings, embedding_model):
    """A run with several references scores each answer like one whose only reference is the nearest."""
    questions = [Question("q0", "Who?"), Question("q1", "When?")]
    several = [
        Gold("q0", None, "William Blake", aliases=("Blake", "the poet")),
        Gold("q1", None, "in the year 1804", aliases=("1804",)),
    ]
    nearest = [Gold("q0", None, "Blake"), Gold("q1", None, "1804")]
    arms = {"student": [Prediction(f"q{i}", "student", None, None, text) for i, text in enumerate(("Blake.", "1804"))]}
    made = [
        build_report(questions, golds, arms, settings=settings, seed=0, bert_score_model=embedding_model)
        for golds in (several, nearest)
    ]
    ours, theirs = ({name: row["value"] for name, row in report["arms"]["student"].items()
                     if isinstance(row, dict) and "value" in row} for report in made)  # fmt: skip
    assert ours == pytest.approx(theirs, abs=1e-6)
    assert ours["accuracy"] == ours["rouge1"] == 1
    assert made[0]["metrics"]["references"]["questions_with_several"] == 2
    assert "references" not in made[1]["metrics"]


def test_best_of_nothing_empty():
    from solo_hub.evaluation.metrics.rouge.rouge import score_items
    from solo_hub.evaluation.scoring import best_of

    assert {name: len(values) for name, values in best_of(score_items, [], []).items()} == dict.fromkeys(
        ("rouge1", "rouge2", "rougeL", "rougeLsum"), 0
    )


def test_the_written_answer_is_read_like_everywhere_else(questions, golds, settings):
    """Sentences, letters and articles name an option; several letters name none."""
    written = ["The correct answer is A.", "**B**", "the sun!", "(D) wind", "A or B", "snow"]
    rows = [Prediction(f"q{i}", "base", 0, None, text) for i, text in enumerate(written)]
    row = build_report(questions, golds, {"base": rows}, settings=settings, seed=0)["arms"]["base"]
    assert row["accuracy_generated"]["value"] == pytest.approx(5 / 6)
    assert row["unparsed"]["value"] == pytest.approx(1 / 6)
