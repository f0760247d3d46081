"""Objectives: values worked by hand, and that cutting a batch into parts changes nothing."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from noise import PEFT_WARNS
from tiny import END, load_engine, move_adapter, weights

from solo_hub.core.errors import ConfigError
from solo_hub.core.plugins import GROUPS, Objective, find
from solo_hub.core.records import Example, Passage, PseudoLabel, Question
from solo_hub.core.settings import StudentSettings
from solo_hub.models import adapters
from solo_hub.models.answering import choose, fit
from solo_hub.models.prompts import PromptBuilder
from solo_hub.selection.llkd import Llkd
from solo_hub.student.objectives.kl import Kl, tempered_kl
from solo_hub.student.objectives.material import TrainingData
from solo_hub.student.objectives.online import Online
from solo_hub.student.objectives.sft import Sft
from solo_hub.student.training import train

torch = pytest.importorskip("torch", reason="the extra 'train' is not installed")
peft = pytest.importorskip("peft", reason="the extra 'train' is not installed")

pytestmark = PEFT_WARNS

BUILDER = PromptBuilder()
OPTIONS = ("rain", "fog", "hail")
NAMES = ["ab", "cd", "ef", "gh", "ij", "kl"]
QUICK = StudentSettings(rank=4, alpha=8, learning_rate=0.02, epochs=2, batch_size=4, checkpoint_every=2)


def example(i, *, probabilities=(0.5, 0.25, 0.25), weight=1.0, options=OPTIONS):
    question = Question(f"q{i}", f"What does {NAMES[i % 6]} bring?", options)
    option = int(np.argmax(probabilities)) if probabilities and options else None
    text = options[option] if option is not None else "rain"
    confidence = max(probabilities) if probabilities else None
    return Example(question, PseudoLabel(f"q{i}", option, probabilities, text, confidence, (), 0, "text", "k"), weight)


def rolled(i):
    return tuple(np.roll([0.7, 0.2, 0.1], i % 3))


EXAMPLES = [example(i, probabilities=rolled(i)) for i in range(6)]
PASSAGES = {f"q{i}": (Passage(f"p{i}", f"The {NAMES[i]} brings {OPTIONS[i % 3]}.", 1.0),) for i in range(6)}


def value(objective, indices, weights=None, said=None):
    weights = np.ones(len(indices)) if weights is None else weights
    said = said or objective.targets(indices)
    return objective.loss(indices, weights, said, objective.normalizer(indices, weights, said))


def material(engine, examples=EXAMPLES, style="text"):
    return TrainingData(engine, BUILDER, examples, style, PASSAGES)


# -- by hand -----------------------------------------------------------------------------------------------------------


def test_kl_by_hand():
    """p = (3/4, 1/4), q = (1/2, 1/2) at T = 1: 3/4 ln(3/2) + 1/4 ln(1/2) = 0.304 - 0.173 = 0.131."""
    p, s = torch.tensor([0.75, 0.25]), torch.tensor([7.0, 7.0])
    assert tempered_kl(p, s, 1.0).item() == pytest.approx(0.75 * math.log(1.5) + 0.25 * math.log(0.5), abs=1e-6)


def test_kl_at_temperature_two_by_hand():
    """p = (0.9, 0.1) becomes (3, 1) / 4, for sqrt(9) = 3; scores (0, 2 ln 3) become softmax(0, ln 3) = (1, 3) / 4.

    KL = 3/4 ln 3 + 1/4 ln(1/3) = 1/2 ln 3, and T^2 = 4 makes 2 ln 3.
    """
    p, s = torch.tensor([0.9, 0.1]), torch.tensor([0.0, 2 * math.log(3)])
    assert tempered_kl(p, s, 2.0).item() == pytest.approx(2 * math.log(3), abs=1e-5)


def test_kl_of_an_impossible_option_is_a_number():
    assert math.isfinite(tempered_kl(torch.tensor([1.0, 0.0]), torch.tensor([0.0, 5.0]), 1.0).item())


@given(st.lists(st.floats(0.01, 1.0), min_size=2, max_size=6), st.floats(0.3, 5.0))
def test_kl_is_zero_when_the_student_is_the_teacher(raw, temperature):
    p = torch.tensor(raw, dtype=torch.float64) / sum(raw)
    assert tempered_kl(p, p.log() + 3.0, temperature).item() == pytest.approx(0.0, abs=1e-9)


@given(
    st.lists(st.tuples(st.floats(0.01, 1.0), st.floats(-5, 5)), min_size=2, max_size=6),
    st.sampled_from([0.5, 1.0, 3.0]),
)
def test_kl_is_never_negative(pairs, temperature):
    p = torch.tensor([a for a, _ in pairs], dtype=torch.float64)
    scores = torch.tensor([b for _, b in pairs], dtype=torch.float64)
    assert tempered_kl(p / p.sum(), scores, temperature).item() >= -1e-9


@pytest.mark.parametrize("style", ["text", "text_minus_prior", "letter"])
def test_the_loss_of_kl_from_scores(engine, style):
    """The student's distribution is the one it answers with: KL from `choose`'s own probabilities, at T = 1."""
    objective = Kl(material(engine, style=style), {"temperature": 1, "answer_share": 0})
    questions = [e.question for e in EXAMPLES]
    answers = choose(engine, BUILDER, questions, [BUILDER.ask(q, style) for q in questions], style)
    divergences = [
        sum(p * math.log(p / q) for p, q in zip(e.label.probabilities, a.probabilities, strict=True))
        for e, a in zip(EXAMPLES, answers, strict=True)
    ]
    with torch.inference_mode():
        found = value(objective, list(range(6)))
        weighted = value(objective, [0, 1], np.array([1.0, 3.0]))
    assert found.item() == pytest.approx(np.mean(divergences), abs=1e-4)
    assert weighted.item() == pytest.approx((divergences[0] + 3 * divergences[1]) / 4, abs=1e-4)


def test_answer_share_one_is_sft(engine):
    indices, weights = [0, 3, 5], np.array([1.0, 0.5, 2.0])
    with torch.inference_mode():
        whole = value(Kl(material(engine), {"answer_share": 1}), indices, weights)
        plain = value(Sft(material(engine), {}), indices, weights)
    assert whole.item() == pytest.approx(plain.item(), abs=1e-4)


def test_the_teacher_of_online_is_the_teacher_that_labels(engine):
    """Adapter off, passages in the prompt: what `choose` says of the same prompts, whatever the adapter has become."""
    questions = [e.question for e in EXAMPLES]
    prompts = [fit(engine, BUILDER, q, PASSAGES[q.id], "text").prompt for q in questions]
    answers = choose(engine, BUILDER, questions, prompts, "text")
    adapters.attach(engine, QUICK)
    move_adapter(engine, 0.3)
    engine.model.train()
    said = Online(material(engine), {}).targets(list(range(6)))
    assert engine.model.training
    assert said.options.tolist() == [a.option for a in answers]
    for row, answer in zip(said.probabilities, answers, strict=True):
        assert row == pytest.approx(answer.probabilities, abs=1e-5)
    assert said.confidence == pytest.approx([max(a.probabilities) for a in answers], abs=1e-5)


def test_online_over_options_is_kl_with_labels_of_the_same_teacher(engine):
    said = Online(material(engine), {}).targets(list(range(6)))
    labelled = [
        dataclasses.replace(e, label=dataclasses.replace(e.label, option=int(o), text=OPTIONS[int(o)], probabilities=p))
        for e, o, p in zip(EXAMPLES, said.options, said.probabilities, strict=True)
    ]
    with torch.inference_mode():
        here = value(Online(material(engine), {}), list(range(6)))
        there = value(Kl(material(engine, labelled), {}), list(range(6)))
    assert here.item() == pytest.approx(there.item(), abs=1e-4)


def test_online_over_tokens_by_hand(engine):
    """One question, its answer's tokens one by one through the bare model: KL(teacher || student), the end left out."""
    objective = Online(material(engine), {"level": "tokens", "temperature": 1, "answer_share": 0})
    said = objective.targets([2])
    tokens = objective.answer(2, int(said.options[0]))
    student = engine.encode(BUILDER.ask(EXAMPLES[2].question, "text"), [])[0]
    teacher = engine.encode(fit(engine, BUILDER, EXAMPLES[2].question, PASSAGES["q2"], "text").prompt, [])[0]

    def distributions(prompt):
        with torch.inference_mode():
            logits = engine.model(input_ids=torch.tensor([[*prompt, *tokens]])).logits[0]
        return logits[len(prompt) - 1 : -1].log_softmax(-1)

    p, q = distributions(teacher), distributions(student)
    divergences = (p.exp() * (p - q)).sum(-1)
    assert len(divergences) == len(tokens)
    with torch.inference_mode():
        found = value(objective, [2], said=said)
    assert found.item() == pytest.approx(divergences[:-1].sum().item() / len(tokens), abs=1e-4)
    assert engine.tokenizer.decode([tokens[-1]]) == END


