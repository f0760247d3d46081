"""What embedding models want in front of queries and documents: read, used, and part of the vectors' identity."""

from __future__ import annotations

import contextlib
import json

import numpy as np
import pytest
from letters import FACTS, LetterEmbedder
from tei_server import TeiServer
from tiny import save_encoder

from solo_hub.core.records import Document, Question
from solo_hub.knowledge import building
from solo_hub.knowledge.embedder_prompts import EmbedderPrompts
from solo_hub.knowledge.embedding import SentenceTransformerEmbedder, embed_queries
from solo_hub.knowledge.index import KnowledgeIndex
from solo_hub.knowledge.retrieval import DenseRetriever
from solo_hub.knowledge.tei import TeiEmbedder

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning:torch.*"),
    pytest.mark.filterwarnings("ignore::FutureWarning:transformers.*"),
]
# in the manner of Qwen3-Embedding: an instruction before queries, nothing before documents
INSTRUCTED = {"prompts": {"query": "the north the north ", "document": ""}, "default_prompt_name": None}
BOTH = {"prompts": {"query": "the ", "passage": "north "}}


def state(folder, **stated):
    (folder / "config_sentence_transformers.json").write_text(json.dumps(stated))
    return folder


@pytest.mark.parametrize(
    ("stated", "model", "query", "document"),
    [
        ({}, "any/model", "", ""),
        (INSTRUCTED, "qwen/embedding", "the north the north ", ""),
        (BOTH, "any/model", "the ", "north "),
        ({"prompts": {"query": "q: ", "document": "d: ", "passage": "p: "}}, "any/model", "q: ", "d: "),
        ({"prompts": {"web": "all: "}, "default_prompt_name": "web"}, "any/model", "all: ", "all: "),
        ({"prompts": {"query": "", "document": ""}}, "intfloat/e5-base-v2", "query: ", "passage: "),
        ({}, "intfloat/multilingual-e5-small", "query: ", "passage: "),
        ({}, "intfloat/multilingual-e5-large-instruct", "", ""),
        ({"prompts": {"query": "mine: "}}, "own/e5-large-tuned", "mine: ", ""),
        ({}, "any/range5-base", "", ""),
        ({"prompts": ["q"]}, "any/model", "", ""),
    ],
)
def test_prompts_are_read(tmp_path, stated, model, query, document):
    found = EmbedderPrompts.read(state(tmp_path, **stated), f"{model}@c0ffee")
    assert (found.query, found.document) == (query, document)
    same = found.identity("m@1") == "m@1"
    assert same is (query == document and not found.by_name), "vectors that did not change keep their identity"
    assert bool(str(found)) is bool(query or document)


def test_no_file_and_no_json(tmp_path):
    assert EmbedderPrompts.read(tmp_path / "none", "a/b@1") == EmbedderPrompts()
    (tmp_path / "config_sentence_transformers.json").write_text("[")
    assert EmbedderPrompts.read(tmp_path, "a/b@1") == EmbedderPrompts()


def test_in_this_process(tmp_path):
    pytest.importorskip("sentence_transformers", reason="the extra 'knowledge' is not installed")
    plain = SentenceTransformerEmbedder(save_encoder(tmp_path / "plain"), "tests/tiny@1")
    both = SentenceTransformerEmbedder(state(save_encoder(tmp_path / "both"), **BOTH), "tests/tiny@1")
    assert (plain.identity, both.identity.startswith("tests/tiny@1 prompts ")) == ("tests/tiny@1", True)
    texts = ["river bear", "bear sleeps"]
    np.testing.assert_allclose(both.embed(texts), plain.embed([f"north {text}" for text in texts]), atol=1e-6)
    np.testing.assert_allclose(both.embed_queries(texts), plain.embed([f"the {text}" for text in texts]), atol=1e-6)
    np.testing.assert_allclose(plain.embed_queries(texts), plain.embed(texts), atol=1e-6)


@pytest.mark.parametrize(
    ("known", "named"),
    [({"query": "the ", "passage": "north "}, True), (None, False), ({}, False)],
    ids=["knows them", "ignores names", "refuses names"],
)
def test_behind_a_server(tmp_path, known, named):
    """By name where the server knows it, in the text where it does not: the same vectors, and the same identity."""
    pytest.importorskip("text_embeddings_inference_client", reason="the extra 'tei' is not installed")
    pytest.importorskip("sentence_transformers", reason="the extra 'knowledge' is not installed")
    plain = SentenceTransformerEmbedder(save_encoder(tmp_path / "plain"), "tests/tiny@1")
    folder = state(save_encoder(tmp_path / "both"), **BOTH)
    here = SentenceTransformerEmbedder(folder, "tests/tiny@1")
    texts = ["river bear", "bear sleeps", "the river"]
    with contextlib.ExitStack() as stack:
        servers = [stack.enter_context(TeiServer(plain, prompts=known, commit="1")) for _ in range(2)]
        urls = [server.url for server in servers]
        there = stack.enter_context(contextlib.closing(TeiEmbedder(urls, "tests/tiny@1", pause=0.01)))
        there.read_prompts = lambda: EmbedderPrompts.read(folder, "tests/tiny@1")
        np.testing.assert_allclose(there.embed(texts), here.embed(texts), atol=1e-6)
        np.testing.assert_allclose(there.embed_queries(texts), here.embed_queries(texts), atol=1e-6)
        assert there.identity == here.identity
        sent = [text for server in servers for request in server.requests for text in request]
    assert ("river bear" in sent) is named
    assert ("north river bear" in sent) is not named


def test_a_server_without_prompts_is_not_asked_about_them():
    pytest.importorskip("text_embeddings_inference_client", reason="the extra 'tei' is not installed")
    embedder = LetterEmbedder()
    with TeiServer(embedder) as server, contextlib.closing(TeiEmbedder(server.url)) as there:
        there.embed_queries(FACTS[:2])
    assert server.requests == [list(FACTS[:2])]


def test_retrieval_asks_with_the_queries_prompt(tmp_path):
    class Asymmetric(LetterEmbedder):
        def embed_queries(self, texts, progress=None):
            asked.extend(texts)
            return self.embed(texts, progress)

    asked, embedder = [], Asymmetric()
    index = KnowledgeIndex.build([Document(str(n), fact) for n, fact in enumerate(FACTS)], embedder, tmp_path)
    DenseRetriever(index, embedder, {}).retrieve([Question("q", FACTS[0])], 1)
    assert asked == [FACTS[0]]
    # an embedder of somebody else's knows no difference
    assert embed_queries(LetterEmbedder(), ["abc"]).shape == LetterEmbedder().embed(["abc"]).shape


def test_an_index_without_the_prompts_is_made_again(tmp_path):
    pytest.importorskip("sentence_transformers", reason="the extra 'knowledge' is not installed")
    documents = [Document("1", "river bear"), Document("2", "bear sleeps")]
    folder = save_encoder(tmp_path / "model")
    old = SentenceTransformerEmbedder(folder, "tests/tiny@1")
    KnowledgeIndex.build(documents, old, tmp_path / "index")
    new = SentenceTransformerEmbedder(state(folder, **BOTH), "tests/tiny@1")
    index = KnowledgeIndex.build(documents, new, tmp_path / "index")
    assert (index.manifest.embedder, index.manifest.embedded) == (new.identity, 2)
    assert not building.is_current(documents, old, tmp_path / "index")
