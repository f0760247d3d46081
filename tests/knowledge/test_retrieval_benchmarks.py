"""The parts of the retrieval benchmarks that can be checked by hand; the measurements are their own runs."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

from solo_hub.core.records import Passage, Question, Retrieval

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def load(monkeypatch):
    """Imports a benchmark as its own run would."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))

    def loaded(name):
        spec = importlib.util.spec_from_file_location(f"{name}_benchmark", BENCHMARKS / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    yield loaded
    sys.modules.pop("retrieval", None)


ROWS = [
    {"fact1": "Ice melts.", "fact2": "Water flows.", "answerKey": "B", "choices": {"label": ["A", "B"]}},
    {"fact1": "Iron rusts.", "fact2": "Rust is red.", "answerKey": "A", "choices": {"label": ["A", "B"]}},
]


def found(number, texts, support=None):
    return Retrieval(str(number), tuple(Passage(text, text, 1.0) for text in texts), support)


def test_both_facts_by_hand(load):
    """The first question's facts are first and fifth: both within 6, not within 4. Of the second's one is missing.

    The chains say B and B, the answers are B and A: one of two right.
    """
    other = ["a", "b", "c"]
    retrievals = [
        found(1, ["water flows", *other, "Ice melts"], (-2.0, -0.1)),
        found(2, ["Iron rusts", *other], (-2.0, -0.1)),
    ]
    line = load("qasc_retrieval").facts_found(retrievals, ROWS)
    assert [line[f"both_facts_within_{count}"]["value"] for count in (4, 6, 10)] == [0.0, 0.5, 0.5]
    assert line["chains_alone"]["value"] == 0.5
    alone = [found(1, other), found(2, other, (-2.0, -0.1))]
    assert "chains_alone" not in load("qasc_retrieval").facts_found(alone, ROWS)


def test_what_was_found_is_not_looked_for_again(load, tmp_path, index, embedder):
    benchmark = load("qasc_retrieval")
    questions = [Question("q1", "What preserves food?", ("salting", "iron"))]
    first = benchmark.find("per-option", index, embedder, questions, tmp_path)
    assert first[0].option_support is not None
    embedder.asked.clear()
    assert benchmark.find("per-option", index, embedder, questions, tmp_path) == first
    assert embedder.asked == []


def test_exact_rows_and_synthetic_vectors(load, tmp_path):
    """Five vectors become 12: the first five as they are, each other one near the one it was copied from."""
    benchmark = load("retrieval")
    vectors = np.eye(64, dtype=np.float16)[:5]
    made = benchmark.synthesize(vectors, 12, tmp_path / "made.f16")
    np.testing.assert_array_equal(made[:5], vectors)
    lengths = np.linalg.norm(np.asarray(made, dtype=np.float32), axis=1)
    np.testing.assert_allclose(lengths, 1.0, atol=2e-3)
    near = benchmark.exact_rows(made, np.asarray(vectors, dtype=np.float32), 2)
    assert near[:, 0].tolist() == [0, 1, 2, 3, 4]
    assert near[0, 1] in (5, 10)


def test_measured_once(load, tmp_path):
    benchmark = load("retrieval")
    assert benchmark.kept(tmp_path / "a.json", lambda: [1]) == [1]
    assert benchmark.kept(tmp_path / "a.json", lambda: pytest.fail("measured again")) == [1]


def test_sentences_are_the_same_whenever_they_are_asked_for(load):
    sentences = load("word_index").Sentences(20_001)
    assert len({sentences[row].text for row in (0, 1, 9_999, 10_000, 20_000)}) == 5
    assert load("word_index").Sentences(20_001)[10_000] == sentences[10_000]
    with pytest.raises(IndexError):
        sentences[20_001]
