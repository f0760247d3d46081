"""Every per-step selector in a real training: what it decides is what the student learns, and nothing else."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from noise import PEFT_WARNS
from tiny import load_engine, save_encoder

from solo_hub.core.errors import ConfigError
from solo_hub.core.plugins import StepSelector, find, listings
from solo_hub.core.records import Example, PseudoLabel, Question
from solo_hub.core.settings import StudentSettings
from solo_hub.models.prompts import PromptBuilder
from solo_hub.selection.cckd_t_reg import conditioned_targets
from solo_hub.selection.llkd import Llkd
from solo_hub.selection.steps import StepDecision
from solo_hub.student.objectives.classify import Classify
from solo_hub.student.objectives.kl import Kl, tempered_kl
from solo_hub.student.objectives.material import TrainingData
from solo_hub.student.objectives.sft import Sft
from solo_hub.student.training import train

torch = pytest.importorskip("torch", reason="the extra 'train' is not installed")
peft = pytest.importorskip("peft", reason="the extra 'train' is not installed")

pytestmark = PEFT_WARNS

CLASSES = ("rain", "fog", "hail")
TEXTS = [
    f"{a} {b} {c}" for a in ("the", "in") for b in ("river", "bear", "sleeps") for c in ("north", "bear", "river")
][:12]
QUICK = StudentSettings(rank=4, alpha=8, learning_rate=0.02, epochs=2, batch_size=4)
OPTIONS = {
    "freematch": {"momentum": 0.5, "start": "first_batch"},
    "softmatch": {"momentum": 0.5, "start_mean": "first_batch", "start_variance": 0.01},
    "random_step": {"like": "llkd"},
}
SELECTORS = [listed.name for listed in listings() if listed.group == "selectors"]
STEPWISE = sorted(name for name in SELECTORS if isinstance(find("selectors", name)({}, 0), StepSelector))


def example(i, options=CLASSES):
    sure, option = 0.4 + i / 24, i % 3
    probabilities = tuple(sure if place == option else (1 - sure) / 2 for place in range(3))
    label = PseudoLabel(f"q{i}", option, probabilities, options[option], sure, (), 0, "text", "k")
    return Example(Question(f"q{i}", TEXTS[i], options), label)


EXAMPLES = [example(i) for i in range(len(TEXTS))]


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return save_encoder(tmp_path_factory.mktemp("encoder"))


def classifier(folder):
    from solo_hub.models.classifier import ClassifierEngine

    made = ClassifierEngine(folder, "tests/encoder@0", device="cpu")
    made.name_classes(CLASSES)
    return made


def run(engine, folder, selector, settings=QUICK, examples=EXAMPLES):
    style = "class" if getattr(engine, "classifies", False) else "text"
    return train(
        TrainingData(engine, PromptBuilder(), examples, style), settings, seed=3, base="owner/base", commit="c0ffee",
        work=folder / "work", out=folder / "adapter", selector=selector,
    )  # fmt: skip


class Watched:
    """A selector that notes what it was shown and what it answered."""

    def __init__(self, selector):
        self.selector, self.seen = selector, []

    def __getattr__(self, name):
        return getattr(self.selector, name)

    needs_student = property(lambda self: self.selector.needs_student)

    def step(self, batch):
        decision = self.selector.step(batch)
        self.seen.append((batch, decision))
        return decision

    def state(self):
        return self.selector.state()

    def load_state(self, state):
        self.selector.load_state(state)


def watch_losses(monkeypatch, objective):
    """What reached the loss: examples, weights, targets; and of an encoder the student's log-probabilities then."""
    seen, loss = [], objective.loss

    def watched(self, indices, weights, said, mass):
        log_p = None
        if objective is Classify and len(indices):
            with torch.no_grad():
                log_p = self.engine.logits([self.texts[i] for i in indices]).log_softmax(-1).numpy()
        seen.append((list(indices), np.array(weights), said, log_p))
        return loss(self, indices, weights, said, mass)

    monkeypatch.setattr(objective, "loss", watched)
    return seen


def test_every_method_of_a_step_is_here():
    assert {"llkd", "llkd_w", "cckd_t_reg", "freematch", "softmatch", "unixkd", "random_step", "no_ds"} <= {*STEPWISE}