def test_online_of_free_text_follows_the_label(engine):
    free = [example(i, probabilities=None, options=()) for i in range(3)]
    objective = Online(material(engine, free), {"answer_share": 1})
    said = objective.targets([0, 1])
    assert np.isnan(said.confidence).all()
    with torch.inference_mode():
        assert value(objective, [0, 1]).item() == pytest.approx(
            value(Sft(material(engine, free), {}), [0, 1]).item(), abs=1e-4
        )


def test_replay_by_hand(engine):
    """A share of a half: the texts of examples 1, 3 and 5; KL(base || student) of each token through the bare model."""
    replay = Sft(material(engine), {"replay": 0.5}).replay
    assert replay.of([0, 1, 2, 5]) == [replay.texts[0], replay.texts[2]]
    assert len(replay.texts) == 3
    with torch.inference_mode():
        assert replay.loss(range(6)).item() == pytest.approx(0, abs=1e-4)  # the student is the base yet
    adapters.attach(engine, QUICK)
    move_adapter(engine, 0.3)
    [text] = replay.of([3])

    def distributions():
        logits = engine.model(input_ids=torch.tensor([[*text.prompt, *text.branches[0]]])).logits[0]
        return logits[len(text.prompt) - 1 : -1].log_softmax(-1)

    with torch.inference_mode():
        q = distributions()
        with engine.adapter(False):
            p = distributions()
        assert replay.loss([3]).item() == pytest.approx((p.exp() * (p - q)).sum().item(), abs=1e-3)


