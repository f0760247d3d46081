"""BERTScore on bert-score, with a model from a local folder and everything the number depends on recorded."""

import contextlib
import json
import tempfile
from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from solo_hub.evaluation.metrics import module

_DESCRIPTION = """BERTScore (T. Zhang et al., BERTScore: evaluating text generation with BERT, ICLR 2020) by the
package bert-score: each token of one text is matched with its nearest token of the other by cosine of contextual
embeddings; F1 of the two directions. The number depends on model, layer and tokenizer, so all three are recorded. Not
rescaled: unrelated texts score well above 0; where zero lies on this scale, `baseline` says: the mean F1 of predictions
paired with other items' references."""

_INPUTS = """
Args:
    predictions: Texts as written; an empty one scores 0.
    references: Reference texts.
    model: Folder of the embedding model.
    layer: Layer whose embeddings are compared.
    batch_size: Texts a batch.
    per_item: Return one number an item instead of the mean.

Returns:
    precision, recall, f1: Cosine-based, at most 1.

Example:
    >>> BertScore().compute(predictions=["rain"], references=["rain"], model="models/all-MiniLM-L6-v2", layer=6)["f1"]
    1.0
"""

_T5 = ("t5", "mt5", "umt5", "longt5")


def recommended_layer(repo: str) -> int | None:
    """The layer that agrees best with people's judgement, by the authors of bert-score; None for an unknown model."""
    from bert_score.utils import model2layers

    layer: int | None = model2layers.get(repo) or model2layers.get(repo.rpartition("/")[2])
    return layer


class Scorer:
    """Scores pairs of texts with one model held in memory.

    Args:
        model: Folder of the embedding model, with its tokenizer.
        layer: Layer whose embeddings are compared, from 1; the last when None.
        batch_size: Texts a batch.
        device: Torch device.

    Raises:
        ValueError: The folder holds no model, or the model has fewer layers.
    """

    def __init__(
        self, model: Path | str, layer: int | None = None, *, batch_size: int = 64, device: str = "cpu"
    ) -> None:
        import bert_score

        self._folder = Path(model)
        config = _read_config(self._folder)
        layers = config.get("num_hidden_layers") or config.get("n_layers") or config.get("num_layers")
        layer = layers if layer is None else layer
        if layer is None:
            raise ValueError(f"the config.json of '{model}' does not say how many layers it has")
        if layers and not 1 <= layer <= layers:
            raise ValueError(f"layer must lie between 1 and {layers}, the layers of '{model}', got {layer}")
        self._layer, self._batch_size = layer, batch_size
        with _safe_path(self._folder, config) as path, _quiet_loading():
            self._scorer = bert_score.BERTScorer(
                model_type=path, num_layers=layer, batch_size=batch_size, device=device, use_fast_tokenizer=True
            )
        tokenizer = self._scorer._tokenizer  # noqa: SLF001 - bert-score offers no other way to set its longest input
        self.max_tokens = _longest_input(config, tokenizer.model_max_length)
        tokenizer.model_max_length = self.max_tokens
        self._tokenizer = tokenizer
        self._versions = {name: metadata.version(name) for name in ("bert-score", "transformers")}

    def describe(self) -> dict[str, Any]:
        """Everything a score depends on besides the texts."""
        return {
            "layer": self._layer,
            "tokenizer": type(self._tokenizer).__name__,
            "max_tokens": self.max_tokens,
            "idf": False,
            "rescaled": False,
            "versions": self._versions,
        }

    def unknown_tokens(self, texts: Sequence[str]) -> float:
        """Share of the texts' tokens that the model does not know: to it all of them are the same."""
        unknown = self._tokenizer.unk_token_id
        ids = self._tokenizer(list(texts), add_special_tokens=False, truncation=True)["input_ids"] if texts else []
        count = sum(map(len, ids))
        return sum(row.count(unknown) for row in ids) / count if count else 0.0

    def score_items(self, predictions: Sequence[str], references: Sequence[str]) -> dict[str, npt.NDArray[np.float64]]:
        """Score each pair.

        Pairs go to the package in the order given and in its own batches, so that the numbers are the package's to the
        last digit: it takes the padding of a batch for a token of similarity 0, which hides negative similarities, so
        another order may move single pairs by about 0.01 (with MiniLM, whose similarities can be negative).

        Args:
            predictions: Texts as written; a blank one scores 0.
            references: Reference texts, aligned.

        Returns:
            `precision`, `recall` and `f1`, each `(items,)`.

        Raises:
            ValueError: Lists of different length.
        """
        pairs = list(zip(predictions, references, strict=True))
        filled = [i for i, (p, r) in enumerate(pairs) if p.strip() and r.strip()]
        rows = np.zeros((len(pairs), 3))
        if filled:
            written, wanted = [pairs[i][0] for i in filled], [pairs[i][1] for i in filled]
            scores = self._scorer.score(written, wanted, batch_size=self._batch_size)
            rows[filled] = np.stack([part.double().numpy() for part in scores], axis=1)
        return {"precision": rows[:, 0], "recall": rows[:, 1], "f1": rows[:, 2]}


def _read_config(folder: Path) -> dict[str, Any]:
    try:
        config = json.loads((folder / "config.json").read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(f"'{folder}' holds no embedding model: its config.json cannot be read") from error
    return dict(config)


def _longest_input(config: dict[str, Any], told: int) -> int:
    """Longest input in tokens.

    Some tokenizers (DeBERTa's) tell 10^30, which overflows the fast tokenizers' 64-bit length; RoBERTa-like models
    count positions from the padding id, so they hold two fewer tokens than positions.
    """
    positions = int(config.get("max_position_embeddings") or config.get("n_positions") or 512)
    if config.get("model_type") in ("roberta", "xlm-roberta", "camembert", "mpnet", "longformer"):
        positions -= 2
    return min(told, positions) if told > 0 else positions


@contextlib.contextmanager
def _safe_path(folder: Path, config: dict[str, Any]) -> Iterator[str]:
    """A path to the folder whose name does not mislead bert-score.

    bert-score takes any path with "t5" in it for a T5 model, and one that begins with "scibert" for something to
    download; a user's folder may be called anything.
    """
    resolved = str(folder.resolve())
    if ("t5" in resolved) == (config.get("model_type") in _T5):
        yield resolved
        return
    with tempfile.TemporaryDirectory() as made:
        name = "t5" if config.get("model_type") in _T5 else "model"
        link = Path(made.replace("t5", "t_")) / name
        if str(link.parent) != made:
            link.parent.mkdir()
        try:
            link.symlink_to(folder.resolve(), target_is_directory=True)
            yield str(link)
        finally:
            link.unlink(missing_ok=True)
            if str(link.parent) != made:
                link.parent.rmdir()


@contextlib.contextmanager
def _quiet_loading() -> Iterator[None]:
    """Keep transformers' loading bar out of the console; it is put back as it was."""
    from transformers.utils import logging as transformers_logging

    shown = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            transformers_logging.enable_progress_bar()


class BertScore(module.Module):
    """The metric as an `evaluate` module."""

    description, inputs = _DESCRIPTION, _INPUTS

    @staticmethod
    def score(
        predictions: Sequence[str], references: Sequence[str], model: str = "", layer: int = 6, batch_size: int = 64
    ) -> dict[str, npt.NDArray[np.float64]]:
        """See `Scorer.score_items`."""
        return Scorer(model, layer, batch_size=batch_size).score_items(predictions, references)