@pytest.mark.parametrize("name", STEPWISE)
def test_an_encoder_learns_what_the_method_decides(name, encoder, tmp_path, monkeypatch):
    """The loss of a step is sum over kept of w_i CE(t_i, p_S(x_i)) / divisor, worked here from the decision alone."""
    selector = Watched(find("selectors", name)(OPTIONS.get(name, {}), 0))
    losses = watch_losses(monkeypatch, Classify)
    done = run(classifier(encoder), tmp_path, selector)
    assert len(selector.seen) == len(done.log) == 6
    reached = iter(losses)
    for row, (batch, decision) in zip(done.log, selector.seen, strict=True):
        learnt = np.flatnonzero(decision.keep & (decision.weight > 0))
        assert row["kept_examples"] == [row["examples"][at] for at in np.flatnonzero(decision.keep)]
        if not len(learnt):
            assert row["loss"] == 0
            continue
        indices, weights, said, log_p = next(reached)
        assert indices == [row["examples"][at] for at in learnt]
        assert weights == pytest.approx(decision.weight[learnt])
        wanted = np.eye(3)[batch.labels] if decision.targets is None else decision.targets
        by_hand = -(decision.weight[learnt, None] * wanted[learnt] * log_p).sum() / decision.divisor
        assert row["loss"] == pytest.approx(by_hand, abs=1e-4)
        assert (said.targets is None) == (decision.targets is None)
    assert next(reached, None) is None, "a loss nobody decided on"
    assert any(decision.targets is not None for _, decision in selector.seen) == (name == "cckd_t_reg")


@pytest.mark.parametrize("name", STEPWISE)
def test_a_language_model_learns_what_the_method_decides(name, tiny_model, tmp_path, monkeypatch):
    options = {"target": "label"} if name == "cckd_t_reg" else OPTIONS.get(name, {})
    selector = Watched(find("selectors", name)(options, 0))
    losses = watch_losses(monkeypatch, Sft)
    done = run(load_engine(tiny_model), tmp_path, selector)
    reached = iter(losses)
    for row, (_, decision) in zip(done.log, selector.seen, strict=True):
        learnt = np.flatnonzero(decision.keep & (decision.weight > 0))
        if len(learnt):
            indices, weights, _, _ = next(reached)
            assert indices == [row["examples"][at] for at in learnt]
            assert weights == pytest.approx(decision.weight[learnt])
    assert next(reached, None) is None


# -- targets in the place of labels --------------------------------------------------------------------------------


def test_the_gradient_of_a_conditioned_target_by_hand(encoder):
    """Of CE(t, softmax(z)) the gradient by z is p - t; here c = 0.4 on the first of three classes: t = (.4, .3, .3)."""
    engine = classifier(encoder)
    objective = Classify(TrainingData(engine, PromptBuilder(), EXAMPLES[:1], "class"), {})
    said = objective.targets([0])
    targets = conditioned_targets(said.confidence, said.options, 3)
    assert targets.tolist() == [pytest.approx([0.4, 0.3, 0.3])]
    said = replace(said, targets=targets)
    head = engine.model.classifier.bias.requires_grad_()
    loss = objective.loss([0], np.ones(1), said, objective.normalizer([0], np.ones(1), said))
    with torch.no_grad():
        p = engine.logits([TEXTS[0]]).softmax(-1)[0]
    assert loss.item() == pytest.approx(-(torch.tensor([0.4, 0.3, 0.3]) * p.log()).sum().item(), abs=1e-5)
    assert torch.autograd.grad(loss, head)[0].tolist() == pytest.approx(
        (p - torch.tensor([0.4, 0.3, 0.3])).tolist(), abs=1e-5
    )


def test_conditioned_targets_make_another_student_than_labels(encoder, tmp_path):
    """The same selector, batches and start: only what is learnt differs, and so do the students."""
    longer = QUICK.model_copy(update={"epochs": 40})
    unsure = [example(i) for i in range(4)]  # c from 0.4 to 0.53
    sure = {}
    for target in ("conditioned", "label"):
        engine = classifier(encoder)
        selector = find("selectors", "cckd_t_reg")({"target": target}, 0)
        run(engine, tmp_path / target, selector, longer, unsure)
        with torch.no_grad():
            p = engine.logits([e.question.text for e in unsure]).softmax(-1).numpy()
        sure[target] = p[np.arange(4), [e.label.option for e in unsure]]
    assert not np.allclose(sure["conditioned"], sure["label"], atol=1e-3)


