"""An encoder with one output per class with transformers: scores classes, predicts the likeliest, has the adapter.

Its prompt is the text alone (the style `class`), its answer one of its classes. It reads no passages and cannot be a
teacher: its head is random until it is trained on imported labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from solo_hub.core.errors import ConfigError, ModelError
from solo_hub.core.plugins import Generation, Prompt
from solo_hub.models import loading
from solo_hub.models.base_files import check_rows
from solo_hub.models.in_process import InProcess

if TYPE_CHECKING:
    import torch

TEXTS_AT_ONCE = 32
HEAD_SEED = 0  # makes the base's random head reproducible


class ClassifierEngine(InProcess):
    """Implements `plugins.Engine`; call `name_classes` before use.

    Args:
        path: Local snapshot of a model repo with safetensors weights and a tokenizer.
        identity: Repo and commit, for keys and reports.
        device: `auto`, `cpu`, `cuda`, `mps`, ...
        dtype: `auto` (float32: an encoder is small), `float32`, `bfloat16`.
        trust_remote_code: Run code from the repo.

    Raises:
        ConfigError: 4-bit precision was requested.
        ModelError: The folder has no encoder with safetensors weights.
    """

    classifies = True
    task_type = "SEQ_CLS"  # as peft calls it

    def __init__(
        self, path: Path, identity: str, *, device: str = "auto", dtype: str = "auto", trust_remote_code: bool = False
    ) -> None:
        if dtype == loading.NF4:
            raise ConfigError("4-bit precision is not supported for encoders.", hint="Set engine.dtype=auto.")
        precision = "float32" if dtype == "auto" else dtype
        super().__init__(path, identity, device=device, precision=precision, trust_remote_code=trust_remote_code)
        self.classes: tuple[str, ...] = ()

    def name_classes(self, classes: Sequence[str]) -> None:
        """Set the class names, and load the weights with a new head of that size.

        Raises:
            ModelError: See the class.
        """
        self.classes = tuple(classes)
        self.reload()

    def _load(self, precision: str) -> Any:
        if precision == loading.NF4:
            raise ConfigError("4-bit training is not supported for encoders.", hint="Set student.adapter=lora.")
        dtype = loading.find_dtype(precision, self.device)
        model = loading.load_classifier(
            self.path, self.name, dtype, self.classes, seed=HEAD_SEED, trust_remote_code=self._trusted
        )
        check_rows(self.tokenizer, self.name, model.get_input_embeddings().num_embeddings)
        return model

    @property
    def identity(self) -> str:
        """Model and commit, engine, device type, precision, classes."""
        return f"{self.name} classifier {self.device.split(':')[0]} {self.precision_key} {' | '.join(self.classes)}"

    @property
    def context_length(self) -> int:
        """Maximum text length in tokens; longer texts are truncated."""
        return int(getattr(self.model.config, "max_position_embeddings", 512))

    def chat(self, text: str) -> Prompt:  # noqa: ARG002 - the protocol
        """Not supported: an encoder has no chat format.

        Raises:
            ModelError: Always.
        """
        raise ModelError(f"{self.name} is an encoder and has no chat format.", hint="Set teacher.prompt=plain.")

    def logits(self, texts: Sequence[str]) -> torch.Tensor:
        """Logits of a batch, `(B, C)` float32; gradients flow if the caller has enabled them."""
        inputs = self.tokenizer(
            list(texts),
            truncation=True,
            max_length=self.context_length,
            padding=True,
            pad_to_multiple_of=8,
            return_tensors="pt",
        )
        return self.model(**inputs.to(self.device)).logits.float()

    def score(self, prompts: Sequence[Prompt], continuations: Sequence[Sequence[str]]) -> list[list[float] | None]:
        """Log-probability of each class.

        Returns:
            One list per prompt; None if one of its continuations is not a class.
        """
        rows: list[list[float]] = []
        with self._torch.inference_mode():
            for start in range(0, len(prompts), TEXTS_AT_ONCE):
                batch = [prompt.text for prompt in prompts[start : start + TEXTS_AT_ONCE]]
                rows += self.logits(batch).double().log_softmax(-1).tolist()
        places = {name: place for place, name in enumerate(self.classes)}
        return [
            [row[places[name.strip()]] for name in names] if all(name.strip() in places for name in names) else None
            for row, names in zip(rows, continuations, strict=True)
        ]

    def generate(self, prompts: Sequence[Prompt], max_new_tokens: int) -> list[Generation]:  # noqa: ARG002 - one word
        """Predict the likeliest class."""
        generations = []
        for row in self.score(prompts, [self.classes] * len(prompts)):
            best = max(row or [], default=0.0)
            generations.append(Generation(self.classes[(row or [0.0]).index(best)], 1, best, finished=True))
        return generations
