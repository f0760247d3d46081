"""Plots as inline SVG: no script, no font or image from elsewhere, colours from the page, readable in black and white.

Bars and intervals stretch with the page: positions along the axis are percentages, heights are pixels, and all words
are HTML beside them, so that they stay readable on a phone. Colour is never the only cue: patterns repeat it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup, escape

BAR_HEIGHT = 22  # pixels
_PATTERNS = {"base": "url(#dots)", "teacher": "url(#stripes)"}
"""Fill of the known arms beside the student's plain one; further arms are outlined."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a bar chart, ready to be laid out.

    Attributes:
        label: What is measured.
        text: The number, formatted.
        note: Small print under the label.
        svg: The bar.
    """

    label: str
    text: str
    note: str
    svg: Markup


def _at(value: float, low: float, high: float) -> str:
    """Position on an axis from low to high, in percent."""
    return f"{100 * (min(max(value, low), high) - low) / (high - low):.3f}%"


def _svg(height: int, *parts: str, label: str) -> Markup:
    inside = Markup("".join(parts))  # noqa: S704 - numbers and names of ours; the label is escaped below
    return Markup('<svg class="bar" width="100%" height="{}" role="img" aria-label="{}">{}</svg>').format(
        height, label, inside
    )


def _whisker(low: str, high: str, middle: float) -> str:
    ends = "".join(
        f'<line class="whisker" x1="{x}" x2="{x}" y1="{middle - 5}" y2="{middle + 5}"/>' for x in (low, high)
    )
    return f'<line class="whisker" x1="{low}" x2="{high}" y1="{middle}" y2="{middle}"/>{ends}'


def bar(
    measure: Mapping[str, Any], *, label: str, kind: str = "student", top: float = 1.0, mark: float | None = None
) -> Markup:
    """Draw a bar from 0 with its interval.

    Args:
        measure: `value`, and `low` and `high` where it has an interval.
        label: Text for screen readers.
        kind: Arm, which decides on colour and pattern.
        top: Right end of the axis.
        mark: Where to draw a dashed line (chance), if anywhere.
    """
    fill = _PATTERNS.get(kind)
    style = f"bar-{kind}" if kind in ("base", "teacher", "student") else "bar-other"
    width = _at(measure["value"], 0, top)
    parts = [f'<rect class="{style}" x="0" y="3" width="{width}" height="{BAR_HEIGHT - 6}"/>']
    if fill:
        parts.append(f'<rect fill="{fill}" x="0" y="3" width="{width}" height="{BAR_HEIGHT - 6}"/>')
    if mark is not None:
        x = _at(mark, 0, top)
        parts.append(f'<line class="mark" x1="{x}" x2="{x}" y1="0" y2="{BAR_HEIGHT}"/>')
    if "low" in measure:
        parts.append(_whisker(_at(measure["low"], 0, top), _at(measure["high"], 0, top), BAR_HEIGHT / 2))
    return _svg(BAR_HEIGHT, *parts, label=label)


def difference(measure: Mapping[str, Any], *, label: str, limit: float) -> Markup:
    """Draw a difference with its interval on an axis from -limit to limit, with a line at 0."""
    middle = BAR_HEIGHT / 2
    parts = [
        f'<line class="zero" x1="50%" x2="50%" y1="0" y2="{BAR_HEIGHT}"/>',
        _whisker(_at(measure["low"], -limit, limit), _at(measure["high"], -limit, limit), middle),
        f'<circle class="point" cx="{_at(measure["value"], -limit, limit)}" cy="{middle}" r="4.5"/>',
    ]
    return _svg(BAR_HEIGHT, *parts, label=label)


def ceiling(values: Sequence[float]) -> float:
    """Round the largest value up to 1, 2, 2.5, 5 times a power of ten: the end of an axis.

    >>> ceiling([0.13, 0.31])
    0.5
    """
    largest = max((value for value in values if math.isfinite(value)), default=0.0)
    if largest <= 0:
        return 1.0
    power = 10 ** math.floor(math.log10(largest))
    return float(next(step * power for step in (1, 2, 2.5, 5, 10) if step * power >= largest * (1 - 1e-9)))


def ticks(low: float, high: float) -> list[float]:
    """Values to name on an axis that ends at a `ceiling`: five steps where five divide it evenly, else four.

    >>> ticks(0, 2)
    [0.0, 0.5, 1.0, 1.5, 2.0]
    """
    span = high - low
    mantissa = span / 10 ** math.floor(math.log10(span))
    steps = 5 if round(mantissa, 6) in (2.5, 5) else 4
    return [low + i * span / steps for i in range(steps + 1)]


# The plots below have two axes with numbers, so they are drawn in a fixed frame and scaled as a whole; the frame is
# about as wide as a phone, so that its text never gets small.
_WIDTH, _HEIGHT, _LEFT, _BOTTOM, _TOP, _RIGHT = 340, 230, 52, 42, 10, 12
_LEGEND = 17  # height of a line of a legend


@dataclass(frozen=True, slots=True)
class _Frame:
    """Axes of a plot: data ranges and what they are called."""

    x: tuple[float, float]
    y: tuple[float, float]
    x_label: str
    y_label: str
    legend: int = 0

    @property
    def top(self) -> float:
        """Upper end of the plot; a legend stands above it, one line a name."""
        return _TOP + self.legend * _LEGEND

    @property
    def height(self) -> float:
        """Height of the whole; a legend takes nothing from the plot."""
        return _HEIGHT + self.legend * _LEGEND

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Place of a data point in the frame, in its units."""
        (left, right), (low, high) = self.x, self.y
        across = (x - left) / (right - left) * (_WIDTH - _LEFT - _RIGHT)
        up = (y - low) / (high - low) * (self.height - self.top - _BOTTOM)
        return round(_LEFT + across, 1), round(self.height - _BOTTOM - up, 1)

    def draw(self, parts: Sequence[str], label: str) -> Markup:
        """Put axes, five ticks each and their names around the parts."""
        axes = []
        for value in ticks(*self.y):
            _, up = self.at(self.x[0], value)
            axes.append(f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{up}" y2="{up}"/>')
            axes.append(f'<text x="{_LEFT - 6}" y="{up + 4}" text-anchor="end">{value:.4g}</text>')
        for value in ticks(*self.x):
            across, _ = self.at(value, self.y[0])
            axes.append(f'<text x="{across}" y="{self.height - _BOTTOM + 16}" text-anchor="middle">{value:.4g}</text>')
        middle_x, middle_y = (_LEFT + _WIDTH - _RIGHT) / 2, (self.top + self.height - _BOTTOM) / 2
        names = (
            f'<text x="{middle_x}" y="{self.height - 6}" text-anchor="middle">{escape(self.x_label)}</text>'
            f'<text transform="translate(11 {middle_y}) rotate(-90)" text-anchor="middle">{escape(self.y_label)}</text>'
        )
        body = Markup("".join([*axes, *parts, names]))  # noqa: S704 - numbers; the names are escaped above
        return Markup('<svg class="plot" viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>').format(
            _WIDTH, self.height, label, body
        )


def histogram(counts: Sequence[int], *, x_label: str, label: str) -> Markup:
    """Draw counts of equal bins over 0..1."""
    top = ceiling([float(max(counts, default=0))])
    frame = _Frame((0, 1), (0, top), x_label, "labels")
    parts = []
    for i, count in enumerate(counts):
        (left, high), (right, low) = frame.at(i / len(counts), count), frame.at((i + 1) / len(counts), 0)
        size = f'width="{right - left - 1.4:.1f}" height="{low - high:.1f}"'
        parts.append(f'<rect class="bar-student" x="{left + 0.7:.1f}" y="{high}" {size}/>')
    return frame.draw(parts, label)


def reliability(bins: Sequence[Mapping[str, Any]], *, label: str) -> Markup:
    """Draw accuracy against confidence; the dashed line is perfect calibration.

    A point's area grows with the number of labels behind it.
    """
    frame = _Frame((0, 1), (0, 1), "confidence", "share right")
    most = max((entry["n"] for entry in bins), default=0)
    (x1, y1), (x2, y2) = frame.at(0, 0), frame.at(1, 1)
    parts = [f'<line class="mark" x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}"/>']
    filled = [entry for entry in bins if entry["n"]]
    points = [frame.at(entry["confidence"], entry["accuracy"]) for entry in filled]
    if len(points) > 1:
        parts.append(f'<polyline class="curve" points="{" ".join(f"{x},{y}" for x, y in points)}"/>')
    for entry, (x, y) in zip(filled, points, strict=True):
        parts.append(f'<circle class="point" cx="{x}" cy="{y}" r="{2.5 + 5 * math.sqrt(entry["n"] / most):.1f}"/>')
    return frame.draw(parts, label)


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a plot.

    Attributes:
        name: What it shows, for the legend.
        points: (x, y), left to right.
        faint: Whether it is drawn thin and pale, as the background of another.
    """

    name: str
    points: Sequence[tuple[float, float]]
    faint: bool = False


_DASHES = ("", "6 3", "2 3", "9 3 2 3")
"""Patterns of lines, so that they can be told apart without colour."""


def lines(drawn: Sequence[Line], *, x_label: str, y_label: str, label: str, top: float | None = None) -> Markup:
    """Draw several lines in one frame, each with a pattern of its own; a legend stands above where there are several.

    Args:
        drawn: At most four lines with at least one point among them.
        x_label: Name of the horizontal axis, with its unit.
        y_label: Name of the vertical axis, with its unit.
        label: Text for screen readers.
        top: End of the vertical axis; the next round number when None.
    """
    points = [point for line in drawn for point in line.points]
    end = ceiling([y for _, y in points]) if top is None else top
    named = [line.name for line in drawn if line.name]
    frame = _Frame((0, ceiling([x for x, _ in points])), (0, end), x_label, y_label, legend=len(named))
    parts = []
    for number, line in reversed(list(enumerate(drawn))):  # the first line lies on top
        dash = f' stroke-dasharray="{_DASHES[number]}"' if number and not line.faint else ""
        shade = "curve faint" if line.faint else f"curve curve-{number}"
        placed = " ".join(f"{x},{y}" for x, y in (frame.at(x, y) for x, y in line.points))
        parts.append(f'<polyline class="{shade}"{dash} points="{placed}"/>')
        if named:
            up = _TOP + 5 + number * _LEGEND
            parts.append(f'<line class="{shade}"{dash} x1="{_LEFT}" x2="{_LEFT + 34}" y1="{up}" y2="{up}"/>')
            parts.append(f'<text x="{_LEFT + 40}" y="{up + 4}">{escape(line.name)}</text>')
    return frame.draw(parts, label)


def scatter(groups: Sequence[tuple[str, Sequence[Sequence[float]]]], *, label: str) -> Markup:
    """Draw points in a square without axes: rings for the first group, dots for the second.

    Args:
        groups: Name of the group (for the screen reader) and its points in 0..1.
        label: Text for screen readers.
    """
    side, edge = 340, 6
    parts = [f'<rect class="frame" x="0.5" y="0.5" width="{side - 1}" height="{side - 1}"/>']
    shapes = ('<circle class="ring" cx="{x}" cy="{y}" r="3.2"/>', '<circle class="dot" cx="{x}" cy="{y}" r="1.9"/>')
    for (_, points), shape in zip(groups, shapes, strict=False):
        for x, y in points:
            parts.append(
                shape.format(x=round(edge + x * (side - 2 * edge), 1), y=round(side - edge - y * (side - 2 * edge), 1))
            )
    body = Markup("".join(parts))  # noqa: S704 - numbers
    description = "; ".join([label, *(f"{len(points)} {name}" for name, points in groups)])
    return Markup('<svg class="plot square" viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>').format(
        side, side, description, body
    )


def stack(parts: Sequence[tuple[str, float]], *, label: str, top: float) -> Markup:
    """Draw a bar of several parts, one after the other, each with a fill of its own.

    Args:
        parts: Kind (a style of the page) and size.
        label: Text for screen readers.
        top: Right end of the axis.
    """
    drawn, at = [], 0.0
    for kind, size in parts:
        left, width = _at(at, 0, top), _at(max(size, 0.0), 0, top)
        drawn.append(f'<rect class="part-{kind}" x="{left}" y="3" width="{width}" height="{BAR_HEIGHT - 6}"/>')
        if kind in _PART_PATTERNS:
            fill = _PART_PATTERNS[kind]
            drawn.append(f'<rect fill="{fill}" x="{left}" y="3" width="{width}" height="{BAR_HEIGHT - 6}"/>')
        at += max(size, 0.0)
    return _svg(BAR_HEIGHT, *drawn, label=label)


_PART_PATTERNS = {"libraries": "url(#dots)", "knowledge": "url(#stripes)"}
