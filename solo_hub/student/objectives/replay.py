"""Replay against forgetting: along texts that the base wrote itself, the student is held to the base's distribution.

    replay = sum_t KL(p_B(. | y_<t) || p_S(. | y_<t))

The base continues "Question:" and answers what it asked, in the run's own prompt: so no other data is needed, and what
is kept is what the base would have said. After Z. Li, D. Hoiem, Learning without Forgetting, 2016, arXiv 1606.09282;
texts by the model itself after J. Huang et al., self-synthesized rehearsal, 2024, arXiv 2403.01244.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from solo_hub.core.plugins import Prompt
from solo_hub.core.records import Question
from solo_hub.models.packing import Tree
from solo_hub.models.prompts import PromptBuilder

if TYPE_CHECKING:
    from solo_hub.models.causal import CausalEngine

MOST = 128  # texts; with more examples each is read again
_QUESTION_TOKENS, _ANSWER_TOKENS = 24, 24
_AT_ONCE = 32  # texts written together


class Replay:
    """Texts of the base, and the student's distance from it along them.

    Args:
        engine: The base, without an adapter; the student later on.
        builder: Makes the prompts.
        examples: Number of examples trained on.
        share: Texts for each of them, 0..1.
    """

    def __init__(self, engine: CausalEngine, builder: PromptBuilder, examples: int, share: float) -> None:
        self.engine, self.share = engine, share
        count = min(MOST, int(examples * share))
        self.texts = [
            text
            for seed, start in enumerate(range(0, count, _AT_ONCE))
            for text in _write(engine, builder, min(_AT_ONCE, count - start), seed)
        ]

    def of(self, indices: Sequence[int]) -> list[Tree]:
        """The texts that belong to some examples: to every fourth one where the share is 0.25."""
        turns = [int(i * self.share) for i in indices if int((i + 1) * self.share) > int(i * self.share)]
        return [self.texts[turn % len(self.texts)] for turn in turns] if self.texts else []

    def loss(self, indices: Sequence[int]) -> Any:
        """Nats by which the student differs from the base, summed over the tokens of these examples' texts."""
        import torch

        engine, texts = self.engine, self.of(indices)
        total = torch.zeros((), device=engine.device)
        packed = engine.packs(texts)
        for layout in engine.layouts(texts) if texts else ():
            with engine.adapter(False), torch.no_grad():
                base = [said for said, _ in engine.distributions(layout, packed=packed)]
            student = (said for said, _ in engine.distributions(layout, packed=packed))
            for p, q in zip(base, student, strict=True):
                total = total + (p.exp() * (p - q)).sum()
        return total


def _write(engine: CausalEngine, builder: PromptBuilder, count: int, seed: int) -> list[Tree]:
    """Questions of the base and its answers, as tokens; all but the first are scored."""
    asked = engine.sample([Prompt("Question:")] * count, _QUESTION_TOKENS, seed=seed)
    questions = [Question(f"replay-{n}", written.text) for n, written in enumerate(asked) if written.text]
    prompts = [builder.ask(question, "text") for question in questions]
    texts = []
    for prompt, answer in zip(prompts, engine.sample(prompts, _ANSWER_TOKENS, seed=seed), strict=True):
        start, (rest,) = engine.encode(prompt, [builder.continuation(answer.text)])
        whole = (*start, *rest)
        texts.append(Tree(whole[:1], (whole[1:],)))
    return texts