def test_an_objective_of_answers_alone_refuses_targets_before_it_trains(tiny_model, tmp_path):
    selector = find("selectors", "cckd_t_reg")({}, 0)
    with pytest.raises(ConfigError, match="distributions over the classes") as caught:
        run(load_engine(tiny_model), tmp_path, selector)
    assert "selection.options.target=label" in str(caught.value.hint)
    assert not (tmp_path / "work").exists()


def test_option_positions_have_no_targets_and_are_not_refused(tiny_model, tmp_path):
    examples = [example(i, options=tuple(np.roll(CLASSES, i).tolist())) for i in range(4)]
    done = run(load_engine(tiny_model), tmp_path, find("selectors", "cckd_t_reg")({}, 0), examples=examples)
    assert done.steps == 2


def test_a_stranger_s_targets_are_refused_as_well(tiny_model, tmp_path):
    class Flat:
        needs_student = False

        def step(self, batch):
            ones = np.ones(len(batch))
            return StepDecision(ones > 0, ones, ("",) * len(batch), len(batch), {}, np.full((len(batch), 3), 1 / 3))

        def state(self):
            return {}

        def load_state(self, state):
            pass

    with pytest.raises(ConfigError, match="distributions over the classes"):
        run(load_engine(tiny_model), tmp_path, Flat())


def test_kl_learns_targets_in_the_place_of_the_teacher_s_distribution(tiny_model):
    engine = load_engine(tiny_model)
    objective = Kl(TrainingData(engine, PromptBuilder(), EXAMPLES, "text"), {"answer_share": 0.0, "temperature": 1.0})
    assert objective.learns_targets
    said = objective.targets([0])
    said = replace(said, targets=np.array([[0.5, 0.5, 0.0]]))
    loss = objective.loss([0], np.ones(1), said, objective.normalizer([0], np.ones(1), said))
    (scores,) = engine.score(
        [PromptBuilder().ask(EXAMPLES[0].question, "text")],
        [PromptBuilder().continuations(EXAMPLES[0].question, "text")],
    )
    expected = tempered_kl(torch.tensor([0.5, 0.5, 0.0]), torch.tensor(scores), 1.0)
    assert loss.item() == pytest.approx(expected.item(), abs=1e-3)
    assert not Kl(TrainingData(engine, PromptBuilder(), EXAMPLES, "text"), {"answer_share": 1.0}).learns_targets


# -- steps at which nothing is kept ----------------------------------------------------------------------------------


class EveryOther(Llkd):
    """Keeps everything of the first batch, nothing of the next, and so on."""

    def step(self, batch):
        self.number = getattr(self, "number", -1) + 1
        keep = np.full(len(batch), self.number % 2 == 0)
        return StepDecision(
            keep,
            keep * 1.0,
            ("",) * len(batch),
            max(keep.sum(), 1.0),
            {"kept": int(keep.sum()), "kept_share": keep.mean(), "batch": len(batch)},
        )


def test_a_step_that_keeps_nothing_leaves_the_student_as_it_is(encoder, tmp_path, monkeypatch):
    """Neither the optimiser's momentum nor weight decay moves it; the learning rate follows its course."""
    from solo_hub.student import loop

    engine, before, step = classifier(encoder), [], loop.step

    def watched(*arguments):
        before.append([p.detach().clone() for p in engine.model.parameters() if p.requires_grad])
        return step(*arguments)

    monkeypatch.setattr(loop, "step", watched)
    done = run(engine, tmp_path, EveryOther({}, 0), QUICK.model_copy(update={"weight_decay": 0.5}))
    moved = [any(not torch.equal(a, b) for a, b in zip(x, y, strict=True)) for x, y in itertools.pairwise(before)]
    rates = [row["learning_rate"] for row in done.log]
    assert moved[1:] == [False, True, False, True], "the very first step has the learning rate 0"
    assert len(set(rates)) == len(rates)
    assert [row["loss"] == 0 for row in done.log] == [False, True] * 3
