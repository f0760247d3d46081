"""The arrows of the house: imports point downwards only, and nothing heavy is loaded before it is needed."""

from __future__ import annotations

import ast
import graphlib
import json
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

import solo_hub

ROOT = Path(solo_hub.__file__).parent

ROOMS = (
    "core", "hub", "models", "run", "tasks", "knowledge", "curation", "teacher", "selection", "student", "evaluation",
    "publishing", "pipeline", "checks", "cli",
)  # fmt: skip
"""The rooms from the ground up, and the page. A room imports itself and those before it; what is new finds its room."""
BESIDE = ({"selection", "teacher"},)
"""Rooms on one floor, which do not import one another."""
HEAVY = {
    "torch", "transformers", "peft", "datasets", "huggingface_hub", "sentence_transformers", "faiss", "bm25s",
    "evaluate", "bert_score", "scipy", "gradio", "starlette", "uvicorn", "pyarrow",
}  # fmt: skip


def parts(folder=ROOT):
    """Every module with the part of the house it is in."""
    for path in sorted(folder.rglob("*.py")):
        inside = path.relative_to(folder)
        yield path, inside.parts[0].removesuffix(".py")


def imported(tree):
    """Parts of solo_hub a module imports, anywhere in it: at the top, in functions, for the type checker."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            first, *rest = name.split(".")
            if first == "solo_hub" and rest:
                yield rest[0] if rest[0] in PARTS else "__init__"


PARTS = {part for _, part in parts()}


def wrong_arrows(part, tree):
    """Imports of a room that stands above the part, or beside it."""
    found = []
    for other in imported(tree):
        if part == other or "__init__" in (part, other):
            continue
        beside = any({part, other} <= floor for floor in BESIDE)
        if ROOMS.index(other) > ROOMS.index(part) or beside:
            found.append(f"{part} -> {other}")
    return found


def test_the_rooms_are_these():
    """A new file or folder at the top fails here: it belongs into a room."""
    there = {path.name.removesuffix(".py") for path in ROOT.iterdir()} - {"__pycache__"}
    assert there - {"__init__", "py.typed", "presets", "_cards", "_spaces"} <= set(ROOMS)
    assert PARTS - {"__init__"} <= set(ROOMS)
    assert len(ROOMS) <= 15


def test_known_answers_are_read_above_the_student_alone():
    """Labelling, selection and training have no way to an answer: only the evaluation reads one."""
    readers = {"golds_of", "load_golds", "gold_columns"}
    below = ROOMS[: ROOMS.index("evaluation")]
    found = {
        f"{path.relative_to(ROOT)}: {name}"
        for path, part in parts()
        if part in below and part not in ("core", "tasks", "run")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if (name := getattr(node, "attr", getattr(node, "id", None))) in readers
    }
    assert found == set()


@pytest.mark.parametrize("part", sorted(PARTS))
def test_imports_point_downwards(part):
    wrong = {
        str(path.relative_to(ROOT)): arrows
        for path, its_part in parts()
        if its_part == part and (arrows := wrong_arrows(part, ast.parse(path.read_text("utf-8"))))
    }
    assert wrong == {}


@pytest.mark.parametrize(
    ("part", "source", "wrong"),
    [
        ("teacher", "from solo_hub.selection import llkd", ["teacher -> selection"]),
        ("student", "from solo_hub.teacher import style", []),
        ("student", "from solo_hub import evaluation", ["student -> evaluation"]),
        ("models", "def f():\n    import solo_hub.pipeline", ["models -> pipeline"]),
        ("run", "from solo_hub.core.plugins import Task", []),
        ("core", "from solo_hub.models.prompts import LETTERS", ["core -> models"]),
        ("cli", "from solo_hub import __version__, pipeline", []),
        ("teacher", "from solo_hub.teacher.style import STYLES\nimport torch", []),
    ],
)
def test_this_test_can_fail(part, source, wrong):
    assert wrong_arrows(part, ast.parse(source)) == wrong


def test_no_import_circles_in_hub():
    """Also none by an import inside a function or for the type checker: each file can be read before its users."""
    modules = {
        ".".join(path.relative_to(ROOT.parent).with_suffix("").parts): path for path, part in parts() if part == "hub"
    }
    graph = {}
    for name, path in modules.items():
        nodes = [node for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.ImportFrom)]
        taken = {f"{node.module}.{alias.name}" for node in nodes for alias in node.names} | {
            node.module for node in nodes
        }
        graph[name] = (taken & set(modules)) - {name}
    assert any(graph.values())
    graphlib.TopologicalSorter(graph).prepare()  # raises CycleError, which names the circle


def test_no_relative_imports():
    relative = [
        str(path)
        for path, _ in parts()
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.ImportFrom) and node.level
    ]
    assert relative == []


def test_no_part_is_named_like_the_standard_library():
    """`select.py` at the top breaks `subprocess` for whoever runs a script in that folder."""
    assert (PARTS - {"__init__"}) & set(sys.stdlib_module_names) == set()


def test_no_print_in_the_library():
    prints = [
        f"{path.name}:{node.lineno}"
        for path, _ in parts()
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
    ]
    assert prints == []


def test_help_and_wrong_use_load_nothing_heavy():
    """`solo-hub --help`, every command's --help and a wrong command: what is loaded after each, in one process."""
    script = """
import contextlib, io, json, sys
from solo_hub.cli import main
found = {}
def look(name):
    found[name] = sorted({module.split(".")[0] for module in sys.modules})
look("import")
for arguments in [["--help"], ["--version"], ["distil"], *[[name, "--help"] for name in main.COMMANDS]]:
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        code = main.run(arguments)
    assert code == (2 if arguments == ["distil"] else 0), (arguments, code)
    look(" ".join(arguments))
json.dump(found, sys.stdout)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    heavy = {name: set(modules) & HEAVY for name, modules in json.loads(done.stdout).items()}
    assert {name: modules for name, modules in heavy.items() if modules} == {}


def test_the_library_is_light_to_import():
    """Every module outside the steps' heavy corners can be imported without its extras."""
    names = [
        "pipeline", "run.context", "evaluation.arms.arms", "publishing.step", "teacher.labelling", "student.training",
        "models.causal",
    ]  # fmt: skip
    script = f"import sys, importlib\nfor n in {names!r}: importlib.import_module('solo_hub.' + n)\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    loaded = {name.split(".")[0] for name in done.stdout.split()}
    assert loaded & {"torch", "transformers", "peft", "sentence_transformers", "evaluate", "gradio"} == set()


def test_one_version():
    assert metadata.version("solo-hub") == solo_hub.__version__
