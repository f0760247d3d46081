import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from solo_hub.knowledge.chains import (
    Claims,
    Pool,
    Weights,
    chain_probabilities,
    choose_facts,
    option_support,
    score_chains,
)


def test_score_by_hand():
    """Words a b c d, idf 1 2 3 4. Claim {a, d}. Facts f = {a, b, c}, g = {c, d}; vectors (1, 0), (0, 1), claim (1, 0).

    coverage  |{a, d}| / |{a, d}|                         = 5 / 5
    precision (|{a, c}| + |{c, d}|) / (|f| + |g|)          = (4 + 7) / (6 + 7)
    link      |{c}| = 3 of 6                               = 0.5
    meaning   cos((1, 0), (1, 1))                          = 0.7071
    """
    pool = Pool(
        holds=np.array([[1, 1, 1, 0], [0, 0, 1, 1]], dtype=np.float32),
        idf=np.array([1, 2, 3, 4], dtype=np.float32),
        vectors=np.eye(2, dtype=np.float32),
    )
    claims = Claims(
        words=np.array([[True, False, False, True]]),
        totals=np.array([5], dtype=np.float32),
        vectors=np.array([[1, 0]], dtype=np.float32),
    )
    weights = Weights(coverage=2, precision=1, link=0.5, meaning=1, link_enough=6)
    scores = score_chains(pool, claims, weights)
    assert scores.shape == (1, 2, 2)
    assert scores[0, 0, 1] == pytest.approx(2 + 11 / 13 + 0.25 + 0.70711, abs=1e-4)
    assert scores[0, 0, 1] == scores[0, 1, 0]
    assert scores[0, 0, 0] == -np.inf


def test_probabilities_by_hand():
    """One claim, three facts: scores 0 (0-1), ln 2 (0-2), 0 (1-2) give 1/4, 1/2, 1/4."""
    scores = np.full((1, 3, 3), -np.inf, dtype=np.float32)
    for (i, j), value in {(0, 1): 0.0, (0, 2): np.log(2), (1, 2): 0.0}.items():
        scores[0, i, j] = scores[0, j, i] = value
    chains = chain_probabilities(scores, sharpness=1.0)
    assert chains[0, 2] == pytest.approx(0.5)
    assert chains[0, 1] == chains[1, 2] == pytest.approx(0.25)
    kept = chain_probabilities(scores, sharpness=1.0, keep=1)
    assert kept[0, 2] == pytest.approx(1.0)


def test_probabilities_empty():
    assert chain_probabilities(np.zeros((2, 0, 0), dtype=np.float32), 1.0).shape == (0, 0)
    assert chain_probabilities(np.full((2, 1, 1), -np.inf, dtype=np.float32), 1.0).tolist() == [[0.0]]


def test_support_by_hand():
    """Two claims, one pair of facts: scores 0 and ln 3 give probabilities 1/4 and 3/4; sharper ones 1/10 and 9/10."""
    scores = np.full((2, 2, 2), -np.inf, dtype=np.float32)
    scores[0, 0, 1] = scores[0, 1, 0] = 0.0
    scores[1, 0, 1] = scores[1, 1, 0] = np.log(3)
    assert np.exp(option_support(scores, 1.0)) == pytest.approx([1 / 4, 3 / 4])
    assert np.exp(option_support(scores, 2.0)) == pytest.approx([1 / 10, 9 / 10])


def test_support_empty():
    assert np.exp(option_support(np.full((2, 1, 1), -np.inf, dtype=np.float32), 1.0)) == pytest.approx([0.5, 0.5])
    assert np.exp(option_support(np.zeros((4, 0, 0), dtype=np.float32), 1.0)) == pytest.approx([0.25] * 4)


@given(st.integers(1, 5), st.integers(2, 6), st.floats(0.1, 50), st.integers(0, 2**31))
def test_support_is_a_distribution(options, facts, sharpness, seed):
    scores = np.random.default_rng(seed).normal(0, 3, (options, facts, facts)).astype(np.float32)
    support = option_support(scores, sharpness)
    assert np.isfinite(support).all()
    assert np.exp(support).sum() == pytest.approx(1)


def chains_of(size, pairs):
    chains = np.zeros((size, size), dtype=np.float32)
    for (i, j), value in pairs.items():
        chains[i, j] = chains[j, i] = value
    return chains


def test_choice_takes_whole_chains():
    """Fact 0 is in three weak chains, facts 4 and 5 in one strong one: with room for two the strong one wins."""
    chains = chains_of(6, {(0, 1): 0.15, (0, 2): 0.15, (0, 3): 0.15, (4, 5): 0.4})
    assert set(choose_facts(chains, 2)) == {4, 5}
    # With room for four the next facts come as a chain as well, the hub first.
    assert choose_facts(chains, 4)[2] == 0


def test_choice_fills_up_when_no_chain_is_left():
    assert sorted(choose_facts(chains_of(4, {(1, 2): 1.0}), 4)) == [0, 1, 2, 3]


def test_choice_empty():
    assert choose_facts(np.zeros((0, 0), dtype=np.float32), 5) == []
    assert choose_facts(chains_of(3, {(0, 1): 1.0}), 0) == []


@given(st.integers(0, 8), st.integers(0, 10), st.integers(0, 2**32 - 1))
def test_choice_is_distinct_and_complete(size, count, seed):
    values = np.random.default_rng(seed).random((size, size), dtype=np.float32)
    chains = np.triu(values, 1) + np.triu(values, 1).T
    chosen = choose_facts(chains, count)
    assert len(chosen) == len(set(chosen)) == min(size, count)
