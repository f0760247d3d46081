"""What objectives that train with one of TRL's trainers share: our order of questions, our log, nothing sent anywhere.

TRL brings loss and generation; prompts, order, checkpoints, exact resume, early stopping and the check after saving
are as for every objective. What needs our own training step is refused (`refuse_own_step`).
"""

from __future__ import annotations

import logging
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from solo_hub.core.errors import ConfigError
from solo_hub.core.settings import StudentSettings
from solo_hub.student.loop import one_device
from solo_hub.student.objectives.material import TrainingData

if TYPE_CHECKING:
    from solo_hub.models.causal import CausalEngine


def refuse_own_step(name: str, material: TrainingData) -> None:
    """Refuse weights of labels, which TRL's losses do not have.

    Raises:
        ConfigError: The selection has set some.
    """
    if any(example.weight != 1.0 for example in material.examples):
        raise ConfigError(
            f"student.objective={name} knows no weights of labels, and the selection has set some.",
            hint="Choose selection.method=all, random or confidence.",
        )


def config_arguments(name: str, settings: StudentSettings, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of `transformers.TrainingArguments`, as TRL's configurations take them.

    Raises:
        ConfigError: Micro-batches are asked for.
    """
    if settings.micro_batch_size is not None:
        raise ConfigError(
            f"student.objective={name} takes a batch as a whole.", hint="Leave student.micro_batch_size empty."
        )
    # the model has been told already whether to compute activations twice, and has its precision
    return {**arguments, "report_to": [], "gradient_checkpointing": None, "bf16": False}


def make(
    trainer: type,
    engine: CausalEngine,
    rows: Sequence[Mapping[str, Any]],
    order: Any,
    collate: Callable[[list[Any]], Any] = list,
    **arguments: Any,
) -> Any:
    """Construct one of TRL's trainers of the student, bound to our order of batches.

    Args:
        trainer: TRL's class.
        engine: The model with its adapter, and its tokenizer.
        rows: What is trained on.
        order: Batches of places among the rows.
        collate: Makes the trainer's input of a batch's rows.
        arguments: Further arguments of the trainer; `args` is its configuration.

    Raises:
        ConfigError: TRL cannot train this model or adapter so.
    """
    from datasets import Dataset

    engine.model.train()
    arguments |= {
        "args": one_device(arguments["args"]),
        "train_dataset": Dataset.from_list([dict(row) for row in rows]),
    }
    with known_warnings_off():
        try:
            made = _bound(trainer, order, collate)(model=engine.model, processing_class=engine.tokenizer, **arguments)
        except ValueError as error:
            raise ConfigError(f"TRL cannot train this student: {str(error).splitlines()[0]}") from error
    model = made.model
    if "ref" in getattr(model, "peft_config", {}):
        model.delete_adapter("ref")  # a copy of the fresh adapter, equal to none: the reference is the base itself
    return made


@contextmanager
def known_warnings_off() -> Iterator[None]:
    """Silence TRL on what is meant so: experimental parts, an adapter that is fresh, batches of our own."""
    logger = logging.getLogger("trl")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _bound(trainer: type, order: Any, collate: Callable[[list[Any]], Any]) -> Any:
    class Trainer(trainer):  # type: ignore[misc, valid-type, unused-ignore]
        _name = "solo-hub"

        def _send_telemetry(self) -> None:
            """Nothing is sent anywhere."""

        def create_model_card(self, *_: Any, **__: Any) -> None:
            """The card is written from the report."""

        def _prepare_dataset(self, dataset: Any, *_: Any, **__: Any) -> Any:
            """The rows hold our own tokens."""
            return dataset

        def get_train_dataloader(self) -> Any:
            from torch.utils.data import DataLoader

            return DataLoader(self.train_dataset, batch_sampler=order, collate_fn=collate)

        def training_step(self, model: Any, inputs: Any, num_items_in_batch: Any = None) -> Any:
            started = time.perf_counter()
            loss = super().training_step(model, inputs, num_items_in_batch)
            read: Any = inputs if isinstance(inputs, Mapping) else self._buffered_inputs[0]
            masks = ("attention_mask",) if "attention_mask" in read else ("prompt_mask", "completion_mask")
            tokens = sum(int(read[name].sum()) for name in masks)
            self.last_step = {"seconds": time.perf_counter() - started, "tokens": tokens}
            return loss

        def log(self, logs: dict[str, float], *args: Any, **kwargs: Any) -> None:
            super().log(logs | self.last_step if "loss" in logs else logs, *args, **kwargs)

        def floating_point_ops(self, inputs: Any) -> int:  # noqa: ARG002 - not counted
            return 0

    return Trainer


class Repeated:
    """Batches in which every place stands several times in a row, e.g. once for each completion to be written.

    Args:
        order: The batches.
        times: How often.
    """

    def __init__(self, order: Any, times: int) -> None:
        self.order, self.times = order, times

    @property
    def batch_sampler(self) -> Repeated:
        """Itself: see `loop.Order`."""
        return self

    def set_epoch(self, epoch: int) -> None:
        """Called by the trainer before each epoch."""
        self.order.set_epoch(epoch)

    def __len__(self) -> int:
        return len(self.order)

    def __iter__(self) -> Iterator[list[int]]:
        for batch in self.order:
            yield [place for place in batch for _ in range(self.times)]
