"""What a per-step selector is shown of the student: against the plain formulas, one text at a time."""

from __future__ import annotations

import numpy as np
import pytest
from tiny import load_engine

from solo_hub.core.records import Example, PseudoLabel, Question
from solo_hub.models.prompts import PromptBuilder
from solo_hub.run.processes import Processes
from solo_hub.selection.steps import StepDecision
from solo_hub.student.judging import StepSelection
from solo_hub.student.objectives.material import TrainingData, encode, targets_of_labels
from solo_hub.student.sharding import LockstepForwards

torch = pytest.importorskip("torch", reason="the extra 'train' is not installed")


class Keep:
    """Keeps the first of each batch and remembers what it was shown."""

    needs_student = True

    def __init__(self):
        self.shown = None

    def step(self, batch):
        self.shown = batch
        keep = np.arange(len(batch)) == 0
        return StepDecision(keep, keep * 2.0, ("",) * len(batch), 1.0, {"kept": 1})


def free(i, text):
    label = PseudoLabel(f"q{i}", None, None, text, 0.5 + i / 10, (), 0, "generate", "k")
    return Example(Question(f"q{i}", f"What does the river {i} bring?"), label)


def closed(i, options):
    label = PseudoLabel(f"q{i}", 0, (0.75, 0.25), options[0], 0.75, (), 0, "text", "k")
    return Example(Question(f"q{i}", f"What does the river {i} bring?", options), label)


def judged(engine, examples, style="text"):
    selector = Keep()
    material = TrainingData(engine, PromptBuilder(), examples, style)
    judge = StepSelection(material, selector, Processes.here(cpu=True), LockstepForwards(engine, sharded=False))
    decided = judge.decide(range(len(examples)), targets_of_labels(examples))
    return selector.shown, decided, judge, material


def test_free_text_by_its_token_probabilities(tiny_model):
    """u = mean entropy / log V; confidence = mean of the highest; the label's = geometric mean; over answer and end."""
    engine = load_engine(tiny_model)
    examples = [free(0, "rain"), free(1, "melting snow in spring"), free(2, "fog")]
    shown, decided, _, material = judged(engine, examples)
    for row, tree in enumerate(encode(material)):
        tokens = [*tree.prompt, *tree.branches[0]]
        with torch.inference_mode():
            logits = engine.model(torch.tensor([tokens])).logits[0, len(tree.prompt) - 1 : -1].double()
        log_p = logits.log_softmax(-1)
        picked = log_p[torch.arange(len(tree.branches[0])), list(tree.branches[0])]
        entropies = -(log_p.exp() * log_p).sum(-1) / np.log(log_p.shape[-1])
        assert shown.student_uncertainty[row] == pytest.approx(entropies.mean().item(), abs=1e-5)
        assert shown.student_confidence[row] == pytest.approx(log_p.exp().max(-1)[0].mean().item(), abs=1e-5)
        assert shown.student_label_probability[row] == pytest.approx(picked.mean().exp().item(), abs=1e-5)
    assert shown.teacher_confidence.tolist() == [0.5, 0.6, 0.7]
    assert (shown.classes, shown.by_class) == (0, False)
    assert (decided.keep.tolist(), decided.scale, decided.targets) == ([True, False, False], 2.0, None)


def test_places_of_options_are_no_classes_and_classes_are(tiny_model):
    engine = load_engine(tiny_model)
    same = judged(engine, [closed(0, ("rain", "fog")), closed(1, ("rain", "fog"))])[0]
    assert same.by_class
    assert same.student_probabilities.sum(1) == pytest.approx([1, 1])
    others = judged(engine, [closed(0, ("rain", "fog")), closed(1, ("fog", "rain"))])[0]
    assert not others.by_class


def test_the_student_is_judged_without_its_dropout_and_trained_on(tiny_model):
    engine = load_engine(tiny_model)
    engine.model.train()
    judged(engine, [free(0, "rain")])
    assert engine.model.training


def test_the_log_says_which_examples_were_kept(tiny_model):
    judge = judged(load_engine(tiny_model), [free(0, "rain"), free(1, "fog")])[2]
    assert judge.log == [{"kept": 1, "examples": [0, 1], "kept_examples": [0]}]
