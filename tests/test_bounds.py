"""Versions in pyproject.toml: one bound a package, and an upper one where a new version has broken us or may."""

from __future__ import annotations

import tomllib
from collections import defaultdict
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]


def bounds():
    """Package -> every bound it is given anywhere."""
    found = defaultdict(set)
    for lines in (PROJECT["dependencies"], *PROJECT["optional-dependencies"].values()):
        for line in lines:
            needed = Requirement(line)
            if needed.name != PROJECT["name"]:
                found[needed.name].add(str(needed.specifier))
    return found


def test_a_package_has_one_bound():
    """But TRL: its experimental part, which `sdft` uses, may change with every minor version."""
    assert {name for name, given in bounds().items() if len(given) > 1} == {"trl"}


@pytest.mark.parametrize(
    "name",
    ["torch", "transformers", "peft", "accelerate", "bitsandbytes", "gguf", "starlette", "trl", "datasets",
     "huggingface-hub", "evaluate", "bert-score", "gradio", "text-embeddings-inference-client"],
)  # fmt: skip
def test_what_may_break_us_has_an_upper_bound(name):
    assert all("<" in given for given in bounds()[name])


def test_the_versions_tried_together_are_within_the_bounds():
    given = bounds()
    for line in (ROOT / "constraints.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            pinned = Requirement(line)
            version = str(pinned.specifier).removeprefix("==")
            assert all(Requirement(f"x{bound}").specifier.contains(version) for bound in given[pinned.name]), line
