"""The drawings of the report: lengths and places by hand, texts escaped."""

from __future__ import annotations

import re

import pytest

from solo_hub.evaluation.report import plots


def test_bar_is_as_long_as_its_value():
    svg = plots.bar({"value": 0.25, "low": 0.2, "high": 0.3}, label="x", mark=0.125)
    assert 'width="25.000%"' in svg
    assert 'x1="20.000%"' in svg
    assert 'x1="12.500%"' in svg


def test_labels_are_escaped():
    assert "<b>" not in plots.bar({"value": 0.5}, label="<b>")
    assert "<b>" not in plots.histogram([1], x_label="<b>", label="<b>")


@pytest.mark.parametrize(
    ("values", "end"), [([0.13, 0.31], 0.5), ([0.2], 0.2), ([7], 10), ([180], 200), ([], 1), ([0], 1)]
)
def test_ceiling(values, end):
    assert plots.ceiling(values) == pytest.approx(end)


@pytest.mark.parametrize(("end", "expected"), [(1, [0, 0.25, 0.5, 0.75, 1]), (0.5, [0, 0.1, 0.2, 0.3, 0.4, 0.5])])
def test_ticks(end, expected):
    assert plots.ticks(0, end) == pytest.approx(expected)


def test_curve_runs_from_left_to_right():
    svg = plots.lines([plots.Line("", [(0, 2.0), (100, 1.0)])], x_label="step", y_label="loss", label="Loss")
    (x1, y1), (x2, y2) = (map(float, p.split(",")) for p in re.search(r'points="([^"]+)"', svg)[1].split())
    assert x1 < x2
    assert y1 < y2  # a falling loss falls on the page, whose y grows downwards


def test_lines_can_be_told_apart_without_colour():
    drawn = [plots.Line("a <b>", [(0, 0.1), (10, 0.9)]), plots.Line("c", [(0, 0.5), (10, 0.5)])]
    svg = plots.lines(drawn, x_label="x", y_label="y", label="L", top=1.0)
    assert svg.count("<polyline") == 2
    assert svg.count('stroke-dasharray="6 3"') == 2  # the line and its sample in the legend
    assert "a &lt;b&gt;" in svg


def test_stack_puts_part_after_part():
    """Of 4: 1, then 2 beginning at a quarter; a part below nothing is nothing."""
    svg = plots.stack([("libraries", 1), ("model", 2), ("work", -1)], label="x", top=4)
    assert '<rect class="part-libraries" x="0.000%" y="3" width="25.000%"' in svg
    assert '<rect class="part-model" x="25.000%" y="3" width="50.000%"' in svg
    assert '<rect class="part-work" x="75.000%" y="3" width="0.000%"' in svg


def test_scatter():
    svg = plots.scatter([("data", [(0, 0)]), ("teacher", [(1, 1), (0, 1)])], label="Map")
    assert (svg.count('class="ring"'), svg.count('class="dot"')) == (1, 2)
    assert 'aria-label="Map; 1 data; 2 teacher"' in svg


def test_scatter_empty():
    assert "circle" not in plots.scatter([("data", []), ("teacher", [])], label="Map")


def test_reliability_empty():
    assert "circle" not in plots.reliability([{"n": 0, "confidence": None, "accuracy": None}], label="x")
