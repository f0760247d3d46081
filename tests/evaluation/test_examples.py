"""The examples in docstrings are true."""

from __future__ import annotations

import doctest
import importlib

import pytest


@pytest.mark.parametrize(
    "name", ["evaluation.report.format", "evaluation.report.plots", "evaluation.tokenization", "models.options"]
)
def test_examples_in_docstrings(name):
    results = doctest.testmod(importlib.import_module(f"solo_hub.{name}"))
    assert results.attempted > 0
    assert results.failed == 0


def test_importing_evaluation_stays_light():
    import subprocess
    import sys

    code = (
        "import sys, solo_hub.evaluation.report.report, solo_hub.evaluation.report.page;"
        "import solo_hub.evaluation.external_answers;"
        "heavy = {'torch', 'transformers', 'datasets', 'evaluate', 'scipy', 'pandas', 'nltk'} & set(sys.modules);"
        "sys.exit(', '.join(sorted(heavy)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
