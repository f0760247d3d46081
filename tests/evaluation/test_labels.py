from __future__ import annotations

import pytest

from solo_hub.core.records import Gold, PseudoLabel, Selection, Verdict
from solo_hub.evaluation.label_quality import over_training, summarise_labels, summarise_selection


def label(number: int, option: int | None, confidence: float | None, text: str = "x", dropped: int = 0) -> PseudoLabel:
    style = "text" if option is not None else "generate"
    return PseudoLabel(f"q{number}", option, None, text, confidence, (), dropped, style, "key")


LABELS = [label(0, 1, 0.9), label(1, 0, 0.8, dropped=2), label(2, 2, 0.3), label(3, 1, 0.2, dropped=1)]
GOLDS = [Gold("q0", 1, "x"), Gold("q1", 1, "x"), Gold("q2", 2, "x"), Gold("q3", 0, "x")]


def test_labels_with_gold():
    """Right: 0 and 2. Mean confidence 0.55. In two bins: below 0.5 confidence 0.25, above 0.85; half right in each:
    ECE = 1/2 * 0.25 + 1/2 * 0.35."""
    summary = summarise_labels(LABELS, GOLDS, bins=2)
    assert (summary["n"], summary["style"], summary["passages_dropped"]) == (4, "text", 3)
    assert summary["mean_confidence"] == pytest.approx(0.55)
    assert (summary["accuracy"]["value"], summary["accuracy"]["n"]) == (0.5, 4)
    assert summary["calibration"]["ece"] == pytest.approx(0.3)
    assert summary["confidence_histogram"] == [2, 2]


def test_labels_without_gold():
    summary = summarise_labels(LABELS)
    assert summary["accuracy"] is None
    assert summary["calibration"] is None
    assert summary["mean_confidence"] == pytest.approx(0.55)


def test_gold_for_some_only():
    assert summarise_labels(LABELS, GOLDS[:1])["accuracy"]["n"] == 1


def test_free_text_without_confidence():
    labels = [label(0, None, None, "The Sun."), label(1, None, None, "moon")]
    summary = summarise_labels(labels, [Gold("q0", None, "the sun"), Gold("q1", None, "the sun")])
    assert (summary["accuracy"]["value"], summary["mean_confidence"], summary["style"]) == (0.5, None, "generate")


def test_labels_empty():
    summary = summarise_labels([])
    assert (summary["n"], summary["style"], summary["mean_confidence"], summary["accuracy"]) == (0, None, None, None)


VERDICTS = (
    Verdict("q0", kept=True, reason="confident"),
    Verdict("q1", kept=True, reason="confident"),
    Verdict("q2", kept=True, reason="confident"),
    Verdict("q3", kept=False, reason="not confident"),
)


def test_selection():
    """Kept 3, of which 2 right; dropped 1, wrong."""
    summary = summarise_selection(Selection("confidence", VERDICTS), LABELS, GOLDS)
    assert (summary["method"], summary["kept"], summary["dropped"]) == ("confidence", 3, 1)
    assert summary["accuracy_kept"]["value"] == pytest.approx(2 / 3)
    assert summary["accuracy_dropped"]["value"] == 0.0
    assert summary["reasons"] == {"confident": 3, "not confident": 1}


def test_selection_from_verdicts_without_gold():
    summary = summarise_selection(Selection("confidence", VERDICTS), LABELS)
    assert (summary["method"], summary["accuracy_kept"], summary["accuracy_dropped"]) == ("confidence", None, None)


def test_selection_empty():
    summary = summarise_selection(Selection("all", ()), [])
    assert (summary["kept"], summary["dropped"], summary["reasons"]) == (0, 0, {})


def test_over_training_by_hand():
    """Four labels, right right wrong wrong. Two steps of two: first keeps the right one, second keeps a wrong one."""
    labels = [PseudoLabel(f"q{i}", 0, None, "x", 0.9, (), 0, "text", "k") for i in range(4)]
    golds = [Gold(f"q{i}", int(i > 1), "x") for i in range(4)]
    log = [
        {"step": 1, "batch": 2, "kept": 1, "confidence_threshold": 0.8, "examples": [0, 2], "kept_examples": [0]},
        {"step": 2, "batch": 2, "kept": 1, "confidence_threshold": 0.6, "examples": [1, 3], "kept_examples": [3]},
    ]
    first, second = over_training(log, labels, golds)
    assert first == {
        "step": 1, "kept_share": 0.5, "confidence_threshold": 0.8, "uncertainty_threshold": None, "accuracy_kept": 1.0,
        "accuracy_seen": 0.5,
    }  # fmt: skip
    assert (second["step"], second["accuracy_kept"], second["accuracy_seen"]) == (2, 0.0, 0.5)
    assert over_training(log, labels)[0]["accuracy_kept"] is None  # nothing is known


def test_over_training_in_stretches():
    log = [{"step": i, "batch": 2, "kept": 1} for i in range(1, 101)]
    rows = over_training(log, [])
    assert len(rows) == 40
    assert rows[-1]["step"] == 100
    assert {row["kept_share"] for row in rows} == {0.5}


def test_over_training_empty():
    assert over_training([], []) is None
    assert over_training([{"step": 1, "loss": 2.0}], []) is None


def test_a_label_that_says_one_of_several_references_is_right():
    gold = Gold("q0", None, "William Blake", aliases=("Blake",))
    for text, right in (("blake.", 1), ("William Blake", 1), ("Keats", 0)):
        assert summarise_labels([label(0, None, 0.5, text)], [gold])["accuracy"]["value"] == right
