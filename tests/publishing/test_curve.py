from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest

from solo_hub.publishing import curve


def paths(svg):
    """The two drawn lines as lists of points; the grid has no `fill`."""
    tree = ET.fromstring(svg)
    drawn = [
        element.attrib["d"] for element in tree.iter("{http://www.w3.org/2000/svg}path") if "fill" in element.attrib
    ]
    return [[tuple(map(float, point.split())) for point in line.removeprefix("M").split(" L")] for line in drawn]


def test_a_curve_worked_by_hand():
    """Two steps, loss 2 then 0: from the plot's top left corner (56, 16) to its bottom right (704, 256)."""
    every_step, mean = paths(curve.draw([(1, 2.0), (2, 0.0)]))
    assert every_step == mean == [(56.0, 16.0), (704.0, 256.0)]


def test_the_title_says_in_words_what_the_curve_shows():
    assert "<title>Training loss from 2.00 at the first step to 0.50 at the last</title>" in curve.draw(
        [(1, 2.0), (2, 0.5)]
    )


def test_a_long_log_stays_small_and_inside_the_picture():
    svg = curve.draw([(step, 3.0 / step) for step in range(1, 5001)])
    assert len(svg) < 40_000
    for line in paths(svg):
        assert all(0 <= x <= curve.WIDTH and 0 <= y <= curve.HEIGHT for x, y in line)


@pytest.mark.parametrize("points", [[(1, 0.0), (2, 0.0)], [(5, 1.0), (5, 1.0)]])
def test_flat_and_single_step_logs_do_not_divide_by_nothing(points):
    assert len(paths(curve.draw(points))) == 2


@pytest.mark.parametrize("points", [[], [(1, 2.0)]])
def test_nothing_to_draw_empty(points):
    assert curve.draw(points) is None


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"log": [{"step": 1}]}', '{"log": 3}'])
def test_a_log_that_cannot_be_read_gives_no_curve(tmp_path, content):
    (tmp_path / "training.json").write_text(content)
    assert curve.read_losses(tmp_path / "training.json") == []
    assert curve.read_losses(tmp_path / "nowhere.json") == []


def test_the_unit_is_said_where_there_is_one():
    points = [(1, 3.0), (2, 1.0)]
    assert ">loss, nats a token</text>" in curve.draw(points, "nats a token")
    assert ">loss</text>" in curve.draw(points)
