"""README and docs: what they mention exists, every page is led to, and what is made from the code is up to date."""

from __future__ import annotations

import importlib.util
import re
import tomllib
from pathlib import Path

import pytest
from printed import ROOT, documents, pieces

from solo_hub.cli import distill
from solo_hub.core.config import presets
from solo_hub.core.plugins import GROUPS, Metric, QuestionWriter
from solo_hub.core.records import Document, Prediction, Question
from solo_hub.curation.curating import curate

DOCS = ROOT / "docs"
PATHS = re.compile(r"`((?:tests|solo_hub|benchmarks|spaces|cards|docs|\.ci)/[\w./-]*|test_\w+\.py)(?:::(\w+))?`")
MODULES = re.compile(r"`(solo_hub(?:\.\w+)+)`")
NAMES = [str(path.relative_to(ROOT)) for path in documents()]


def without_code(text):
    return re.sub(r"^ *```.*?^ *```", "", text, flags=re.MULTILINE | re.DOTALL)


def anchors(path):
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", without_code(path.read_text("utf-8")), re.MULTILINE)
    plain = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings)
    return {text.strip().replace(" ", "-") for text in plain}


@pytest.mark.parametrize("name", NAMES)
def test_files_and_modules_it_mentions_exist(name):
    text = (ROOT / name).read_text("utf-8")
    for path, function in PATHS.findall(text):
        found = [*(ROOT / "tests").rglob(path)] if path.startswith("test_") else [ROOT / path]
        assert [file for file in found if file.exists()], f"{name}: {path}"
        assert not function or f"def {function}(" in found[0].read_text("utf-8"), f"{name}: {path}::{function}"
    for module in MODULES.findall(text):
        if module.removeprefix("solo_hub.") in GROUPS:
            continue  # an entry-point group
        package, _, last = module.rpartition(".")
        assert _is_module(module) or hasattr(importlib.import_module(package), last), f"{name}: {module}"


def _is_module(name):
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:  # its parent is a module, not a package
        return False


@pytest.mark.parametrize("name", NAMES)
def test_links_to_headings(name):
    page = ROOT / name
    for target, anchor in re.findall(r"\]\(([^)#:\s]*)#([^)]+)\)", page.read_text("utf-8")):
        linked = page.parent / target if target else page
        assert anchor in anchors(linked), f"{name}: {target}#{anchor}"


def test_readme_is_short_and_the_index_leads_to_every_page():
    assert len((ROOT / "README.md").read_text("utf-8").splitlines()) <= 150
    index = DOCS / "index.md"
    linked = {(DOCS / target).resolve() for target in re.findall(r"\]\(([^)#:\s]+)", index.read_text("utf-8"))}
    assert {page.resolve() for page in DOCS.rglob("*.md")} - {index.resolve()} <= linked


def test_the_page_of_settings_is_made_from_the_code():
    spec = importlib.util.spec_from_file_location("docs_settings", DOCS / "settings.py")
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    assert made.page() == made.PAGE.read_text("utf-8"), "run: python docs/settings.py"


def test_every_preset_is_described_in_docs_and_help():
    table = (DOCS / "commands.md").read_text("utf-8").split("| preset |")[1]
    assert set(re.findall(r"^\| `([\w-]+)` \|", table, re.MULTILINE)) == set(presets()) == distill.PRESETS.keys()


def test_the_plugins_that_are_shown_work():
    names = {}
    for piece in pieces(("python",)):
        if piece.place.startswith("docs/plugins.md"):
            exec(piece.text, names)
    metric = names["Length"]()
    assert isinstance(metric, Metric)
    written = Prediction("q", "base", None, None, "two words", (), 0.1)
    assert metric.score(Question("q", "?"), None, written) == 2

    writer = names["Definitions"]({"longest": 40}, 0)
    assert isinstance(writer, QuestionWriter)
    texts = ("lever: a bar that moves loads.", "No definition here.", f"long: {'x' * 41}")
    asked = list(curate([Document(f"d{n}", text) for n, text in enumerate(texts)], [writer], options=0))
    assert [(row.text, row.answer, row.documents) for row in asked] == [
        ("What is lever?", "a bar that moves loads", ("d0",))
    ]

    package = next(piece for piece in pieces(("toml",)) if piece.place.startswith("docs/plugins.md"))
    points = tomllib.loads(package.text)["project"]["entry-points"]
    assert {group.removeprefix("solo_hub.") for group in points} <= set(GROUPS)
    assert {value.partition(":")[2] for group in points.values() for value in group.values()} <= names.keys()


def test_every_group_of_plugins_is_described():
    text = (DOCS / "plugins.md").read_text("utf-8")
    assert set(re.findall(r"^\| `solo_hub\.(\w+)` \|", text, re.MULTILINE)) == set(GROUPS)
    assert Path(ROOT / "tests" / "sample_plugin").is_dir()
