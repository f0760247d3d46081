"""Weights in this process with transformers: device, precision, and the adapter on or off.

Teacher and student are one set of weights. `model` is the base until an adapter is attached; from then on
`with engine.adapter(False)` is the base and `with engine.adapter(True)` the student.
"""

from __future__ import annotations

import contextlib
import gc
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from solo_hub.core.errors import ModelError
from solo_hub.models import loading


class InProcess(ABC):
    """Base class of engines with weights in this process; subclasses load them.

    Args:
        path: Local snapshot of a model repo with safetensors weights and a tokenizer.
        identity: Repo and commit, for keys and reports.
        device: `auto`, `cpu`, `cuda`, `mps`, ...
        precision: `float32`, `bfloat16`, `nf4` (4 bits), or `auto`; see `loading.find_precision`.
        trust_remote_code: Run code from the repo.

    Raises:
        ModelError: There is no tokenizer.
    """

    def __init__(self, path: Path, identity: str, *, device: str, precision: str, trust_remote_code: bool) -> None:
        self._torch = loading.import_torch()
        self.device = loading.find_device(device)
        self.name, self.path = identity, Path(path)
        self._trusted = trust_remote_code
        self._precision = loading.find_precision(precision, self.device)
        self.tokenizer = loading.load_tokenizer(self.path, identity, trust_remote_code=trust_remote_code)
        self.model: Any = None

    @abstractmethod
    def _load(self, precision: str) -> Any:
        """Load the model from its folder."""

    def reload(self) -> None:
        """Reload the base in the engine's original precision; an adapter is discarded."""
        self._take(self._precision)

    def cast(self, precision: str) -> None:
        """Reload the base weights in another precision, e.g. in float32 for evaluation.

        Converting would not undo rounding, so the base is reloaded and an adapter is discarded: load adapters after
        this, not before.

        Raises:
            DependencyError: `nf4`, and bitsandbytes is not installed.
            ModelError: The model cannot be loaded in that precision, or is published only quantized.
        """
        target, current = loading.find_precision(precision, self.device), self.precision
        if target == current:
            return
        self._take(target)
        if self.precision != target:  # the repo's config.json sets its quantization
            raise ModelError(
                f"The base model {self.name} is published quantized ({current}) and cannot be loaded in {target}.",
                hint="Set evaluation.dtype=same, or choose the model it was quantized from.",
            )

    def _take(self, precision: str) -> None:
        if self.model is not None:
            self.model = None
            gc.collect()  # models with adapters contain reference cycles, and two copies may not fit into memory
        model = self._load(precision)
        if (
            loading.quantisation(model.config) is None
        ):  # quantized models are loaded on their device, and cannot be moved
            model.to(self.device)
        self.model = model.eval()
        self.model.requires_grad_(False)

    @property
    def precision(self) -> str:
        """Precision of the base weights: `float32`, `bfloat16`, `nf4`, or another quantization method."""
        if self.model is None:
            return self._precision
        return loading.quantisation(self.model.config) or str(self.dtype).removeprefix("torch.")

    @property
    def dtype(self) -> Any:
        """The torch dtype of computations."""
        if self.model is None:
            return loading.find_dtype(self._precision, self.device)
        return next(self.model.parameters()).dtype

    @property
    def precision_key(self) -> str:
        """Precision for cache keys; for quantized weights also the compute dtype, which affects rounding."""
        computing = str(self.dtype).removeprefix("torch.")
        return computing if self.precision == computing else f"{self.precision}/{computing}"

    @contextlib.contextmanager
    def adapter(self, on: bool) -> Iterator[None]:  # noqa: FBT001 - reads well: engine.adapter(False)
        """Answer as the student (`True`) or as the base (`False`); without an adapter always as the base."""
        disable = getattr(self.model, "disable_adapter", None)
        if on or disable is None or not getattr(self.model, "peft_config", None):
            yield
            return
        with disable():
            yield

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Number of tokens of each text, without special tokens."""
        return [len(ids) for ids in self.tokenizer(list(texts), add_special_tokens=False)["input_ids"]] if texts else []
