from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

import solo_hub.publishing

MODULES = [module.name for module in pkgutil.iter_modules(solo_hub.publishing.__path__)]


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings_are_true(name):
    module = importlib.import_module(f"solo_hub.publishing.{name}")
    assert doctest.testmod(module).failed == 0


def test_there_are_examples():
    finder = doctest.DocTestFinder(exclude_empty=True)
    modules = [importlib.import_module(f"solo_hub.publishing.{name}") for name in MODULES]
    assert sum(len(test.examples) for module in modules for test in finder.find(module)) >= 8
