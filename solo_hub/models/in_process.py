"""Weights in this process, by transformers: where they are, in which precision, and the adapter on or off.

Teacher and student are one set of weights. `model` is the base until an adapter is attached; from then on
`with engine.adapter(False)` is the base and `with engine.adapter(True)` the student.
"""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from solo_hub.core.errors import ModelError
from solo_hub.models import loading


class InProcess(ABC):
    """What engines with weights of their own have in common; how they are loaded is theirs.

    Args:
        path: Local snapshot of a model repo with safetensors weights and a tokenizer.
        identity: Repo and commit, for keys and reports.
        device: `auto`, `cpu`, `cuda`, `mps`, ...
        precision: `float32`, `bfloat16`, or `nf4` (4 bits); `auto` as `loading.find_precision` takes it.
        trust_remote_code: Run code that comes with the repo.

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
        """The model from its folder."""

    def reload(self) -> None:
        """Take the base from its folder, in the precision the engine was made with; an adapter on it is gone."""
        self._take(self._precision)

    def cast(self, precision: str) -> None:
        """Have the base weights in another precision, e.g. in float32 for evaluation, as a stranger would load them.

        What was rounded does not come back by converting it: the base is taken from its folder anew, and an adapter
        on it is gone. Adapters are therefore loaded after this, not before.

        Raises:
            DependencyError: `nf4`, and bitsandbytes is not installed.
            ModelError: The model cannot be loaded so, or is published in few bits only.
        """
        target, has = loading.find_precision(precision, self.device), self.precision
        if target == has:
            return
        self._take(target)
        if self.precision != target:  # the repo's own config.json says how its weights are rounded
            raise ModelError(
                f"The base model {self.name} is published in few bits ({has}) and cannot be had in {target}.",
                hint="Set evaluation.dtype=same, or choose the base it was made from.",
            )

    def _take(self, precision: str) -> None:
        self.model = None  # two at once may be more than there is room for
        model = self._load(precision)
        if loading.quantisation(model.config) is None:  # those in few bits are loaded in their place, and stay there
            model.to(self.device)
        self.model = model.eval()
        self.model.requires_grad_(False)

    @property
    def precision(self) -> str:
        """Precision of the base weights: `float32`, `bfloat16`; `nf4` for 4 bits; else the method it was rounded by."""
        if self.model is None:
            return self._precision
        return loading.quantisation(self.model.config) or str(self.dtype).removeprefix("torch.")

    @property
    def dtype(self) -> Any:
        """What is computed in, as torch names it."""
        if self.model is None:
            return loading.find_dtype(self._precision, self.device)
        return next(self.model.parameters()).dtype

    @property
    def told_precision(self) -> str:
        """Precision for keys: of 4 bits also what is computed in, on which the last digits depend."""
        computing = str(self.dtype).removeprefix("torch.")
        return computing if self.precision == computing else f"{self.precision}/{computing}"

    @contextlib.contextmanager
    def adapter(self, on: bool) -> Iterator[None]:  # noqa: FBT001 - reads well: engine.adapter(False)
        """Answer as the student (`True`) or as the base (`False`); without an adapter there is only the base."""
        disable = getattr(self.model, "disable_adapter", None)
        if on or disable is None or not getattr(self.model, "peft_config", None):
            yield
            return
        with disable():
            yield

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text, without special tokens."""
        return [len(ids) for ids in self.tokenizer(list(texts), add_special_tokens=False)["input_ids"]] if texts else []
