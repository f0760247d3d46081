import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from letters import FACTS, corpus

from solo_hub.core.errors import ConfigError, RunError
from solo_hub.core.plugins import Retriever
from solo_hub.core.records import Document, Question
from solo_hub.knowledge.bm25 import BM25Retriever
from solo_hub.knowledge.fused import FusedRetriever
from solo_hub.knowledge.index import KnowledgeIndex
from solo_hub.knowledge.ranking import BLOCK
from solo_hub.knowledge.retrieval import DenseRetriever
from solo_hub.knowledge.two_step import PerOptionRetriever, TwoStepRetriever

METHODS = (DenseRetriever, BM25Retriever, FusedRetriever, TwoStepRetriever, PerOptionRetriever)
QUESTION = Question("q", "What can preserve food?", ("salting", "iron", "sunlight"))


def ids(retrieval):
    return [passage.id for passage in retrieval.passages]


@pytest.mark.parametrize("method", METHODS)
def test_promises_of_every_method(method, index, embedder):
    retriever = method(index, embedder, {})
    assert isinstance(retriever, Retriever)
    questions = [QUESTION, Question("other", "Does wet iron rust?"), QUESTION]
    done = []
    found = retriever.retrieve(questions, 3, done.append)
    assert [r.question_id for r in found] == ["q", "other", "q"]
    assert sum(done) == 3
    for retrieval in found:
        assert 0 < len(retrieval.passages) <= 3
        assert len(set(ids(retrieval))) == len(retrieval.passages)
        assert {p.text for p in retrieval.passages} <= set(FACTS)
        assert all(p.source == "facts" for p in retrieval.passages)
    assert found[0] == found[2]


