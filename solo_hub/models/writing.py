"""What watches over `generate` of transformers: how likely each choice was, and where the line ends."""

from __future__ import annotations

from typing import Any


def greedy_log_probabilities() -> Any:
    """A logits processor whose `steps` hold the log-probability of every greedy choice; scores are not kept."""
    import torch
    from transformers import LogitsProcessor

    class GreedyLogProbabilities(LogitsProcessor):  # type: ignore[misc, unused-ignore]
        def __init__(self) -> None:
            self.steps: list[Any] = []

        def __call__(self, input_ids: Any, scores: Any) -> Any:  # noqa: ARG002
            wide = scores.float()
            self.steps.append((wide.amax(dim=-1) - torch.logsumexp(wide, dim=-1)).cpu())
            return scores

    return GreedyLogProbabilities()


def line_end_of(tokenizer: Any, width: int) -> Any:
    """A stopping criterion that stops a sequence once it has begun a new line: answers are one line.

    Args:
        tokenizer: Reads what was written.
        width: Tokens of the prompt, before what was written.

    Returns:
        The criterion; its `lengths` say how many tokens a row had when its line ended.
    """
    import torch
    from transformers import StoppingCriteria

    class LineEnd(StoppingCriteria):  # type: ignore[misc, unused-ignore]
        def __init__(self) -> None:
            self.lengths: dict[int, int] = {}  # row -> tokens written when its line ended

        def __call__(self, input_ids: Any, scores: Any, **_: Any) -> Any:  # noqa: ARG002
            written = tokenizer.batch_decode(input_ids[:, width:], skip_special_tokens=True)
            done = ["\n" in text.strip("\n") or (text.strip() != "" and text.endswith("\n")) for text in written]
            for row, ended in enumerate(done):
                if ended:
                    self.lengths.setdefault(row, input_ids.shape[1] - width)
            return torch.tensor(done, device=input_ids.device)

    return LineEnd()
