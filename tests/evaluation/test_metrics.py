"""Each metric against the package it stands on, by a worked example, and loaded as a stranger would load it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import solo_hub.evaluation.metrics as metrics_package

METRICS = Path(metrics_package.__file__).parent

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning:(dill|multiprocess|rouge_score|nltk|torch|transformers)"),
]

ENGLISH = st.text(st.sampled_from("abc AB.,'-12\n"), max_size=40)


@pytest.fixture(scope="module")
def load(tmp_path_factory):
    """`evaluate.load(folder)` with its caches in a folder of the test."""
    import evaluate

    cache = tmp_path_factory.mktemp("metrics")

    def loader(name):
        return evaluate.load(str(METRICS / name), cache_dir=str(cache), module_type="metric")

    return loader


class TestMacroF1:
    def test_worked_example(self, load):
        """Class 0: TP 1, FP 1, FN 0 -> 2/3. Class 1: TP 1, FP 0, FN 1 -> 2/3."""
        assert load("macro_f1").compute(predictions=[0, 0, 1], references=[0, 1, 1])["macro_f1"] == pytest.approx(2 / 3)

    @given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=50))
    def test_equals_scikit_learn(self, pairs):
        from sklearn.metrics import f1_score

        from solo_hub.evaluation.metrics.macro_f1.macro_f1 import score

        predicted, true = zip(*pairs, strict=True)
        assert score(predicted, true) == pytest.approx(f1_score(true, predicted, average="macro", zero_division=0))

    def test_an_answer_that_names_no_class_is_wrong_but_no_class(self):
        """Class 0: TP 1, FN 1 -> 2/3; -1 is not averaged in."""
        from solo_hub.evaluation.metrics.macro_f1.macro_f1 import score

        assert score([0, -1], [0, 0]) == pytest.approx(2 / 3)

    def test_empty(self):
        from solo_hub.evaluation.metrics.macro_f1.macro_f1 import score

        with pytest.raises(ValueError, match="filled"):
            score([], [])


class TestExactMatch:
    def test_worked_example(self, load):
        """ "the bright sun" and "the sun": 2 tokens shared of 3 and 2 -> F1 = 4/5."""
        result = load("exact_match").compute(
            predictions=["The Sun.", "the bright sun"], references=["the sun", "the sun"], per_item=True
        )
        assert result["exact_match"] == [1.0, 0.0]
        assert result["token_f1"] == pytest.approx([1.0, 0.8])

    @given(st.text())
    def test_identical_texts_match(self, text):
        from solo_hub.evaluation.metrics.exact_match.exact_match import score_items

        scores = score_items([text], [text])
        assert scores["exact_match"] == scores["token_f1"] == 1.0

    def test_empty(self):
        from solo_hub.evaluation.metrics.exact_match.exact_match import score_items

        assert score_items([""], ["sun"])["token_f1"] == 0.0
        assert score_items([], [])["token_f1"].shape == (0,)


class TestRouge:
    def test_worked_example(self, load):
        """ "the cat sat" and "the cat ran": 2 of 3 words, 1 of 2 pairs, longest common run of 2."""
        result = load("rouge").compute(predictions=["the cat sat"], references=["the cat ran"])
        assert result == pytest.approx({"rouge1": 2 / 3, "rouge2": 1 / 2, "rougeL": 2 / 3, "rougeLsum": 2 / 3})

    @given(st.lists(st.tuples(ENGLISH, ENGLISH), min_size=1, max_size=5))
    def test_english_equals_rouge_score(self, pairs):
        from rouge_score import rouge_scorer

        from solo_hub.core.words import words
        from solo_hub.evaluation.metrics.rouge.rouge import TYPES, score_items

        scorer = rouge_scorer.RougeScorer(list(TYPES))
        ours = score_items([p for p, _ in pairs], [r for _, r in pairs])
        for i, (prediction, reference) in enumerate(pairs):
            if not (words(prediction) and words(reference)):
                continue  # rouge-score gives 0 where there is no word; ours compares the characters
            theirs = scorer.score(reference, prediction)
            for name in TYPES:
                assert ours[name][i] == theirs[name].fmeasure

    @pytest.mark.shared
    def test_qasc_equals_rouge_score(self):
        """All 926 validation questions: the right answer against the first option, and against the question."""
        import pyarrow.parquet as pq
        from rouge_score import rouge_scorer

        from solo_hub.evaluation.metrics.rouge.rouge import TYPES, score_items

        folder = Path(__file__).parents[3] / "shared/hub/datasets/allenai/qasc/data"
        if not folder.is_dir():
            pytest.skip("needs allenai/qasc beside the repository (../shared/hub)")
        rows = pq.read_table(folder / "validation-00000-of-00001.parquet").to_pylist()
        first = [row["choices"]["text"][0] for row in rows]
        right = [row["choices"]["text"]["ABCDEFGH".index(row["answerKey"])] for row in rows]
        facts = [row["fact1"] + "\n" + row["fact2"] for row in rows]
        combined = [row["combinedfact"] for row in rows]
        predictions, references = first + combined, right + facts
        ours = score_items(predictions, references)
        scorer = rouge_scorer.RougeScorer(list(TYPES))
        theirs = [
            scorer.score(reference, prediction) for prediction, reference in zip(predictions, references, strict=True)
        ]
        different = [
            (name, predictions[i], references[i])
            for name in TYPES
            for i in range(len(theirs))
            if ours[name][i] != theirs[i][name].fmeasure and (predictions[i] + references[i]).isascii()
        ]
        assert different == []

    @pytest.mark.parametrize(
        "text", ["我们的猫在睡觉", "水は百度で沸く", "물은 백도에서 끓는다", "Où est l'été ?", "หมากินข้าว", "+", "🙂"]
    )
    def test_identical_texts_score_1(self, text):
        from solo_hub.evaluation.metrics.rouge.rouge import score_items

        scores = score_items([text], [text])
        assert scores["rouge1"] == scores["rougeL"] == scores["rougeLsum"] == 1.0

    def test_accents_tell_words_apart(self):
        from solo_hub.evaluation.metrics.rouge.rouge import score_items

        assert score_items(["péché"], ["pêche"])["rouge1"] == 0.0

    def test_half_of_a_chinese_text(self):
        """猫在睡觉 and 猫在吃饭: 2 of 4 characters, 1 of 3 pairs."""
        from solo_hub.evaluation.metrics.rouge.rouge import score_items

        scores = score_items(["猫在睡觉"], ["猫在吃饭"])
        assert (scores["rouge1"][0], scores["rouge2"][0]) == pytest.approx((1 / 2, 1 / 3))

    @given(st.text(min_size=1).filter(lambda text: bool("".join(text.split()))))
    @settings(max_examples=60)
    def test_identical_is_never_0(self, text):
        from solo_hub.evaluation.metrics.rouge.rouge import score_items

        assert score_items([text], [text])["rougeL"][0] == pytest.approx(1.0)

    def test_empty(self):
        from solo_hub.evaluation.metrics.rouge.rouge import score_items

        assert score_items([], [])["rouge1"].shape == (0,)
        assert score_items([""], ["sun"])["rouge1"][0] == 0.0


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
class TestBertScore:
    @pytest.fixture(scope="class")
    def scorer(self, embedding_model):
        from solo_hub.evaluation.metrics.bert_score.bert_score import Scorer

        return Scorer(embedding_model, 6, batch_size=16)

    PREDICTIONS = ("local weather", "the sun", "a pump moves blood", "energy", "rain", "plants make sugar from light")
    REFERENCES = ("local weather conditions", "gravity", "the heart", "energy", "snow", "photosynthesis")

    def test_equals_the_package(self, scorer, embedding_model):
        import bert_score

        ours = scorer.score_items(self.PREDICTIONS, self.REFERENCES)
        theirs = bert_score.score(
            list(self.PREDICTIONS), list(self.REFERENCES), model_type=str(embedding_model), num_layers=6
        )
        for name, values in zip(("precision", "recall", "f1"), theirs, strict=True):
            np.testing.assert_allclose(ours[name], values.numpy(), atol=1e-6)

    def test_identical_1_related_more_than_unrelated(self, scorer):
        f1 = scorer.score_items(["rain", "rain", "rain"], ["rain", "rainfall", "democracy"])["f1"]
        assert f1[0] == pytest.approx(1, abs=1e-5)
        assert f1[1] > f1[2]

    def test_blank_scores_0_and_nothing_is_lost(self, scorer):
        f1 = scorer.score_items(["", "rain", " \n"], ["rain", "rain", "rain"])["f1"]
        assert f1[[0, 2]].tolist() == [0, 0]
        assert f1[1] == pytest.approx(1, abs=1e-5)

    def test_longer_than_the_model_reads(self, scorer):
        assert scorer.max_tokens == 512
        assert scorer.score_items(["rain " * 2000], ["rain " * 2000])["f1"][0] == pytest.approx(1, abs=1e-4)

    def test_empty(self, scorer):
        assert scorer.score_items([], [])["f1"].shape == (0,)

    def test_everything_it_depends_on_is_told(self, scorer):
        told = scorer.describe()
        assert told["layer"] == 6
        assert told["tokenizer"]
        assert set(told["versions"]) == {"bert-score", "transformers"}

    def test_as_evaluate_module(self, load, embedding_model):
        result = load("bert_score").compute(
            predictions=["rain"], references=["rain"], model=str(embedding_model), layer=6
        )
        assert result["f1"] == pytest.approx(1, abs=1e-5)

    def test_a_folder_whose_name_holds_t5(self, embedding_model, tmp_path):
        """bert-score takes any path with "t5" in it for a T5 model and fails on this one."""
        from solo_hub.evaluation.metrics.bert_score.bert_score import Scorer

        folder = _linked_copy(embedding_model, tmp_path / "t5-copy")
        assert Scorer(folder, 6).score_items(["rain"], ["rain"])["f1"][0] == pytest.approx(1, abs=1e-5)

    def test_a_tokenizer_that_tells_an_absurd_length(self, embedding_model, tmp_path):
        """DeBERTa's tokenizers tell 10^30 tokens; the package hands that on as a 64-bit number and fails."""
        import json

        import bert_score

        from solo_hub.evaluation.metrics.bert_score.bert_score import Scorer

        folder = _linked_copy(embedding_model, tmp_path / "absurd")
        told = json.loads((embedding_model / "tokenizer_config.json").read_text("utf-8"))
        (folder / "tokenizer_config.json").unlink()
        (folder / "tokenizer_config.json").write_text(json.dumps(told | {"model_max_length": 10**30}), "utf-8")
        with pytest.raises(OverflowError):
            bert_score.BERTScorer(model_type=str(folder), num_layers=6).score(["rain"], ["rain"])
        assert Scorer(folder, 6).score_items(["rain"], ["rain"])["f1"][0] == pytest.approx(1, abs=1e-5)

    @pytest.mark.parametrize("layer", [0, 7])
    def test_no_such_layer(self, embedding_model, layer):
        from solo_hub.evaluation.metrics.bert_score.bert_score import Scorer

        with pytest.raises(ValueError, match="between 1 and 6"):
            Scorer(embedding_model, layer)

    def test_the_layer_follows_from_the_model(self, embedding_model):
        """That of bert-score's table, which knows the models by their first names; else the last."""
        from solo_hub.evaluation.metrics.bert_score.bert_score import Scorer, recommended_layer

        assert (recommended_layer("roberta-large"), recommended_layer("FacebookAI/roberta-large")) == (17, 17)
        assert recommended_layer("sentence-transformers/all-MiniLM-L6-v2") is None
        assert Scorer(embedding_model).describe()["layer"] == 6

    def test_no_model_there(self, tmp_path):
        from solo_hub.evaluation.metrics.bert_score.bert_score import Scorer

        with pytest.raises(ValueError, match="no embedding model"):
            Scorer(tmp_path, 6)


def _linked_copy(folder: Path, copy: Path) -> Path:
    """A folder of links to another's files; its top level can be changed without touching the original."""
    copy.mkdir()
    for item in folder.iterdir():
        (copy / item.name).symlink_to(item)
    return copy


class TestLongestInput:
    @pytest.mark.parametrize(
        ("config", "told", "expected"),
        [
            ({"max_position_embeddings": 512, "model_type": "deberta-v2"}, 10**30, 512),
            ({"max_position_embeddings": 512, "model_type": "bert"}, 256, 256),
            ({"max_position_embeddings": 514, "model_type": "roberta"}, 10**30, 512),
            ({}, 10**30, 512),
        ],
    )
    def test_examples(self, config, told, expected):
        from solo_hub.evaluation.metrics.bert_score.bert_score import _longest_input

        assert _longest_input(config, told) == expected