@pytest.mark.parametrize("method", METHODS)
def test_progress_is_told_as_it_goes(method, index, embedder):
    """A bar that moves, and a Ctrl-C that is heard, between any two blocks; and the answers do not depend on blocks."""
    questions = [Question(f"q{i}", QUESTION.text, QUESTION.options) for i in range(2 * BLOCK + 1)]
    done = []
    retriever = method(index, embedder, {})
    found = retriever.retrieve(questions, 2, done.append)
    assert sum(done) == len(questions)
    assert max(done) <= BLOCK
    assert {tuple(ids(retrieval)) for retrieval in found} == {tuple(ids(retriever.retrieve(questions[:1], 2)[0]))}

    def stop(_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        retriever.retrieve(questions, 2, stop)


@pytest.mark.parametrize("method", METHODS)
def test_nothing_asked_empty(method, index, embedder):
    retriever = method(index, embedder, {})
    assert retriever.retrieve([], 3) == []
    assert retriever.retrieve([QUESTION], 0)[0].passages == ()


@pytest.mark.parametrize("method", METHODS)
def test_more_passages_than_documents(method, tmp_path, embedder):
    single = KnowledgeIndex.build(corpus(FACTS[:1]), embedder, tmp_path / "one")
    assert ids(method(single, embedder, {}).retrieve([QUESTION], 10)[0]) == ["d0"]


@pytest.mark.parametrize("method", METHODS)
def test_twins_are_given_once(method, tmp_path, embedder):
    twins = [Document(f"t{i}", "Salting preserves food.") for i in range(5)] + corpus()
    retriever = method(KnowledgeIndex.build(twins, embedder, tmp_path / "twins"), embedder, {})
    texts = [p.text for p in retriever.retrieve([QUESTION], 5)[0].passages]
    assert len(texts) == len(set(texts))


def test_fused_is_the_sum_of_reciprocal_ranks_of_what_both_give(tmp_path, embedder):
    """Worked out from the passages that dense and bm25 give, twins among them."""
    twins = [Document(f"t{i}", text) for i, text in enumerate(FACTS[:3] * 2)] + corpus()
    index = KnowledgeIndex.build(twins, embedder, tmp_path / "twins")
    scores, texts = {}, {}
    for method in (DenseRetriever, BM25Retriever):
        for rank, passage in enumerate(method(index, embedder, {}).retrieve([QUESTION], 100)[0].passages, start=1):
            scores[passage.id] = scores.get(passage.id, 0.0) + 1 / (60 + rank)
            texts[passage.id] = passage.text
    best = sorted(scores, key=lambda name: -scores[name])[:4]
    found = FusedRetriever(index, embedder, {}).retrieve([QUESTION], 4)[0].passages
    assert [(p.id, p.text, p.score) for p in found] == [(name, texts[name], scores[name]) for name in best]


@pytest.mark.parametrize("method", [DenseRetriever, FusedRetriever])
def test_what_a_search_fills_up_with_is_no_passage(method, index, embedder, monkeypatch):
    """An approximate search that finds one document gives row -1 for the rest."""
    rows = np.array([[0] + [-1] * 9])
    monkeypatch.setattr(index, "search", lambda queries, count: (rows, np.where(rows < 0, -np.inf, 1.0)))
    nothing = Question("q", "zzz")  # no word of it is in the corpus
    assert ids(method(index, embedder, {}).retrieve([nothing], 5)[0]) == ["d0"]


@pytest.mark.parametrize("method", METHODS)
def test_unknown_option_names_the_known(method, index, embedder):
    with pytest.raises(ConfigError, match="unknown option 'with_optoins'"):
        method(index, embedder, {"with_optoins": True})


def test_option_of_the_wrong_kind(index, embedder):
    with pytest.raises(ConfigError, match="retriever 'two_step': 'claim_depth' cannot be 'many'"):
        TwoStepRetriever(index, embedder, {"claim_depth": "many"})
    with pytest.raises(ConfigError, match="cannot be True"):
        TwoStepRetriever(index, embedder, {"claim_depth": True})
    assert TwoStepRetriever(index, embedder, {"meaning": 2}).options.meaning == 2.0


@pytest.mark.parametrize("method", [DenseRetriever, FusedRetriever, TwoStepRetriever])
def test_vectors_of_another_model_are_refused(method, index, embedder):
    embedder.identity = "other@1"
    with pytest.raises(RunError, match="was built with"):
        method(index, embedder, {})


def test_bm25_reads_options_when_told(index, embedder):
    question = Question("q", "Which of these?", ("magnet",))
    assert ids(BM25Retriever(index, embedder, {"with_options": True}).retrieve([question], 3)[0]) == ["d4"]
    assert ids(BM25Retriever(index, embedder, {}).retrieve([question], 3)[0]) == []


def test_both_facts_of_a_chain_are_found(index, embedder):
    """Food is preserved by dehydrating (d0), dehydration is done by salting (d1): the option finds both."""
    assert set(ids(PerOptionRetriever(index, embedder, {}).retrieve([QUESTION], 2)[0])) == {"d0", "d1"}
    # BM25 finds both only when it is told the option; the dense ranking of letters finds neither by meaning.
    alone = Question("q", QUESTION.text)
    assert "d1" not in ids(BM25Retriever(index, embedder, {}).retrieve([alone], 2)[0])


def test_chains_speak_for_the_option_they_lead_to(index, embedder):
    (found,) = PerOptionRetriever(index, embedder, {}).retrieve([QUESTION], 2)
    assert found.option_support is not None
    assert QUESTION.options[int(np.argmax(found.option_support))] == "salting"
    assert np.exp(found.option_support).sum() == pytest.approx(1)
    assert TwoStepRetriever(index, embedder, {}).retrieve([QUESTION], 2)[0].option_support is None
    (alone,) = PerOptionRetriever(index, embedder, {}).retrieve([Question("q", QUESTION.text)], 2)
    assert alone.option_support is None  # nothing to compare


def test_two_step_does_not_read_options(index, embedder):
    retriever = TwoStepRetriever(index, embedder, {})
    with_options, without = QUESTION, Question("q", QUESTION.text)
    assert retriever.retrieve([with_options], 4) == retriever.retrieve([without], 4)
    assert PerOptionRetriever(index, embedder, {}).retrieve([without], 4) == retriever.retrieve([without], 4)


TEXT = st.text(max_size=30).filter(lambda t: t.isprintable())


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=TEXT, options=st.lists(TEXT, max_size=4), count=st.integers(0, 12))
def test_any_question_is_answered(index, embedder, text, options, count):
    """Empty texts, unknown words, equal options: every method gives at most what was asked, each document once."""
    question = Question("q", text, tuple(options))
    for method in METHODS:
        (retrieval,) = method(index, embedder, {}).retrieve([question], count)
        assert len(retrieval.passages) <= count
        assert len(set(ids(retrieval))) == len(retrieval.passages)


def test_one_question_or_many_give_the_same(index, embedder):
    questions = [Question(str(i), text, ("iron", "water")) for i, text in enumerate(FACTS * 5)]
    retriever = PerOptionRetriever(index, embedder, {})
    together = retriever.retrieve(questions, 4)
    alone = [retriever.retrieve([question], 4)[0] for question in questions]
    assert [ids(r) for r in together] == [ids(r) for r in alone]
