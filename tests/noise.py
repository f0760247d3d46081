"""Warnings of other people's libraries in a whole run, which are errors elsewhere in these tests."""

from __future__ import annotations

import pytest

LIBRARIES_WARN = [
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]
