"""What is tried out before the first label is saved call by call."""

from __future__ import annotations

import math

import pytest
from tiny import FakeEngine

from solo_hub.core.files import Appender
from solo_hub.core.plugins import Prompt
from solo_hub.teacher.trials import SavedCalls

PROMPTS = [Prompt("Question: rain? Answer:"), Prompt("Question: hail? Answer:")]
TEXTS = [[" yes", " no"], [" yes"]]


def by_length(prompt, answer):
    return -len(answer) / 3


def test_a_completed_call_is_not_made_again(tmp_path):
    path = tmp_path / "calls"
    with Appender(path) as file:
        saved = SavedCalls(FakeEngine(by_length, says=lambda prompt: "all of it"), path, file)
        scores, written = saved.score(PROMPTS, TEXTS), saved.generate(PROMPTS, 2)
    with Appender(path) as file:
        again = FakeEngine(None)  # would score nothing
        saved = SavedCalls(again, path, file)
        assert saved.score(PROMPTS, TEXTS) == scores == [[-4 / 3, -1.0], [-4 / 3]]
        assert saved.generate(PROMPTS, 2) == written
        assert again.calls == []
        assert saved.score(PROMPTS[:1], TEXTS[:1]) == [None]  # another call
        assert saved.context_length == 1000  # of the engine


def test_another_model_is_asked_itself(tmp_path):
    path = tmp_path / "calls"
    with Appender(path) as file:
        SavedCalls(FakeEngine(by_length), path, file).score(PROMPTS, TEXTS)
        other = FakeEngine(lambda prompt, answer: -9.0, identity="another")
        assert SavedCalls(other, path, file).score(PROMPTS, TEXTS) == [[-9.0, -9.0], [-9.0]]


def test_scores_that_are_not_finite_end_the_run_and_are_not_kept(tmp_path):
    path = tmp_path / "calls"
    with Appender(path) as file:
        (row,) = SavedCalls(FakeEngine(lambda *_: math.nan), path, file).score(PROMPTS[:1], TEXTS[:1])
        assert row == pytest.approx([math.nan, math.nan], nan_ok=True)
    assert path.read_text() == ""