# -- all of them -------------------------------------------------------------------------------------------------------

EVERY = [("sft", {}), ("kl", {}), ("online", {}), ("online", {"level": "tokens"}), ("sft", {"replay": 0.5})]


@pytest.mark.parametrize(("name", "options"), EVERY)
@pytest.mark.parametrize("packed", [True, False])
def test_parts_of_a_batch_add_up(engine, name, options, packed):
    engine.packs([])
    engine._packed = packed
    objective = find("objectives", name)(material(engine), options)
    assert isinstance(objective, Objective)
    indices, weights = [4, 0, 2, 5, 1], np.array([1.0, 0.5, 2.0, 1.0, 0.1])
    said = objective.targets(indices)
    mass = objective.normalizer(indices, weights, said)
    with torch.inference_mode():
        whole = objective.loss(indices, weights, said, mass).item()
        parts = [
            objective.loss([indices[r] for r in rows], weights[rows], said.take(rows), mass).item()
            for rows in ([0, 3], [1], [2, 4])
        ]
    assert sum(parts) == pytest.approx(whole, abs=1e-4)
    assert objective.tokens(indices) > 0


@pytest.mark.parametrize(("name", "options"), EVERY)
def test_nothing_moves_nothing(engine, name, options):
    objective = find("objectives", name)(material(engine), options)
    adapters.attach(engine, QUICK)
    loss = value(objective, [])
    loss.backward()
    assert loss.item() == 0
    assert all(not p.grad.any() for p in engine.model.parameters() if p.requires_grad)


