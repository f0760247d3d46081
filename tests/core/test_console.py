"""Talk on stderr, data on stdout; nothing of either where nobody asked."""

from __future__ import annotations

import io
import json
import signal

import pytest
from rich.console import Console as RichConsole

from solo_hub.core.console import Console
from solo_hub.core.errors import Interrupted


def say_everything(console):
    console.step(1, "Questions", "a [b]repo[/b]")
    console.note("by [the] way")
    console.done("ready")
    with console.progress("working", 2) as advance:
        advance(2)
    console.table("Title", ["arm", "value"], [["base", "0.5 [0.4, 0.6]"]])
    console.line("a line [with] brackets")
    console.document({"a": "ü"})


def test_for_people(capsys):
    say_everything(Console("human"))
    out, err = capsys.readouterr()
    assert "0.5 [0.4, 0.6]" in out
    assert "a line [with] brackets" in out
    assert "{" not in out
    assert "Questions a [b]repo[/b]" in err
    assert "by [the] way" in err
    assert "✓ ready" in err


def test_for_programs(capsys):
    say_everything(Console("json"))
    out, err = capsys.readouterr()
    assert json.loads(out) == {"a": "ü"}
    assert err == ""


def test_for_nobody(capsys):
    say_everything(Console())
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(("mode", "heard"), [("human", True), ("json", True), ("quiet", False)])
def test_warnings_are_heard_unless_quiet(capsys, mode, heard):
    Console(mode).warn("careful")
    out, err = capsys.readouterr()
    assert ("Warning: careful" in err) is heard
    assert out == ""


def test_without_a_terminal_lines_are_as_long_as_they_are(capsys):
    console = Console("human")
    address = "http://127.0.0.1:1/" + "/".join(["a long one"] * 20)
    console.step(1, "Questions", address)
    console.note(address)
    console.done(address)
    console.warn(address)
    assert capsys.readouterr().err.splitlines() == [
        f"1 Questions {address}",
        f"  {address}",
        f"  ✓ {address}",
        f"Warning: {address}",
    ]


@pytest.mark.parametrize("mode", ["human", "json", "quiet"])
def test_errors_are_always_heard_on_one_line(capsys, mode):
    Console(mode).error("It [failed] " + "x" * 200 + ".", "Do that.")
    assert capsys.readouterr().err == "Error: It [failed] " + "x" * 200 + ". Do that.\n"


def test_a_document_is_valid_json_or_nothing():
    with pytest.raises(ValueError, match="not JSON compliant"):
        Console("json").document({"a": float("nan")})


def test_progress_of_nothing(capsys):
    with Console("human").progress("labelling", 0) as advance:
        advance(0)
    assert capsys.readouterr() == ("", "")


def test_ctrl_c_lets_the_batch_finish():
    """Pressed in the second batch: that one is done, a third is not begun, and the old handler is back."""
    console, done = Console("quiet"), []
    before = signal.getsignal(signal.SIGINT)
    with (  # noqa: PT012
        pytest.raises(Interrupted, match=r"^no progress is lost$"),
        console.interruptible(),
        console.progress("x", 3, saved=True) as progress,
    ):
        for batch in range(3):
            if batch == 1:
                signal.raise_signal(signal.SIGINT)
            done.append(batch)
            progress(1)
    assert done == [0, 1]
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.parametrize(
    ("saved", "lost"), [(True, "at most what was done since the last save is lost"), (False, "'x' starts again")]
)
def test_ctrl_c_twice_stops_at_once(saved, lost):
    console, done = Console("quiet"), []
    with (  # noqa: PT012
        pytest.raises(Interrupted, match=lost),
        console.interruptible(),
        console.progress("x", 1, saved=saved) as progress,
    ):
        signal.raise_signal(signal.SIGINT)
        done.append("after the first")
        signal.raise_signal(signal.SIGINT)
        done.append("after the second")
        progress(1)
    assert done == ["after the first"]


def test_ctrl_c_where_nothing_is_counted_stops_at_once():
    with pytest.raises(KeyboardInterrupt), Console("quiet").interruptible():
        signal.raise_signal(signal.SIGINT)
    console = Console("quiet")
    with pytest.raises(KeyboardInterrupt), console.interruptible(), console.progress("x", 0):
        signal.raise_signal(signal.SIGINT)  # seen when the bar is closed


def test_ctrl_c_in_work_that_is_not_saved_says_so():
    console = Console("quiet")
    kept = r"^'x' starts again, and what was done before it is kept$"
    with pytest.raises(Interrupted, match=kept), console.interruptible(), console.progress("x", 2) as progress:  # noqa: PT012
        signal.raise_signal(signal.SIGINT)
        progress(1)


@pytest.mark.parametrize("mode", ["human", "json"])
def test_half_a_character_is_spelt_out_where_no_stream_can_write_it(capsys, mode):
    """A configuration may hold any text, and an error repeats it."""
    half = "a" + chr(0xD800)
    console = Console(mode)
    console.error(f"There is no model '{half}'.", half)
    console.warn(half)
    console.line(half)
    console.table(half, [half], [[half]])
    console.document({"a": half})
    out, err = capsys.readouterr()
    assert r"There is no model 'a\ud800'." in err
    assert mode == "human" or json.loads(out) == {"a": half}


def test_a_colon_is_no_picture(capsys):
    """`:name:` in a repo's or file's name stays what it is."""
    Console("human").error("There is no file ':smile:.jsonl'.")
    Console("human").line(":smile:")
    out, err = capsys.readouterr()
    assert ":smile:.jsonl" in err
    assert ":smile:" in out


def test_a_table_that_is_too_wide_for_the_terminal_becomes_lines(capsys, monkeypatch):
    """Numbers are never broken in two: at 40 columns no interval could be read."""
    monkeypatch.setenv("COLUMNS", "40")
    columns = ["arm", "accuracy [95 %]", "ROUGE-L", "BERTScore", "s/question"]
    Console("human").table("A run", columns, [["teacher [x]", "0.994 [0.965, 0.999]", "0.011", "0.185", "0.010"]])
    assert capsys.readouterr().out.splitlines() == [
        "A run",
        "teacher [x]",
        "  accuracy [95 %]: 0.994 [0.965, 0.999]",
        "  ROUGE-L: 0.011",
        "  BERTScore: 0.185",
        "  s/question: 0.010",
    ]
    Console("human").table("", ["arm", "accuracy [95 %]"], [["teacher", "0.994 [0.965, 0.999]"]])
    assert "teacher  0.994 [0.965, 0.999]" in capsys.readouterr().out


def test_a_stream_of_ascii_gets_what_it_can_write(monkeypatch):
    out, err = (io.TextIOWrapper(io.BytesIO(), "ascii") for _ in range(2))
    monkeypatch.setattr("sys.stdout", out)
    monkeypatch.setattr("sys.stderr", err)
    Console("human").done("ready")
    Console("json").document({"a": "ü ☃"})
    out.flush()
    err.flush()
    assert json.loads(out.buffer.getvalue().decode("ascii")) == {"a": "ü ☃"}
    assert b"  + ready" in err.buffer.getvalue()


def test_questions_are_asked_on_a_terminal_alone(monkeypatch):
    assert not Console("human").confirm("Replace it?")
    assert Console("json", yes=True).confirm("Replace it?")
    console, asked = Console("human"), []
    monkeypatch.setattr(console, "_err", RichConsole(force_terminal=True, width=80))
    monkeypatch.setattr("sys.stdin", io.StringIO())
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr(console._err, "input", lambda text: asked.append(text) or " Y ")
    assert console.confirm("Replace [it]?")
    assert "Replace" in asked[0]
