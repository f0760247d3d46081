"""`sdft`: the student writes, and learns at every token it wrote what its teacher would have said there.

TRL's `SDFTTrainer` (Shenfeld et al. 2026, "Self-Distillation Enables Continual Learning", arXiv 2601.19897) does the
training: a completion y is sampled from the student's bare prompt, and

    loss = mean_i 1/|y_i| sum_t D(p_T(. | passages, x_i, y_i<t), p_S(. | x_i, y_i<t))

with D the divergence between forward (`alpha` 0) and reverse Kullback-Leibler (1), generalised Jensen-Shannon between;
the teacher is the same weights with the adapter off and the passages in the prompt. What was labelled decides only
which questions are trained on: their answers are not read.

The trainer is TRL's own, so what needs our step is refused: selection at every step, weights of labels, micro-batches
and several processes. Prompts, order of the questions, checkpoints, exact resume, early stopping and the check after
saving are as for the other objectives.
"""

from __future__ import annotations

import logging
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from pydantic import Field

from solo_hub.core.errors import ConfigError
from solo_hub.core.settings import Section, StudentSettings
from solo_hub.models.answering import fit
from solo_hub.student.loop import one_device
from solo_hub.student.objectives.material import TrainingData, check_passages, read_options


class SdftOptions(Section):
    """Options of `sdft`."""

    max_new_tokens: int = Field(24, ge=1, description="Longest completion the student writes, in tokens.")
    temperature: float = Field(1.0, gt=0, description="Temperature of sampling, and of both distributions compared.")
    alpha: float = Field(0.5, ge=0, le=1, description="Divergence: 0 forward KL, 1 reverse KL, between them JSD.")
    written_by: str = Field(
        "student", pattern="^(student|teacher)$", description="Who writes the completions: student, teacher."
    )


class Sdft:
    """Fits `plugins.OwnTrainer`.

    Args:
        material: What is trained on; with passages for every question.
        options: See `SdftOptions`.

    Raises:
        DependencyError: TRL is not installed.
        ConfigError: An unknown option or a bad value; no passages; weights that are not 1.
    """

    name = "sdft"

    def __init__(self, material: TrainingData, options: Mapping[str, Any]) -> None:
        self.options = read_options(SdftOptions, options, self.name)
        self.material, self.engine = material, material.engine
        check_passages(material, self.name)
        if any(example.weight != 1.0 for example in material.examples):
            raise ConfigError(
                "student.objective=sdft knows no weights of labels, and the selection has set some.",
                hint="Choose selection.method=all, random or confidence.",
            )

    def trainer(
        self, settings: StudentSettings, arguments: Mapping[str, Any], order: Any, callbacks: Sequence[Any]
    ) -> Any:
        """TRL's trainer on our prompts and in our order.

        Args:
            settings: Batch size, dropout.
            arguments: What `transformers.TrainingArguments` takes.
            order: Batches of places among the examples.
            callbacks: What happens after each step.

        Raises:
            ConfigError: Micro-batches are asked for.
        """
        if settings.micro_batch_size is not None:
            raise ConfigError(
                "student.objective=sdft takes a batch as a whole.", hint="Leave student.micro_batch_size empty."
            )
        from datasets import Dataset

        with _known_warnings_off():
            from trl.experimental.sdft import SDFTConfig

        builder, style, material = self.material.builder, self.material.style, self.material
        asked = [builder.ask(example.question, style) for example in material.examples]
        taught = [
            fit(self.engine, builder, e.question, material.passages[e.question.id], style).prompt
            for e in material.examples
        ]
        rows = [{"prompt": p.text, "privileged_context": t.text} for p, t in zip(asked, taught, strict=True)]
        made = SDFTConfig(
            # the model has been told already whether to compute activations twice
            **{**arguments, "report_to": [], "gradient_checkpointing": None},
            bf16=False,
            disable_dropout=settings.dropout == 0,
            teacher_model_kind="base",
            generate_from_teacher=self.options.written_by == "teacher",
            distillation_mode="full_logits",
            distillation_alpha=self.options.alpha,
            distillation_is_clip=None,
            max_prompt_length=None,
            max_completion_length=self.options.max_new_tokens,
            num_generations=1,
            temperature=self.options.temperature,
        )
        config = one_device(made)
        config.teacher_prompt_template = "{privileged_context}"  # the whole prompt: question and passages, as elsewhere
        self.engine.model.train()
        # what the student writes ends where its answers end, whatever the configuration lists
        self.engine.model.generation_config.eos_token_id = list(self.engine.ends(chat=builder.chat is not None))
        with _known_warnings_off():
            return _trainer_class(order, special_tokens=asked[0].special_tokens)(
                model=self.engine.model,
                args=config,
                train_dataset=Dataset.from_list(rows),
                processing_class=self.engine.tokenizer,
                callbacks=list(callbacks),
            )


@contextmanager
def _known_warnings_off() -> Iterator[None]:
    """Silence TRL on two things: that the part is experimental, and that an adapter may be no fresh one; ours is."""
    logger = logging.getLogger("trl.experimental.sdft.sdft_trainer")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _trainer_class(order: Any, *, special_tokens: bool) -> Any:
    from trl.experimental.sdft import SDFTTrainer

    class Trainer(SDFTTrainer):  # type: ignore[misc, unused-ignore]
        _name = "SDFT"

        def _send_telemetry(self) -> None:
            """Nothing is sent anywhere."""

        def create_model_card(self, *_: Any, **__: Any) -> None:
            """The card is written from the report."""

        def get_train_dataloader(self) -> Any:
            from torch.utils.data import DataLoader

            return DataLoader(self.train_dataset, batch_sampler=order, collate_fn=list)

        def _tokenize_prompts(self, prompts: list[str]) -> list[list[int]]:
            made = self.processing_class(text=prompts, add_special_tokens=special_tokens)["input_ids"]
            return [list(ids) for ids in made]

        def training_step(self, model: Any, inputs: Any, num_items_in_batch: Any = None) -> Any:
            started = time.perf_counter()
            loss = super().training_step(model, inputs, num_items_in_batch)
            made: Any = self._buffered_inputs
            read = made[0]
            tokens = int(read["prompt_mask"].sum()) + int(read["completion_mask"].sum())
            self.last_step = {"seconds": time.perf_counter() - started, "tokens": tokens}
            return loss

        def log(self, logs: dict[str, float], *args: Any, **kwargs: Any) -> None:
            super().log(logs | self.last_step if "loss" in logs else logs, *args, **kwargs)

        def floating_point_ops(self, inputs: Any) -> int:  # noqa: ARG002 - not counted
            return 0

    return Trainer
