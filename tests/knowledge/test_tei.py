import threading
import time

import counters
import numpy as np
import pytest
from letters import FACTS, LetterEmbedder, corpus
from loopback import FAULTS, befall
from tei_server import BROKEN, COMMIT, FAILED, MODEL, OVERLOADED, TOO_MANY, UNREADABLE, TeiServer

from solo_hub.core.errors import ModelError, RunError
from solo_hub.core.plugins import Embedder
from solo_hub.knowledge.index import KnowledgeIndex
from solo_hub.knowledge.tei import TeiEmbedder

pytest.importorskip("text_embeddings_inference_client", reason="the extra 'tei' is not installed")

EXPECTED = LetterEmbedder().embed(FACTS)


@pytest.fixture
def server():
    with TeiServer(LetterEmbedder()) as running:
        yield running


@pytest.fixture
def connect():
    made = []

    def make(*servers, **settings):
        embedder = TeiEmbedder([s.url for s in servers], **{"pause": 0.01, "attempts": 4, "timeout": 5.0} | settings)
        made.append(embedder)
        return embedder

    yield make
    for embedder in made:
        embedder.close()


def test_batches_fit_the_server(server, connect):
    embedder = connect(server)
    done = []
    np.testing.assert_allclose(embedder.embed(FACTS, done.append), EXPECTED, atol=1e-6)
    assert isinstance(embedder, Embedder)
    assert embedder.identity == f"{MODEL}@{COMMIT}"
    assert [len(texts) for texts in server.requests] == [4, 4]
    assert sum(done) == len(FACTS)


def test_embed_empty(server, connect):
    assert connect(server).embed([]).shape == (0, 0)
    assert connect(server, dimension=26).embed([]).shape == (0, 26)
    assert server.requests == []


def test_nothing_is_sent_before_it_is_needed():
    TeiEmbedder("http://127.0.0.1:9").close()


@pytest.mark.parametrize("trouble", [OVERLOADED, FAILED, BROKEN, "page", "dropped"])
def test_passing_trouble_is_waited_out(server, connect, trouble):
    server.trouble(trouble, 3)
    np.testing.assert_allclose(connect(server).embed(FACTS), EXPECTED, atol=1e-6)
    assert server.troubles == []


@pytest.mark.parametrize("trouble", ["slow", "drip"])
def test_slow_answer_is_asked_again(server, connect, trouble):
    """Dripping, two vectors would take a minute, and no byte of them would be late."""
    server.trouble(trouble)
    begun = time.monotonic()
    np.testing.assert_allclose(connect(server, timeout=0.8).embed(FACTS[:2]), EXPECTED[:2], atol=1e-6)
    assert time.monotonic() - begun < 10
    assert server.troubles == []


# what may befall a request for vectors; and before it, those for /health and /info
FALLS = [(index, fault) for fault in FAULTS for index in (0, 1, 2)]


def met_at(server, connect, index, fault):
    """Embed with one fault at one request; two texts a request, several requests under way."""
    server.asked, server.faults = 0, {index: fault}
    embedder = connect(server, timeout=0.5)
    np.testing.assert_allclose(embedder.embed(FACTS), EXPECTED, atol=1e-6)
    assert server.faults == {}
    counters.count("faults")


@pytest.mark.parametrize(("index", "fault"), FALLS, ids=lambda value: str(value)[:12])
def test_a_fault_of_any_kind_passes(server, connect, index, fault):
    met_at(server, connect, index, fault)


@pytest.mark.soak
@pytest.mark.timeout(0)
def test_every_request_meets_every_fault(connect):
    with TeiServer(LetterEmbedder(), batch=1) as server:
        for fault in (*FAULTS, "drip", (424, "inference failed"), (529, "overloaded")):
            for index in range(2 + len(FACTS)):
                met_at(server, connect, index, fault)


def test_a_busy_server_is_asked_less(server, connect):
    """The same back-pressure as with language models: three refusals, and one request at a time is under way."""
    embedder = connect(server)
    server.trouble(OVERLOADED, 3)
    embedder.embed(FACTS[:1])
    assert embedder.concurrency == 4
    assert embedder._calls[0].limit < 4