def run(engine, folder, settings=QUICK, examples=EXAMPLES, **more):
    return train(
        TrainingData(engine, BUILDER, examples, "text", PASSAGES), settings, seed=3, base="owner/base", commit="c0ffee",
        work=folder / "work", out=folder / "adapter", **more,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("name", "options", "adapter"),
    [(*EVERY[1], "lora"), (*EVERY[1], "dora"), (*EVERY[2], "dora"), (*EVERY[3], "lora"), (*EVERY[3], "rslora")],
)
def test_training_brings_the_student_nearer_to_the_teacher(engine, tmp_path, name, options, adapter):
    settings = QUICK.model_copy(
        update={"objective": name, "objective_options": options, "adapter": adapter, "epochs": 6.0}
    )
    done = run(engine, tmp_path, settings)
    assert done.log[-1]["loss"] < done.log[0]["loss"]


@pytest.mark.parametrize(("name", "options"), EVERY)
def test_micro_batches_change_nothing(tiny_model, tmp_path, name, options):
    settings = QUICK.model_copy(update={"objective": name, "objective_options": options})
    run(load_engine(tiny_model), tmp_path / "whole", settings)
    run(load_engine(tiny_model), tmp_path / "cut", settings.model_copy(update={"micro_batch_size": 3}))
    for key, array in weights(tmp_path / "whole").items():
        assert weights(tmp_path / "cut")[key] == pytest.approx(array, abs=2e-4), key


def test_llkd_works_with_a_teacher_asked_in_the_step(tiny_model, tmp_path):
    """The selector is shown what the teacher says now; labels that say something else are not looked at."""
    misled = [dataclasses.replace(e, label=dataclasses.replace(e.label, confidence=0.001)) for e in EXAMPLES]
    settings = QUICK.model_copy(update={"objective": "online"})
    done = [
        run(load_engine(tiny_model), tmp_path / name, settings, some, selector=Llkd({}, 0))
        for name, some in (("as labelled", EXAMPLES), ("misled", misled))
    ]
    assert done[0].log == done[1].log
    assert all(row["mean_confidence"] > 0.3 for row in done[0].log)


def test_llkd_of_free_text(tiny_model, tmp_path):
    """Uncertainty is the mean token entropy over the vocabulary, so it falls as the answer is learnt."""
    free = [
        dataclasses.replace(
            e := example(i, probabilities=None, options=()), label=dataclasses.replace(e.label, confidence=0.5 + i / 20)
        )
        for i in range(6)
    ]
    settings = QUICK.model_copy(update={"epochs": 12.0})
    done = run(
        load_engine(tiny_model), tmp_path, settings, free, selector=Llkd({}, 0)
    )  # fmt: skip
    uncertainties = [row["mean_uncertainty"] for row in done.log]
    assert 0 <= min(uncertainties) < max(uncertainties[:3]) <= 1


# -- what goes wrong ---------------------------------------------------------------------------------------------------


def test_the_group_is_known():
    assert "objectives" in GROUPS


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("sft", {"temperature": 2}, "unknown option 'temperature'"),
        ("kl", {"temprature": 2}, "unknown option 'temprature'"),
        ("kl", {"temperature": 0}, "'temperature' cannot be 0"),
        ("online", {"level": "words"}, "'level' cannot be 'words'"),
    ],
)
def test_options_are_read_strictly(engine, name, options, words):
    with pytest.raises(ConfigError, match=words):
        find("objectives", name)(material(engine), options)


def test_an_unknown_objective(engine, tmp_path):
    with pytest.raises(ConfigError, match="no objective 'klm'"):
        run(engine, tmp_path, QUICK.model_copy(update={"objective": "klm"}))


def test_kl_needs_probabilities(engine):
    with pytest.raises(ConfigError, match="'q1' has none"):
        Kl(material(engine, [EXAMPLES[0], example(1, probabilities=None)]), {})


def test_online_needs_passages(engine):
    with pytest.raises(ConfigError, match="there are none for 'q0'"):
        Online(TrainingData(engine, BUILDER, EXAMPLES, "text"), {})


def test_online_over_options_needs_options(engine):
    with pytest.raises(ConfigError, match="'q0' has none"):
        Online(material(engine, [example(0, probabilities=None, options=())]), {"level": "options"})


def test_objectives_empty(engine):
    for name, options in EVERY:
        assert find("objectives", name)(material(engine, []), options).tokens([]) == 0
