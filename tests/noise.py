"""Warnings of other people's libraries in a whole run, which are errors elsewhere in these tests."""

from __future__ import annotations

import pytest

LIBRARIES_WARN = [
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]
PEFT_WARNS = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
"""peft 0.21 asks transformers 5.23 by a name that is going to change."""
