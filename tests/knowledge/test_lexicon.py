from collections.abc import Sequence
from functools import partial

import numpy as np
import pytest
from letters import FACTS
from memory import peak_of

from solo_hub.core.records import Document
from solo_hub.knowledge import counting
from solo_hub.knowledge.index import WORDS, KnowledgeIndex
from solo_hub.knowledge.lexicon import Lexicon
from solo_hub.knowledge.ranking import top, top_of_sparse
from solo_hub.knowledge.words import TOKENIZER, Analysis


class Texts(Sequence):
    """Documents made when they are asked for: five of 300 words each."""

    def __init__(self, count):
        self.count = count

    def __len__(self):
        return self.count

    def __getitem__(self, row):
        if not 0 <= row < self.count:
            raise IndexError(row)
        return Document(str(row), " ".join(f"w{(row * step) % 300}x" for step in (1, 3, 7, 11, 13)))


@pytest.fixture
def lexicon_of(tmp_path):
    """Makes the word index of some texts."""
    made = iter(range(99))

    def make(texts):
        documents = texts if isinstance(texts, Texts) else [Document(str(n), text) for n, text in enumerate(texts)]
        return Lexicon.open_or_build(tmp_path / f"words-{next(made)}", documents)

    return make


TEXTS = ("red apple red", "green apple", "blue sky over green grass")


def test_bm25_by_hand(lexicon_of):
    """Three documents of 3, 2 and 4 words ("over" is a stop word), mean 3. "red" in the first: n = 1, f = 2, |d| = 3:
    ln(1 + (3 - 1 + 0.5) / (1 + 0.5)) * 2 / (2 + 1.5 * (1 - 0.75 + 0.75 * 1)) = 0.98083 * 2 / 3.5 = 0.56047
    """
    lexicon = lexicon_of(TEXTS)
    ((rows, scores),) = lexicon.search([lexicon.encode("red")], 5)
    assert rows.tolist() == [0]
    assert scores[0] == pytest.approx(0.56047, abs=1e-5)


def test_bm25_equals_bm25s(lexicon_of):
    import bm25s

    texts = [f"{a} {b} {a if i % 3 else ''}" for i, (a, b) in enumerate(zip(FACTS, FACTS[::-1], strict=True))]
    theirs = bm25s.BM25(method="lucene", k1=1.5, b=0.75)
    ours = lexicon_of(texts)
    words = ours.analysis.words
    theirs.index([words(text) for text in texts], show_progress=False)
    for query in ("iron water magnets", "dehydrated food", "bees"):
        scores = np.zeros(len(texts))
        ((rows, values),) = ours.search([ours.encode(query)], len(texts))
        scores[rows] = values
        known = sorted({word for word in words(query) if word in ours.ids})
        np.testing.assert_allclose(scores, theirs.get_scores(known), atol=1e-5)


def test_kept_on_disk(index):
    built = index.lexicon
    again = Lexicon.open_or_build(index.folder / index.manifest.generation / WORDS, ())  # nothing to build from
    assert again.document_count == built.document_count == len(FACTS)
    assert list(again.vocabulary) == list(built.vocabulary)
    assert (again.postings != built.postings).nnz == 0


ARRAYS = ("postings_ends", "postings_documents", "postings_weights", "contents_ends", "contents_words")


def same_words(one, other):
    assert list(one.vocabulary) == list(other.vocabulary)
    for name in ARRAYS:
        np.testing.assert_array_equal(one._arrays[name], other._arrays[name])


@pytest.mark.parametrize("part", [1, 3, 8])
def test_parts_make_the_same_index(lexicon_of, monkeypatch, part):
    """Read one, three or all eight facts at a time, twice over so that words come back in later parts."""
    whole = lexicon_of(FACTS * 2)
    monkeypatch.setattr(counting, "PART", part)
    same_words(lexicon_of(FACTS * 2), whole)