@pytest.mark.parametrize(
    ("trouble", "said"), [(OVERLOADED, "429 Model is overloaded"), ("dropped", "4 attempts"), ("page", "status 502")]
)
def test_lasting_trouble_is_told(server, connect, trouble, said):
    server.trouble(trouble, 99)
    with pytest.raises(ModelError, match=said) as caught:
        connect(server).embed(FACTS)
    assert server.url in str(caught.value)


def test_too_large_a_batch_is_halved(server, connect):
    embedder = connect(server)
    assert embedder.limits[0].batch == 4
    server.batch = 1  # restarted with another limit
    np.testing.assert_allclose(embedder.embed(FACTS), EXPECTED, atol=1e-6)


def test_too_large_a_body_is_halved(server, connect):
    server.payload = 150
    np.testing.assert_allclose(connect(server).embed(FACTS), EXPECTED, atol=1e-6)


@pytest.mark.parametrize(
    ("trouble", "said"),
    [(TOO_MANY, "413 Validation: `inputs` must have less than 256 tokens"), (UNREADABLE, "422 Tokenization error")],
)
def test_refused_text_is_named(server, connect, trouble, said):
    server.trouble(trouble, 99)
    with pytest.raises(ModelError, match=said) as caught:
        connect(server).embed(["Ice melts."])
    assert "'Ice melts.'" in str(caught.value)
    assert len(server.troubles) == 98  # asked once: it would be refused again


def test_token_is_sent_and_never_told(connect):
    with TeiServer(LetterEmbedder(), token="hf_secret") as server:
        np.testing.assert_allclose(connect(server, token="hf_secret").embed(FACTS), EXPECTED, atol=1e-6)
        for token in (None, "hf_wrong"):
            with pytest.raises(ModelError, match="status 401") as caught:
                connect(server, token=token).embed(FACTS)
            assert "hf_" not in str(caught.value)


def test_a_server_that_echoes_the_token(connect):
    with TeiServer(LetterEmbedder(), token="right", echoes=True) as server:
        with pytest.raises(ModelError, match=r"401 Incorrect API key provided: \*\*\*") as caught:
            connect(server, token="tulips-of-no-known-shape").embed(FACTS)
        assert "tulips" not in str(caught.value)


def test_unhealthy_server_is_not_used(server, connect):
    server.healthy = False
    with pytest.raises(ModelError, match="503 unhealthy"):
        connect(server).embed(FACTS)
    assert server.requests == []


def test_no_server_is_there():
    with pytest.raises(ModelError, match=r"127\.0\.0\.1:9 cannot be used") as caught:
        TeiEmbedder("http://127.0.0.1:9", pause=0.01, attempts=2).embed(["x"])
    assert "Check that it is running" in str(caught.value)


def test_no_server_named_empty():
    with pytest.raises(ModelError, match="No TEI server"):
        TeiEmbedder([])


def test_replicas_share_the_work(connect):
    with TeiServer(LetterEmbedder(), batch=1) as one, TeiServer(LetterEmbedder(), batch=1) as other:
        texts = [f"{fact} {i}" for i in range(8) for fact in FACTS]
        vectors = connect(one, other).embed(texts)
        np.testing.assert_allclose(vectors, LetterEmbedder().embed(texts), atol=1e-6)
        assert one.requests
        assert other.requests
        assert len(one.requests) + len(other.requests) == len(texts)


def test_a_lost_replica_hands_its_work_over(connect, caplog):
    met = threading.Event()

    class Lost(TeiServer):
        def post(self, request):
            met.set()
            befall(request, "dropped")

    class Waiting(LetterEmbedder):
        def embed(self, texts, progress=None):
            assert met.wait(5), "the lost replica was not asked"  # the other must not do all the work before
            return super().embed(texts, progress)

    with TeiServer(Waiting(), batch=1) as good, Lost(LetterEmbedder(), batch=1) as bad:
        embedder = connect(good, bad, attempts=2)
        assert embedder.limits
        np.testing.assert_allclose(embedder.embed(FACTS), EXPECTED, atol=1e-6)
        assert bad.requests == []
        assert f"Gave up a connection to the TEI server {bad.url}" in caplog.text


