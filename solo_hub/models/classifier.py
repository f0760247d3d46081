"""An encoder with one output for each class, by transformers: scores classes, names the likeliest, carries the adapter.

It is asked the text alone (the style `class`) and answers with one of its classes. It reads no passages and is no
teacher: its head is random until it has learnt from labels that were brought along.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from solo_hub.errors import ConfigError, ModelError
from solo_hub.models import loading
from solo_hub.plugins import Generation, Prompt

if TYPE_CHECKING:
    import torch

TEXTS_AT_ONCE = 32
HEAD_SEED = 0  # the random head of the base is the same every time


class ClassifierEngine:
    """Fits `plugins.Engine`; `name_classes` says what the outputs stand for, before anything is asked.

    Args:
        path: Local snapshot of a model repo with safetensors weights and a tokenizer.
        identity: Repo and commit, for keys and reports.
        device: `auto`, `cpu`, `cuda`, `mps`, ...
        dtype: `auto` (float32: an encoder is small), `float32`, `bfloat16`.
        trust_remote_code: Run code that comes with the repo.

    Raises:
        ModelError: The folder holds no encoder with safetensors weights.
    """

    classifies = True
    task_type = "SEQ_CLS"  # as peft calls it

    def __init__(
        self, path: Path, identity: str, *, device: str = "auto", dtype: str = "auto", trust_remote_code: bool = False
    ) -> None:
        self._torch = loading.import_torch()
        self.device = loading.find_device(device)
        self.name, self.path = identity, Path(path)
        self._trusted = trust_remote_code
        self._dtype = loading.find_dtype("float32" if dtype == "auto" else dtype, self.device)
        self.tokenizer = loading.load_tokenizer(self.path, identity, trust_remote_code=trust_remote_code)
        self.classes: tuple[str, ...] = ()
        self.model: Any = None

    def name_classes(self, classes: Sequence[str]) -> None:
        """Say what the outputs stand for, and load the weights with a fresh head of that many.

        Raises:
            ModelError: See the class.
        """
        self.classes = tuple(classes)
        self.reload()

    def reload(self) -> None:
        """Take the base from its folder; an adapter on it is gone."""
        self.model = loading.load_classifier(
            self.path, self.name, self._dtype, self.classes, seed=HEAD_SEED, trust_remote_code=self._trusted
        )
        self.model.to(self.device).eval()
        self.model.requires_grad_(False)

    @property
    def identity(self) -> str:
        """Model and commit, engine, kind of device, precision, classes."""
        precision = str(self.dtype).removeprefix("torch.")
        return f"{self.name} classifier {self.device.split(':')[0]} {precision} {' | '.join(self.classes)}"

    @property
    def dtype(self) -> Any:
        """Precision of the base weights."""
        return self._dtype if self.model is None else next(self.model.parameters()).dtype

    @property
    def context_length(self) -> int:
        """Longest text, in tokens; what is longer is cut at the end."""
        return int(getattr(self.model.config, "max_position_embeddings", 512))

    def cast(self, dtype: str) -> None:
        """Convert the base weights in place."""
        target = loading.find_dtype(dtype, self.device)
        if self.dtype != target:
            self.model.to(target)

    def quantise(self) -> None:
        """An encoder is not trained in 4 bits here.

        Raises:
            ConfigError: Always.
        """
        raise ConfigError("An encoder is not trained in 4 bits.", hint="Set student.adapter=lora.")

    def chat(self, text: str) -> Prompt:  # noqa: ARG002 - the protocol
        """An encoder has no chat format.

        Raises:
            ModelError: Always.
        """
        raise ModelError(f"{self.name} is an encoder and has no chat format.", hint="Set teacher.prompt=plain.")

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

    def logits(self, texts: Sequence[str]) -> torch.Tensor:
        """Logits of a batch, `(B, C)` float32; gradients flow where the caller has them on."""
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
        """Log-probability of each class named; nothing for a continuation that is no class.

        Returns:
            One list a prompt; None where one of its continuations is not a class.
        """
        rows: list[list[float]] = []
        with self._torch.inference_mode():
            for start in range(0, len(prompts), TEXTS_AT_ONCE):
                some = [prompt.text for prompt in prompts[start : start + TEXTS_AT_ONCE]]
                rows += self.logits(some).double().log_softmax(-1).tolist()
        places = {name: place for place, name in enumerate(self.classes)}
        return [
            [row[places[name.strip()]] for name in names] if all(name.strip() in places for name in names) else None
            for row, names in zip(rows, continuations, strict=True)
        ]

    def generate(self, prompts: Sequence[Prompt], max_new_tokens: int) -> list[Generation]:  # noqa: ARG002 - one word
        """The name of the likeliest class."""
        said = []
        for row in self.score(prompts, [self.classes] * len(prompts)):
            best = max(row or [], default=0.0)
            said.append(Generation(self.classes[(row or [0.0]).index(best)], 1, best, finished=True))
        return said
