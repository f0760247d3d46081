"""The Space's folder: whole, pinned, importable, without secrets; and the command that pushes it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner
from noise import PEFT_WARNS
from tiny_run import ADAPTER, COMMIT, HOSTILE, FakeConnection

from solo_hub.core.console import Console
from solo_hub.core.errors import InputError
from solo_hub.evaluation.comparison.cases import read_cases
from solo_hub.evaluation.comparison.opening import open_space
from solo_hub.publishing.space import Filling, fill, space_folder

pytestmark = [
    PEFT_WARNS,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # faiss
]


@pytest.fixture
def filling(run):
    return Filling(
        adapter=ADAPTER, commit=COMMIT, title=HOSTILE + ": #\n---", base="tests/tiny", datasets=("tests/questions",),
        cases=tuple(read_cases(run)), total=240, license="apache-2.0",
    )  # fmt: skip


def front_matter(card):
    return yaml.safe_load(card.split("---\n")[1])


def test_the_template_is_a_space():
    data = front_matter((space_folder() / "README.md").read_text())
    assert data["sdk"] == "gradio"
    assert (space_folder() / data["app_file"]).is_file()
    assert f"gradio=={data['sdk_version']}" in (space_folder() / "requirements.txt").read_text()
    assert not (space_folder().parent / "__init__.py").exists()  # it would hide the package of ZeroGPU


def test_the_card_names_what_is_shown_and_stays_yaml_whatever_the_title(tmp_path, filling):
    fill(tmp_path, filling)
    from solo_hub.publishing import frontmatter

    data, body = frontmatter.split((tmp_path / "README.md").read_text())
    assert data["title"] == filling.title
    assert data["models"] == ["tests/tiny", ADAPTER]
    assert (data["sdk"], data["license"]) == ("gradio", "apache-2.0")
    assert f"{ADAPTER}/tree/{COMMIT}" in body
    assert "3 of the 240 questions" in body


def test_every_requirement_is_pinned_and_nothing_is_missing(tmp_path, filling):
    from importlib import metadata

    fill(tmp_path, filling)
    lines = [line for line in (tmp_path / "requirements.txt").read_text().splitlines() if not line.startswith("#")]
    assert all(re.fullmatch(r"[a-z0-9._-]+==[0-9][\w.]*", line) for line in lines)
    names = [line.split("==")[0] for line in lines]
    assert len(set(names)) == len(names)
    needed = {re.match(r"[\w.-]+", r)[0].lower() for r in metadata.requires("solo-hub") if "extra ==" not in r}
    assert needed <= set(names)


def test_what_a_run_needs_besides_is_pinned_too(tmp_path, filling):
    fill(tmp_path, replace(filling, packages=("rich", "no-such-package")))
    lines = (tmp_path / "requirements.txt").read_text().splitlines()
    assert lines[-1] == "no-such-package"
    assert lines[-2].startswith("rich==")


@pytest.mark.parametrize(
    ("dtype", "evaluated", "packages"),
    [("nf4", "same", ("bitsandbytes",)), ("nf4", "float32", ()), ("auto", "same", ())],
)
def test_a_space_that_answers_in_4_bits_needs_bitsandbytes(dtype, evaluated, packages):
    from solo_hub.publishing import space

    assert space._packages({"engine": {"dtype": dtype}, "evaluation": {"dtype": evaluated}}) == packages
    assert space._packages({}) == ()


def test_solo_hub_by_requirement_is_not_copied(tmp_path, filling):
    fill(tmp_path, filling, requirement="solo-hub==9.9")
    assert (tmp_path / "requirements.txt").read_text().endswith("\nsolo-hub==9.9\n")
    assert not (tmp_path / "solo_hub").exists()


def test_the_copied_package_is_found_with_its_plugins(tmp_path, filling):
    """A process whose path begins with the folder, as `python app.py` there has it, and no other solo-hub."""
    fill(tmp_path, filling)
    code = (
        "import solo_hub, solo_hub.core.plugins as p, sys; print(solo_hub.__file__);"
        "print(p.find('retrievers', 'bm25'), p.find('tasks', 'qasc'), [x.problem for x in p.listings() if x.problem])"
    )
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    where, plugins = done.stdout.splitlines()
    assert Path(where) == tmp_path / "solo_hub" / "__init__.py"
    assert plugins.endswith("[]")
    assert not list(tmp_path.rglob("*.pyc")) or not list((tmp_path / "solo_hub").rglob("tests"))


def test_filling_twice_gives_the_same_bytes(tmp_path, filling):
    contents = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        fill(tmp_path / name, filling)
        contents.append(
            {p.relative_to(tmp_path / name): p.read_bytes() for p in (tmp_path / name).rglob("*.*") if p.is_file()}
        )
    assert contents[0] == contents[1]
    assert len(contents[0]) > 100


def test_a_secret_does_not_leave(tmp_path, filling, run):
    import dataclasses

    case = filling.cases[0]
    leaky = dataclasses.replace(case.question, text="hf_" + "x" * 34)
    with pytest.raises(InputError, match="looks like a secret"):
        fill(tmp_path, dataclasses.replace(filling, cases=(dataclasses.replace(case, question=leaky),)))


def test_the_filled_folder_opens(tmp_path, filling, published, monkeypatch):
    folder = tmp_path / "space"
    folder.mkdir()
    fill(folder, filling, requirement="solo-hub")
    monkeypatch.setattr("solo_hub.evaluation.comparison.opening.Connection", lambda *_: FakeConnection(published))
    opened = open_space(folder, Console("quiet"))
    assert list(opened.cases) == list(filling.cases)
    assert opened.total == 240
    assert opened.origin.published


def test_push(run, published, monkeypatch):
    from solo_hub.cli.space import space
    from solo_hub.hub import opening as local

    monkeypatch.setattr(local, "open_hub", lambda spec, **_: FakeConnection(published))
    result = CliRunner().invoke(space, ["push", str(run.path), "--examples", "2", "--format", "json"])
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["repo_id"] == "me/tiny-solo-adapter-compare"
    ((repo_id, kind, files, message, private, tagged),) = published.pushed
    assert (repo_id, kind, private, tagged) == ("me/tiny-solo-adapter-compare", "space", False, False)
    assert {"app.py", "style.css", "README.md", "requirements.txt", "compare.json", "evaluation.json"} < set(files)
    assert json.loads(files["compare.json"])["adapter"] == {"repo_id": ADAPTER, "commit": COMMIT}
    assert [c["question"]["id"] for c in json.loads(files["evaluation.json"])["cases"]] == ["q1", "q2"]
    assert message == f"Compare base, teacher and student of {ADAPTER} at aaaaaaa"
    assert published.may_write == ["me"]


def test_push_of_a_run_with_labels_brought_along_names_no_teacher(run, published, monkeypatch):
    from solo_hub.cli.space import space
    from solo_hub.hub import opening as local

    document = yaml.safe_load(run.file("config").read_text())
    document["resolved"]["repos"]["labels"] = {"file": "votes.jsonl", "sha256": "0" * 64, "license": None}
    run.file("config").write_text(yaml.safe_dump(document))
    monkeypatch.setattr(local, "open_hub", lambda spec, **_: FakeConnection(published))
    result = CliRunner().invoke(space, ["push", str(run.path), "--format", "json"])
    assert result.exit_code == 0, result.output
    ((_, _, files, message, _, _),) = published.pushed
    assert message == f"Compare base and student of {ADAPTER} at aaaaaaa"
    assert b"title: Base, student\n" in files["README.md"]


def test_push_of_a_run_that_is_not_published(run):
    from solo_hub.cli.space import space

    run.file("published").unlink()
    result = CliRunner().invoke(space, ["push", str(run.path)])
    assert result.exit_code == 1
    assert "7-published.json' does not exist" in str(result.exception)
    assert "solo-hub publish --run" in str(result.exception)
