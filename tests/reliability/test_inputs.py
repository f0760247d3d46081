"""Thousands of spoilt inputs through the command line: one sentence, exit code 1 or 2, nothing published, no hang.

Configurations, question rows, corpus rows, label files, run folders and adapters: real ones, changed at random.
"""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import random
import re
import shutil
import signal
import threading
import time
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from mutations import spoil_bytes, spoil_jsonl, spoil_value
from noise import LIBRARIES_WARN
from small_hub import write_rows
from workplace import FakeClient, copy_tree, furnish, furnish_model

from solo_hub.cli.main import run

pytestmark = [*LIBRARIES_WARN, pytest.mark.timeout(7200)]
FEW, MANY = int(os.environ.get("SOLO_HUB_FEW", "20")), int(os.environ.get("SOLO_HUB_INPUTS", "3500"))
SEED = os.environ.get("SOLO_HUB_SEED", "")
PARTS = 7
"""Each long test is cut into so many, which processes can share (`pytest -n`)."""
REPOS_READ = ("solo-hub/invented-world", "solo-hub/invented-world-corpus")
CPU_SECONDS, WALL_SECONDS = 30, 300  # an input that takes more hangs; the clock's is for waits, on any machine


class HungError(BaseException):
    """Not an `Exception`: nothing may swallow it."""


@contextlib.contextmanager
def at_most(seconds, waiting):
    """Raise `HungError` after `seconds` of the processor, or after `waiting` seconds of the clock."""

    def ring(*_):
        raise HungError

    before = signal.signal(signal.SIGVTALRM, ring)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    # not ITIMER_REAL, which the test's own time limit uses
    clock = threading.Timer(waiting, signal.pthread_kill, (threading.main_thread().ident, signal.SIGVTALRM))
    clock.start()
    try:
        yield
    finally:
        clock.cancel()
        clock.join()
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


@pytest.mark.parametrize("hang", [lambda: time.sleep(60), threading.Event().wait])
def test_a_wait_is_a_hang_too(hang):
    with pytest.raises(HungError), at_most(30, waiting=0.05):
        hang()


