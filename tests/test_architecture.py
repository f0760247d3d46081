"""The arrows of the house: imports point downwards only, and nothing heavy is loaded before it is needed."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

import solo_hub

ROOT = Path(solo_hub.__file__).parent

GROUND = {
    "__init__", "records", "settings", "config", "run", "run_rows", "files", "untrusted", "errors", "console",
    "plugins", "redaction",
}  # fmt: skip
SHARED = {"models", "hub", "prompts", "connections"}
STEPS = {"tasks", "knowledge", "teacher", "selection", "student", "evaluation", "publishing", "demo"}
PIPELINE = {path.stem for path in ROOT.glob("*.py")} - GROUND - SHARED | {"comparison", "jobs"}
"""Every other file at the top is about a whole run: `pipeline`, `workbench`, `arms`, `publication`, ..."""
LEVELS = (GROUND, SHARED, STEPS, PIPELINE, {"cli"})
"""From the ground up: a part imports its own level and those below; steps do not import one another."""
DOWN_TO_DATA = {("hub", "demo")}
"""`hub.seeding` puts the invented world on a Hub, and asks `demo` for it when it does."""
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


def level(part):
    return next(number for number, names in enumerate(LEVELS) if part in names)


def wrong_arrows(part, tree):
    found = []
    for other in imported(tree):
        sideways = part in STEPS and other in STEPS and part != other
        if (level(other) > level(part) or sideways) and (part, other) not in DOWN_TO_DATA:
            found.append(f"{part} -> {other}")
    return found


def test_every_part_has_its_level():
    assert set.union(*LEVELS) == PARTS
    assert {"pipeline", "workbench", "arms", "publication"} <= PIPELINE
    assert sum(map(len, LEVELS)) == len(set.union(*LEVELS))


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
        ("student", "from solo_hub.teacher import style", ["student -> teacher"]),
        ("student", "from solo_hub import evaluation", ["student -> evaluation"]),
        ("models", "def f():\n    import solo_hub.pipeline", ["models -> pipeline"]),
        ("records", "from solo_hub.core.plugins import Task", []),
        ("records", "from solo_hub.models.prompts import LETTERS", ["records -> prompts"]),
        ("cli", "from solo_hub import __version__, pipeline", []),
        ("teacher", "from solo_hub.teacher.style import STYLES\nimport torch", []),
    ],
)
def test_this_test_can_fail(part, source, wrong):
    assert wrong_arrows(part, ast.parse(source)) == wrong


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
    assert PARTS & set(sys.stdlib_module_names) == set()


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
    names = ["pipeline", "workbench", "arms", "publication", "teacher.labelling", "student.training", "models.causal"]
    script = f"import sys, importlib\nfor n in {names!r}: importlib.import_module('solo_hub.' + n)\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    loaded = {name.split(".")[0] for name in done.stdout.split()}
    assert loaded & {"torch", "transformers", "peft", "sentence_transformers", "evaluate", "gradio"} == set()


def test_one_version():
    assert metadata.version("solo-hub") == solo_hub.__version__
