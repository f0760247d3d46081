"""A run whose model labels and trains in 4 bits, and what is told where that cannot be."""

from __future__ import annotations

import importlib.util
import json

import pytest
from small_hub import WRITE, rows
from tiny import save_model

from solo_hub import pipeline
from solo_hub.core.errors import DependencyError
from solo_hub.hub import HubClient

pytestmark = [
    # transformers and peft warn of what they themselves do to each other
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]


@pytest.fixture(scope="module")
def wide(hub, tmp_path_factory):
    """A base wide enough for blocks of 64 weights, on the Hub."""
    folder = save_model(tmp_path_factory.mktemp("wide"), hidden_size=128, intermediate_size=192)
    (folder / "README.md").write_text("---\nlicense: apache-2.0\n---\nA random model.\n", "utf-8")
    HubClient(hub.endpoint, WRITE, tmp_path_factory.mktemp("cache")).push(
        folder, "tests/wide", "model", message="Add it"
    )
    return "tests/wide"


@pytest.mark.four_bits
@pytest.mark.parametrize("later", ["float32", "same"])
def test_a_run_in_4_bits(wide, context, settings, later):
    settings["base"], settings["engine"] = wide, {"dtype": "nf4"}
    settings["evaluation"]["dtype"] = later
    made = context(settings)
    document = pipeline.distill(made)
    assert made.resolved.engine.dtype == "nf4"
    assert "cpu nf4/" in made.resolved.engine.identity
    labels = rows(made.run.file("labels"))
    assert len(labels) == len(rows(made.run.file("questions")))
    assert made.engine.precision == ("nf4" if later == "same" else "float32")
    training = json.loads((made.run.file("adapter") / "training.json").read_text("utf-8"))
    assert training["largest_change"] > 1e-3
    assert 0 <= document["arms"]["student"]["accuracy"]["value"] <= 1
    again = context(settings)  # opened anew: the base in 4 bits, the adapter on it, nothing to do
    assert pipeline.distill(again)["arms"] == document["arms"]


@pytest.mark.four_bits
def test_qlora_with_a_base_in_4_bits_throughout(wide, context, settings):
    settings["base"], settings["engine"] = wide, {"dtype": "nf4"}
    settings["student"] |= {"adapter": "qlora", "epochs": 1}
    settings["evaluation"]["dtype"] = "same"
    made = context(settings)
    pipeline.distill(made)
    assert made.engine.precision == "nf4"


@pytest.mark.parametrize(
    ("section", "change", "package", "extra"),
    [
        ("engine", {"dtype": "nf4"}, "bitsandbytes", "qlora"),
        ("student", {"adapter": "qlora"}, "bitsandbytes", "qlora"),
        ("student", {"objective": "sdft"}, "trl", "sdft"),
        ("student", {"log_to": ["trackio"]}, "trackio", "track"),
    ],
)
def test_a_missing_package_is_told_before_anything_is_done(
    context, settings, monkeypatch, section, change, package, extra
):
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *a: None if name == package else real(name, *a))
    settings[section] = {**settings.get(section, {}), **change}
    made = context(settings)
    with pytest.raises(DependencyError, match=f"needs the package '{package}'") as caught:
        pipeline.distill(made)
    assert f"solo-hub[{extra}]" in caught.value.hint
    assert not made.run.has("questions")