def test_an_endless_loop_is_a_hang():
    def spin():
        while True:
            pass

    with pytest.raises(HungError), at_most(0.05, waiting=60):
        spin()


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with good questions and a good corpus, and a Hub and an engine that cost nothing."""
    empty = tmp_path / "empty"
    empty.mkdir()
    names = ("tests/tiny", "sentence-transformers/all-MiniLM-L6-v2", *REPOS_READ)
    door = FakeClient(dict.fromkeys(names, empty))
    furnish(monkeypatch, door)
    monkeypatch.setenv("SOLO_HUB_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    rows = [
        {
            "id": f"q{n}",
            "question": f"Which one is number {n}?",
            "options": ["one", f"two {n}", "three"],
            "answer": n % 3,
        }
        for n in range(12)
    ]
    write_rows(tmp_path / "questions.jsonl", rows)
    held_out = [{**row, "id": f"h{n}", "question": f"What is {n}?"} for n, row in enumerate(rows)]
    write_rows(tmp_path / "held-out.jsonl", held_out)
    corpus = [{"id": f"c{n}", "text": f"Number {n} is two {n}.", "source": "a book"} for n in range(20)]
    write_rows(tmp_path / "corpus.jsonl", corpus)
    return Place(tmp_path, door)


class Place:
    """Where inputs are tried."""

    def __init__(self, folder, door):
        self.folder, self.client = folder, door

    def settings(self):
        return {
            "config_version": 1,
            "name": "small",
            "seed": 0,
            "base": "tests/tiny",
            "task": {
                "name": "multiple_choice",
                "questions": "questions.jsonl",
                "evaluation_questions": "held-out.jsonl",
                "columns": {"question": "question"},
                "train_limit": 10,
            },
            "knowledge": {"source": "corpus.jsonl", "passages": 3, "retriever": "bm25", "retriever_options": {}},
            "teacher": {"style": "text", "batch_size": 8, "explain": "never"},
            "selection": {"method": "confidence", "options": {"threshold": 0.1}},
            "student": {"epochs": 2, "rank": 4, "target_modules": ["q_proj"]},
            "evaluation": {"resamples": 200, "forgetting": False, "cost_questions": 0, "map": "off", "arms": []},
            "publish": {"allow_no_gain": True},
        }

    def config(self, text=None):
        path = self.folder / "my.yaml"
        path.write_bytes(yaml.safe_dump(self.settings()).encode() if text is None else text)
        return path

    def attempt(self, capsys, *arguments):
        """Run a command; the sentence it said and whether the input was accepted after all."""
        with at_most(CPU_SECONDS, WALL_SECONDS):
            code = run([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        said = " ".join(err.split())
        assert code in {0, 1, 2}, said
        assert "Traceback" not in err, err
        assert "bug in solo-hub" not in said, said
        accepted = code == 0 or "Accepted:" in said
        if not accepted:
            assert said, f"silent failure of {arguments}"
            assert not self.client.pushes, said
        self.client.pushes.clear()
        del out
        return said, accepted


def note(said, kind):
    """Sentences to look through by eye, where a file for them is named."""
    if path := os.environ.get("SOLO_HUB_SENTENCES"):
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(f"{kind}: {said[max(0, said.find('Error:')) :][:400]}\n")


def told(said, file, row=None):
    """The promise: the file stands in the sentence, and the row where one alone is spoilt."""
    assert file in said, f"{file}: {said}"
    assert row is None or re.search(rf"\brow {row}\b", said), f"row {row} of {file}: {said}"


def try_configs(place, capsys, chance, fresh):
    good = place.settings()
    if chance.random() < 0.5:
        text = yaml.safe_dump(spoil_value(good, chance), allow_unicode=True).encode("utf-8", "surrogatepass")
    else:
        text = spoil_bytes(yaml.safe_dump(good).encode(), chance)
    said, accepted = place.attempt(capsys, "distill", place.config(text), "--run", fresh, "--push")
    if not accepted:
        note(said, "config")


def spoilt_table(path, chance, target):
    """A spoilt file in one of the formats; its path and the row, when one alone is spoilt."""
    good = [json.loads(line) for line in path.read_text().splitlines()]
    kind = chance.choice(("jsonl", "jsonl", "jsonl", "json", "csv", "parquet", "jsonl.gz"))
    file = target.with_name(f"{target.name}.{kind}")
    if kind == "jsonl":
        data, row = spoil_jsonl(path.read_bytes(), chance)
        file.write_bytes(data)
        return file, row
    if kind == "jsonl.gz":
        file.write_bytes(spoil_bytes(gzip.compress(path.read_bytes()), chance))
    elif kind == "json":
        spoilt = spoil_value(good, chance) if chance.random() < 0.5 else None
        file.write_bytes(
            json.dumps(spoilt or good).encode() if spoilt else spoil_bytes(json.dumps(good).encode(), chance)
        )
    elif kind == "csv":
        lines = [",".join(good[0])] + [",".join(json.dumps(json.dumps(v)) for v in row.values()) for row in good]
        file.write_bytes(spoil_bytes("\n".join(lines).encode(), chance))
    else:
        import pyarrow as pa
        from pyarrow import parquet

        parquet.write_table(pa.Table.from_pylist(good), file)
        file.write_bytes(spoil_bytes(file.read_bytes(), chance))
    return file, None


def try_table(place, capsys, chance, fresh, role):
    settings = place.settings()
    source = place.folder / ("corpus.jsonl" if role == "corpus" else "questions.jsonl")
    file, row = spoilt_table(source, chance, place.folder / "spoilt")
    section, key = ("knowledge", "source") if role == "corpus" else ("task", "questions")
    settings[section][key] = file.name
    settings["task"]["train_limit"] = None
    config = place.config(yaml.safe_dump(settings).encode())
    said, accepted = place.attempt(capsys, "distill", config, "--run", fresh, "--push")
    if not accepted:
        note(said, role)
        told(said, file.name, row)


def try_questions(place, capsys, chance, fresh):
    try_table(place, capsys, chance, fresh, "questions")


def try_corpora(place, capsys, chance, fresh):
    try_table(place, capsys, chance, fresh, "corpus")


def try_labels(place, capsys, chance, fresh):
    if not (place.folder / "labelled").exists():
        said, accepted = place.attempt(capsys, "select", place.config(), "--run", place.folder / "labelled")
        assert accepted, said
    copy_tree(place.folder / "labelled", fresh)
    file = fresh / "3-labels.jsonl"
    data, row = spoil_jsonl(file.read_bytes(), chance)
    file.write_bytes(data)
    if chance.random() < 0.7:
        (fresh / "4-selected.jsonl").unlink()
    said, accepted = place.attempt(capsys, "distill", place.config(), "--run", fresh, "--push")
    if not accepted:
        note(said, "labels")
        told(said, file.name, row)


def spoil_file(file, chance):
    """Spoil one file of a run in place: gone, a folder, empty, or with other content.

    Returns:
        The row that was spoilt, from 1; None where none alone was.
    """
    act = chance.randrange(10)
    if act == 0:
        file.unlink()
    elif act == 1:
        file.unlink()
        file.mkdir()
    elif act == 2:
        file.write_bytes(b"")
    elif file.suffix == ".jsonl":
        data, row = spoil_jsonl(file.read_bytes(), chance)
        file.write_bytes(data)
        return row
    elif file.suffix == ".json" and act < 7:
        file.write_text(json.dumps(spoil_value(json.loads(file.read_bytes()), chance)))
    elif file.suffix == ".yaml" and act < 7:
        spoilt = spoil_value(yaml.safe_load(file.read_bytes()), chance)
        file.write_bytes(yaml.safe_dump(spoilt, allow_unicode=True).encode("utf-8", "surrogatepass"))
    else:
        file.write_bytes(spoil_bytes(file.read_bytes(), chance))
    return None


COMMANDS = (
    ("distill", "--run", "RUN", "--push"),
    ("distill", "--run", "RUN"),
    ("publish", "--run", "RUN"),
    ("show", "RUN"),
    ("show", "RUN", "--format", "json"),
    ("evaluate", "--run", "RUN"),
    ("select", "--run", "RUN", "--update", "--set", "selection.method=random"),
    ("train", "--run", "RUN"),
    ("label", "--run", "RUN"),
    ("show", "RUN", "--compare", "UNDISTURBED"),
    ("show", "UNDISTURBED", "--compare", "RUN", "--html", "both.html"),
    ("evaluate", "--run", "RUN", "--power"),
)


def try_run_folder(place, capsys, chance, fresh, undisturbed, repos, *, within=""):
    place.client.folders |= repos  # a step that is done anew reads what it read before
    copy_tree(undisturbed, fresh)
    shutil.rmtree(fresh / "7-dataset", ignore_errors=True)
    if chance.random() < 0.7:
        (fresh / "7-published.json").unlink()
    files = sorted(f for f in (fresh / within).rglob("*") if f.is_file() and f.name != ".lock")
    spoilt = chance.choice(files)
    row = spoil_file(spoilt, chance)
    command = chance.choice(COMMANDS)
    folders = {"RUN": str(fresh), "UNDISTURBED": str(undisturbed)}
    said, accepted = place.attempt(capsys, *(folders.get(word, word) for word in command))
    if not accepted:
        note(said, f"{spoilt.relative_to(fresh)} {command[0]}")
        told(said, spoilt.name, row)


def try_adapter(place, capsys, chance, fresh, undisturbed, repos):
    """Only what peft reads is spoilt, and the tiny model wears it, and answers all held-out questions."""
    place.client.folders |= repos
    copy_tree(undisturbed, fresh)
    for name in ("6-report.json", "6-predictions.jsonl", ".6-answers.jsonl", "7-published.json"):
        (fresh / name).unlink(missing_ok=True)
    spoilt = fresh / "5-adapter" / chance.choice(("adapter_config.json", "adapter_model.safetensors"))
    spoil_file(spoilt, chance)
    said, accepted = place.attempt(capsys, "evaluate", "--run", fresh)
    if not accepted:
        note(said, f"{spoilt.relative_to(fresh)} worn")
        told(said, spoilt.name)
    else:
        note(said, f"{spoilt.relative_to(fresh)} worn, accepted")


@pytest.fixture
def attempts(place, capsys, count):
    def go(tried, number, *arguments, seed=0):
        wrong = {}
        for index in range(number):
            fresh = place.folder / "run"
            shutil.rmtree(fresh, ignore_errors=True)
            try:
                tried(place, capsys, random.Random(f"{tried.__name__} {seed} {index}"), fresh, *arguments)
            except (Exception, HungError) as error:  # noqa: BLE001 - what gets out is a defect, and the others go on
                wrong.setdefault(f"{type(error).__name__}: {str(error)[-300:]}", index)
            count("inputs tried", 1)
        assert not wrong, "\n".join(f"input {index} of seed {seed}: {said}" for said, index in wrong.items())

    return go


GENERATED = (try_configs, try_questions, try_corpora, try_labels)


@pytest.mark.parametrize("tried", GENERATED)
def test_spoilt_inputs(attempts, tried):
    attempts(tried, FEW, seed="0" + SEED)


@pytest.mark.parametrize("within", ["", "5-adapter"])
def test_spoilt_run_folders(attempts, undisturbed, repos, within):
    attempts(lambda *a: try_run_folder(*a, undisturbed[0], repos, within=within), FEW, seed=(within or "run") + SEED)


def test_spoilt_adapters_are_worn(attempts, undisturbed, repos, monkeypatch):
    furnish_model(monkeypatch)
    attempts(lambda *a: try_adapter(*a, undisturbed[0], repos), FEW, seed="worn" + SEED)


@pytest.mark.soak
@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("tried", GENERATED)
def test_thousands_of_spoilt_inputs(attempts, tried, part):
    attempts(tried, MANY // PARTS, seed=f"{SEED}1 {part}")


@pytest.mark.soak
@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("within", ["", "5-adapter"])
def test_thousands_of_spoilt_run_folders(attempts, undisturbed, repos, within, part):
    attempts(
        lambda *a: try_run_folder(*a, undisturbed[0], repos, within=within),
        MANY // PARTS,
        seed=f"{within} {SEED}1 {part}",
    )


@pytest.mark.soak
def test_many_spoilt_adapters_are_worn(attempts, undisturbed, repos, monkeypatch):
    furnish_model(monkeypatch)
    attempts(lambda *a: try_adapter(*a, undisturbed[0], repos), MANY // 4, seed=f"worn {SEED}1")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)
ROWS = st.lists(
    st.fixed_dictionaries(
        {}, optional={"id": JSON, "question": JSON | st.text(), "options": JSON | st.lists(st.text())}
    ),
    min_size=1,
    max_size=4,
)


@hypothesis_settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=ROWS)
def test_any_rows_at_all(place, capsys, count, rows):
    settings = place.settings()
    settings["task"]["questions"] = "any.jsonl"
    write_rows(place.folder / "any.jsonl", rows)
    config = place.config(yaml.safe_dump(settings).encode())
    shutil.rmtree(place.folder / "run", ignore_errors=True)
    said, accepted = place.attempt(capsys, "distill", config, "--run", place.folder / "run", "--push")
    count("inputs tried", 1)
    assert accepted or "any.jsonl" in said