def test_killed_build_goes_on_after_the_last_part(tmp_path, monkeypatch, lexicon_of):
    """Parts of three; the machine stops at the eighth text: the first six are not read again."""
    monkeypatch.setattr(counting, "PART", 3)
    documents = [Document(str(number), text) for number, text in enumerate(FACTS)]
    read = []

    words = Analysis.words

    def stop(analysis, text):
        if text == FACTS[7]:
            raise KeyboardInterrupt
        return words(analysis, text)

    monkeypatch.setattr(Analysis, "words", stop)
    with pytest.raises(KeyboardInterrupt):
        Lexicon.open_or_build(tmp_path / "words", documents)
    assert not (tmp_path / "words").exists()
    monkeypatch.setattr(Analysis, "words", lambda analysis, text: read.append(text) or words(analysis, text))
    done = []
    again = Lexicon.open_or_build(tmp_path / "words", documents, done.append)
    assert read == list(FACTS[6:])
    assert (done[0], sum(done)) == (6, 8)
    assert {path.name for path in tmp_path.iterdir()} == {"words", ".words.lock"}
    same_words(again, lexicon_of(FACTS))


def test_what_another_version_began_is_begun_again(tmp_path, monkeypatch, lexicon_of):
    """As above, but the software is updated between: no word of the first six is taken over."""
    monkeypatch.setattr(counting, "PART", 3)
    documents = [Document(str(number), text) for number, text in enumerate(FACTS)]
    with monkeypatch.context() as patch:
        patch.setattr(Analysis, "words", lambda analysis, text: [text] if text != FACTS[7] else 1 / 0)
        patch.setattr("solo_hub.knowledge.words.TOKENIZER", TOKENIZER - 1)
        with pytest.raises(ZeroDivisionError):
            Lexicon.open_or_build(tmp_path / "words", documents)
    same_words(Lexicon.open_or_build(tmp_path / "words", documents), lexicon_of(FACTS))


def test_a_word_index_of_another_version_is_made_again(index, lexicon_of):
    """One of an earlier tokenizer, which had a folder and no `analysis.json`, and one of other rules for stems."""
    generation = index.folder / index.manifest.generation
    (generation / "words").mkdir()
    (generation / ".words-building").mkdir()
    (generation / "words" / "words.txt").write_text("dehydr\n")
    same_words(index.lexicon, lexicon_of(FACTS))
    assert {path.name for path in generation.glob("*words*")} == {WORDS, f".{WORDS}.lock"}

    about = generation / WORDS / "analysis.json"
    about.write_text(about.read_text().replace(index.lexicon.analysis.stemmer, "2.0.0"))
    (generation / WORDS / "words.txt").write_text("")
    same_words(KnowledgeIndex.open(index.folder).lexicon, lexicon_of(FACTS))
    assert Analysis.read(generation / WORDS) == index.lexicon.analysis


def test_questions_are_read_as_the_documents_were(lexicon_of):
    """German rules for the questions of a German corpus: "Vulkanen" meets "Vulkane"."""
    lexicon = lexicon_of(["Die Vulkane speien Asche und Lava.", "Die Bienen machen Honig."])
    assert lexicon.analysis.language == "de"
    ((rows, _),) = lexicon.search([lexicon.encode("Was ist in Vulkanen?")], 1)
    assert rows.tolist() == [0]


def test_memory_of_a_build_does_not_grow_with_the_documents(lexicon_of, monkeypatch):
    """Eight times the documents over the same words, in parts of 500: the same peak, give or take bookkeeping."""
    monkeypatch.setattr(counting, "PART", 500)
    small, large = (peak_of(partial(lexicon_of, Texts(count))) for count in (1_000, 8_000))
    assert large < 2 * small


def test_sizes_are_summed_over_blocks(lexicon_of, monkeypatch):
    lexicon = lexicon_of(["", *FACTS, "of the"])
    monkeypatch.setattr("solo_hub.knowledge.lexicon.BLOCK", 3)
    expected = [lexicon.idf[lexicon.words_of(row)].sum() for row in range(10)]
    np.testing.assert_allclose(lexicon.sizes, expected, rtol=1e-5)


def test_second_facts_hold_a_link_and_a_gap(lexicon_of):
    """First fact "a b", claim "a c": the link is b, the gap c. Only the third text holds both."""
    lexicon = lexicon_of(["kiwi lemon", "lemon pear", "lemon plum", "plum pear"])
    link, gap = lexicon.encode("lemon"), lexicon.encode("plum")
    assert lexicon.second_facts([link], [gap], 3, 10.0).tolist() == [2]


def test_lexicon_empty(lexicon_of):
    lexicon = lexicon_of([])
    assert lexicon.search([lexicon.encode("red")], 3)[0][0].tolist() == []
    assert lexicon.search([], 3) == []
    assert lexicon_of(["the of"]).search([np.zeros(0, dtype=np.int32)], 3)[0][0].tolist() == []
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
