"""ROUGE-1, 2, L and Lsum on rouge-score, with tokens that exist in every script."""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
from rouge_score import rouge_scorer

from solo_hub.core.words import words
from solo_hub.evaluation.metrics import module
from solo_hub.evaluation.tokenization import tokens

_DESCRIPTION = """F1 of ROUGE-1, ROUGE-2, ROUGE-L and ROUGE-Lsum (C.-Y. Lin, ROUGE: a package for automatic evaluation
of summaries, 2004) as computed by the package rouge-score, without stemming. Its tokenizer knows ASCII letters only;
this one keeps accents and gives one token a character for Chinese, Japanese, Korean, Thai, Lao, Khmer and Burmese. On
English the numbers are rouge-score's own. ROUGE-2 of a text of one token is 0 by definition: it has no pair of
tokens."""

_INPUTS = """
Args:
    predictions: Texts as written.
    references: Reference texts.
    rouge_types: Which of rouge1 to rouge9, rougeL, rougeLsum.
    per_item: Return one number an item instead of the mean.

Returns:
    rouge1, rouge2, rougeL, rougeLsum: F1, 0..1.

Example:
    >>> Rouge().compute(predictions=["the cat sat"], references=["the cat ran"])["rouge1"]
    0.6666666666666666
"""

TYPES = ("rouge1", "rouge2", "rougeL", "rougeLsum")


class _Tokenizer:
    """The shape rouge-score wants a tokenizer in."""

    def __init__(self, split: Callable[[str], list[str]]) -> None:
        self._split = split

    def tokenize(self, text: str) -> list[str]:
        """Split a text."""
        return self._split(text)


def score_items(
    predictions: Sequence[str], references: Sequence[str], rouge_types: Sequence[str] = TYPES
) -> dict[str, npt.NDArray[np.float64]]:
    """Score each pair; equal pairs are scored once.

    Args:
        predictions: Texts as written.
        references: Reference texts.
        rouge_types: Which scores.

    Returns:
        One `(items,)` array of F1 a type, 0..1.

    Raises:
        ValueError: Lists of different length, or an unknown type.
    """
    by_word = rouge_scorer.RougeScorer(list(rouge_types), tokenizer=_Tokenizer(words))
    by_character = rouge_scorer.RougeScorer(list(rouge_types), tokenizer=_Tokenizer(tokens))
    known: dict[tuple[str, str], list[float]] = {}
    rows = []
    for pair in zip(predictions, references, strict=True):
        if pair not in known:
            prediction, reference = pair
            # Only where a text has no word at all do its other characters count: elsewhere rouge-score's numbers hold.
            scorer = by_word if words(prediction) and words(reference) else by_character
            scores = scorer.score(reference, prediction)
            known[pair] = [scores[name].fmeasure for name in rouge_types]
        rows.append(known[pair])
    table = np.array(rows, dtype=np.float64).reshape(len(rows), len(rouge_types))
    return {name: table[:, i] for i, name in enumerate(rouge_types)}


class Rouge(module.Module):
    """The metric as an `evaluate` module."""

    description, inputs = _DESCRIPTION, _INPUTS
    score = staticmethod(score_items)
