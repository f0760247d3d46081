import numpy as np
import pytest
from letters import FACTS

from solo_hub.knowledge.lexicon import Lexicon
from solo_hub.knowledge.ranking import top, top_of_sparse
from solo_hub.knowledge.words import words

TEXTS = ("red apple red", "green apple", "blue sky over green grass")


def test_bm25_by_hand():
    """Three documents of 3, 2 and 4 words ("over" is a stop word), mean 3. "red" in the first: n = 1, f = 2, |d| = 3:
    ln(1 + (3 - 1 + 0.5) / (1 + 0.5)) * 2 / (2 + 1.5 * (1 - 0.75 + 0.75 * 1)) = 0.98083 * 2 / 3.5 = 0.56047
    """
    lexicon = Lexicon.build(TEXTS)
    ((rows, scores),) = lexicon.search([lexicon.encode("red")], 5)
    assert rows.tolist() == [0]
    assert scores[0] == pytest.approx(0.56047, abs=1e-5)


def test_bm25_equals_bm25s():
    import bm25s

    texts = [f"{a} {b} {a if i % 3 else ''}" for i, (a, b) in enumerate(zip(FACTS, FACTS[::-1], strict=True))]
    theirs = bm25s.BM25(method="lucene", k1=1.5, b=0.75)
    theirs.index([words(text) for text in texts], show_progress=False)
    ours = Lexicon.build(texts)
    for query in ("iron water magnets", "dehydrated food", "bees"):
        scores = np.zeros(len(texts))
        ((rows, values),) = ours.search([ours.encode(query)], len(texts))
        scores[rows] = values
        known = sorted({word for word in words(query) if word in ours.ids})
        np.testing.assert_allclose(scores, theirs.get_scores(known), atol=1e-5)


def test_kept_on_disk(index):
    built = index.lexicon
    again = Lexicon.open_or_build(index.folder / index.manifest.generation / "words", ())  # nothing to build from
    assert again.document_count == built.document_count == len(FACTS)
    assert list(again.vocabulary) == list(built.vocabulary)
    assert (again.postings != built.postings).nnz == 0


def test_second_facts_hold_a_link_and_a_gap():
    """First fact "a b", claim "a c": the link is b, the gap c. Only the third text holds both."""
    lexicon = Lexicon.build(["kiwi lemon", "lemon pear", "lemon plum", "plum pear"])
    link, gap = lexicon.encode("lemon"), lexicon.encode("plum")
    assert lexicon.second_facts([link], [gap], 3, 10.0).tolist() == [2]


def test_lexicon_empty():
    lexicon = Lexicon.build([])
    assert lexicon.search([lexicon.encode("red")], 3)[0][0].tolist() == []
    assert lexicon.search([], 3) == []
    assert Lexicon.build(["the of"]).search([np.zeros(0, dtype=np.int32)], 3)[0][0].tolist() == []
    assert lexicon.second_facts([], [], 3, 10.0).tolist() == []


def test_top_breaks_ties_by_position():
    assert top(np.array([[1, 3, 3, 2]], dtype=np.float32), 3).tolist() == [[1, 2, 3]]
    assert top(np.array([[0, 0]], dtype=np.float32), 9).tolist() == [[0, 1]]


def test_top_empty():
    assert top(np.zeros((2, 0), dtype=np.float32), 3).shape == (2, 0)
    assert top(np.zeros((0, 4), dtype=np.float32), 3).shape == (0, 3)


def test_top_of_sparse_leaves_zeros_out():
    from scipy import sparse

    rows = list(top_of_sparse(sparse.csr_array(np.array([[0, 2, 1, 2], [0, 0, 0, 0]], dtype=np.float32)), 2))
    assert [columns.tolist() for columns, _ in rows] == [[1, 3], []]