def test_replicas_of_different_models_are_refused(server, connect):
    other_model = TeiServer(LetterEmbedder(), model="other/model")
    with other_model as other, pytest.raises(ModelError, match="serves 'other/model'"):
        connect(server, other).embed(FACTS)


def test_dimension_is_checked(server, connect):
    with pytest.raises(ModelError, match="returns vectors of dimension 26, not 384"):
        connect(server, dimension=384).embed(FACTS)


def test_pinned_commit_is_checked(server, connect):
    assert connect(server, identity=f"{MODEL}@{COMMIT}").embed(FACTS[:1]).shape == (1, 26)
    with pytest.raises(ModelError, match="not 'a/b@0123'"):
        connect(server, identity="a/b@0123").embed(FACTS)


# -- what servers say ------------------------------------------------------------------------------


@pytest.mark.parametrize(("factor", "length"), [(3.0, "3"), (0.5, "0.5"), (0.0, "0"), (np.nan, "nan"), (np.inf, "inf")])
def test_vectors_that_are_not_of_length_one_are_refused(connect, factor, length):
    class Other(LetterEmbedder):
        def embed(self, texts, progress=None):
            return super().embed(texts) * [[1.0]] * factor

    with (
        TeiServer(Other()) as server,
        pytest.raises(ModelError, match=f"a vector of length {length} instead of 1") as caught,
    ):
        connect(server).embed(FACTS)
    assert server.url in str(caught.value)


class Rounded(LetterEmbedder):
    def embed(self, texts, progress=None):
        return super().embed(texts).astype(np.float16).astype(np.float64)


def test_vectors_of_16_bits_are_of_length_one(connect):
    with TeiServer(Rounded()) as server:
        vectors = connect(server).embed(FACTS)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)


# -- long texts ------------------------------------------------------------------------------------

LONG = "iron rusts " * 20  # 41 words, the last one empty


@pytest.mark.parametrize("tokenizes", [True, False])
def test_texts_that_are_cut_are_counted_and_told_once(connect, caplog, tokenizes):
    texts = [*FACTS, LONG, FACTS[0], LONG + "wet"]
    with TeiServer(LetterEmbedder(), tokens=22, tokenizes=tokenizes) as server:
        vectors = connect(server).embed(texts)
    start = "iron rusts " * 10
    np.testing.assert_allclose(vectors, LetterEmbedder().embed([*FACTS, start, FACTS[0], start]), atol=1e-6)
    told = [record.getMessage() for record in caplog.records]
    assert told == ["2 of 11 texts are longer than 22 tokens and are truncated."]


def test_texts_that_fit_are_never_cut(server, connect, caplog):
    """Long in characters, short in tokens: nothing is said, nothing is asked twice."""
    text = "water" * 100
    connect(server).embed([text, *FACTS[:3]])
    assert server.requests == [[text, *FACTS[:3]]]
    assert caplog.records == []


def test_batches_fit_what_the_server_computes_at_once(server, connect):
    """Eight short words are eight tokens and two special ones: three texts make thirty."""
    server.batch, server.batch_tokens = 8, 30
    texts = [f"ice fog sun wet dry hot sea {word}" for word in ("a", "b", "c", "d", "e", "f", "g", "h")]
    np.testing.assert_allclose(connect(server, concurrency=1).embed(texts), LetterEmbedder().embed(texts), atol=1e-6)
    assert [len(texts) for texts in server.requests] == [3, 3, 2]


def test_index_built_by_a_server(server, connect, tmp_path):
    embedder = connect(server)
    index = KnowledgeIndex.build(corpus(), embedder, tmp_path)
    assert index.manifest.embedder == embedder.identity
    np.testing.assert_allclose(index.vectors, EXPECTED, atol=1e-3)
    with pytest.raises(RunError):
        index.check_embedder(LetterEmbedder())
