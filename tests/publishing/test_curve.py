from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest

from solo_hub.publishing import curve

SVG = "{http://www.w3.org/2000/svg}"


def log(*losses):
    return [{"step": step, "loss": loss} for step, loss in enumerate(losses, 1)]


def lines(svg):
    """The drawn lines as lists of points."""
    drawn = [element.attrib["points"] for element in ET.fromstring(svg).iter(f"{SVG}polyline")]
    return [[tuple(map(float, point.split(","))) for point in line.split()] for line in drawn]


def test_a_curve_falls_from_left_to_right_in_an_image_of_its_own():
    svg = curve.draw(log(2.0, 0.5))
    tree = ET.fromstring(svg)
    assert (tree.tag, tree.attrib["aria-label"]) == (f"{SVG}svg", "Training loss")
    (((x1, y1), (x2, y2)),) = lines(svg)
    assert x1 < x2
    assert y1 < y2  # downwards
    assert "<style>" in svg


def test_a_long_log_stays_small_and_has_its_mean_beside_it():
    svg = curve.draw(log(*(3.0 / step for step in range(1, 5001))))
    assert len(svg) < 40_000
    assert len(lines(svg)) == 2


def test_a_flat_log_does_not_divide_by_nothing():
    assert len(lines(curve.draw(log(0.0, 0.0)))) == 1


@pytest.mark.parametrize("losses", [(), (2.0,)])
def test_nothing_to_draw_empty(losses):
    assert curve.draw(log(*losses)) is None


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"log": [{"step": 1}]}', '{"log": 3}'])
def test_a_log_that_cannot_be_read_gives_no_curve(tmp_path, content):
    (tmp_path / "training.json").write_text(content)
    assert curve.read_log(tmp_path / "training.json") == []
    assert curve.read_log(tmp_path / "nowhere.json") == []


def test_the_unit_is_said_where_there_is_one():
    assert ">loss, nats a token</text>" in curve.draw(log(3.0, 1.0), "nats a token")
    assert ">loss</text>" in curve.draw(log(3.0, 1.0))
