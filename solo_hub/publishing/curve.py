"""The training curve as a small SVG image, without a plotting library and byte-identical for the same log."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

WIDTH, HEIGHT = 720, 300  # pixels
LEFT, RIGHT, TOP, BOTTOM = 56, 16, 16, 44  # pixels around the plot
TICKS = 4
MOST_POINTS = 600  # more than one per pixel is invisible


def read_losses(path: Path) -> list[tuple[float, float]]:
    """Steps and losses of a training log (`log` of `training.json`); empty where there is none to read."""
    try:
        log = json.loads(path.read_text("utf-8"))["log"]
        return [(float(row["step"]), float(row["loss"])) for row in log]
    except (OSError, ValueError, KeyError, TypeError):
        return []  # the log is optional: without one there is no curve


def draw(points: Sequence[tuple[float, float]], unit: str = "") -> str | None:
    """Draw loss over steps: every step thin, the mean of the last twentieth of the steps bold.

    Args:
        points: Step and loss, in order.
        unit: Unit of the loss; omitted if empty.

    Returns:
        The image, or None for fewer than two points.
    """
    if len(points) < 2:  # noqa: PLR2004 - one point is no curve
        return None
    steps, losses = [step for step, _ in points], [loss for _, loss in points]
    span = max(1, len(points) // 20)
    means = [sum(losses[max(0, i - span + 1) : i + 1]) / min(span, i + 1) for i in range(len(losses))]
    first, last, top = steps[0], steps[-1], max(losses) or 1.0

    def place(step: float, loss: float) -> tuple[float, float]:
        x = LEFT + (step - first) / ((last - first) or 1) * (WIDTH - LEFT - RIGHT)
        return x, HEIGHT - BOTTOM - max(loss, 0.0) / top * (HEIGHT - TOP - BOTTOM)

    every = max(1, len(points) // MOST_POINTS)

    def path(values: Sequence[float]) -> str:
        picked = list(zip(steps, values, strict=True))[::every]
        return "M" + " L".join(f"{x:.1f} {y:.1f}" for x, y in (place(*point) for point in picked))

    lines = []
    for tick in range(TICKS + 1):
        loss, step = top * tick / TICKS, first + (last - first) * tick / TICKS
        y, x = place(first, loss)[1], place(step, 0)[0]
        lines += [
            f'<path d="M{LEFT} {y:.1f} H{WIDTH - RIGHT}" stroke="#e5e7eb"/>',
            f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{loss:.2f}</text>',
            f'<text x="{x:.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{step:.0f}</text>',
        ]
    middle = ((LEFT + WIDTH - RIGHT) // 2, (TOP + HEIGHT - BOTTOM) // 2)
    size = f'viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}"'
    style = 'role="img" font-family="sans-serif" font-size="12" fill="#374151"'
    upright = f'transform="rotate(-90 14 {middle[1]})"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} {style}>',
        f"<title>Training loss from {losses[0]:.2f} at the first step to {means[-1]:.2f} at the last</title>",
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
        *lines,
        f'<path d="{path(losses)}" fill="none" stroke="#93c5fd" stroke-width="1"/>',
        f'<path d="{path(means)}" fill="none" stroke="#1d4ed8" stroke-width="2"/>',
        f'<text x="{middle[0]}" y="{HEIGHT - 6}" text-anchor="middle">optimiser step</text>',
        f'<text x="14" y="{middle[1]}" text-anchor="middle" {upright}>loss{f", {unit}" if unit else ""}</text>',
        "</svg>",
    ]
    return "\n".join(parts) + "\n"
