"""Progress in files and pipes: a line every 30 seconds, whatever happens; by a clock that is set by hand."""

from __future__ import annotations

import io

import pytest
from rich.console import Console as RichConsole

from solo_hub.core import progress
from solo_hub.core.console import Console


@pytest.fixture
def clock(monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def test_a_line_every_thirty_seconds_with_rate_and_time_left(clock):
    written = []
    shown = progress.Lines("labelling", 400, written.append)
    for _ in range(7):
        clock[0] += 10
        shown.advance(20)
    assert written == [
        "labelling: 60 of 400, 2.0/s, 3 min left",
        "labelling: 120 of 400, 2.0/s, 2 min left",
    ]


def test_no_silence_while_one_item_takes_minutes(clock):
    written = []
    shown = progress.Lines("measuring cost", 3, written.append)
    clock[0] += 29
    shown.tick()
    assert written == []
    for _ in range(2):
        clock[0] += 31
        shown.tick()
    shown.advance(1, "base")
    clock[0] += 29
    shown.tick()
    assert written == ["measuring cost: 0 of 3, 60 s so far", "measuring cost: 0 of 3, 91 s so far"]
    clock[0] += 1
    shown.tick()
    assert written[2:] == ["measuring cost: 1 of 3, 61.0 s each, 2 min left, base"]


def test_what_an_earlier_process_did_does_not_raise_the_rate_for_long(clock):
    """300 labels were there; then ten take thirty seconds."""
    written = []
    shown = progress.Lines("labelling", 400, written.append)
    shown.advance(300)
    for _ in range(2):
        clock[0] += 30
        shown.advance(10)
    assert written[1] == "labelling: 320 of 400, 3.0 s each, 4 min left"


def test_one_batch_or_two_a_line_do_not_double_and_halve_the_rate(clock):
    written = []
    shown = progress.Lines("evaluating", 960, written.append)
    for _ in range(12):  # a batch of 32 in 20 seconds: now one, now two of them between two lines
        clock[0] += 20
        shown.advance(32)
        for _ in range(2):
            shown.tick()
    rates = [float(line.split(", ")[1].removesuffix("/s")) for line in written]
    assert min(rates[2:]) >= 1.2
    assert max(rates[2:]) <= 2.0


@pytest.mark.parametrize(
    ("total", "line"), [(None, "embedding: 90, 3.0/s"), (0, "loading: 30 s so far")], ids=["unknown", "not counted"]
)
def test_where_no_total_is_known(clock, total, line):
    written = []
    shown = progress.Lines(line.split(":")[0], total, written.append)
    clock[0] += 30
    shown.advance(90)
    assert written == [line]


def test_the_console_prints_lines_where_there_is_no_terminal(capsys, clock):
    with Console("human").progress("labelling [x]", 30) as advance:
        clock[0] += 30
        advance(20, "loss 0.512, learning rate 1.0e-03")
    assert capsys.readouterr().err == (
        "  labelling [x]: 20 of 30, 1.5 s each, 15 s left, loss 0.512, learning rate 1.0e-03\n"
    )


def test_a_bar_on_a_terminal_shows_rate_and_detail():
    out = io.StringIO()
    console = RichConsole(file=out, force_terminal=True, width=120)
    with progress.bar("training", 10, console) as advance:
        advance(2)
        advance(3, "loss 0.512")
    text = out.getvalue()
    assert "training" in text
    assert "5/10" in text
    assert "loss 0.512" in text


def test_a_bar_within_a_bar_is_not_shown(capsys, clock):
    console = Console("human")
    with console.progress("evaluating", 2) as advance, console.working("loading"):
        clock[0] += 31
        advance(1)
    assert [line.split(":")[0] for line in capsys.readouterr().err.splitlines()] == ["  evaluating"]
