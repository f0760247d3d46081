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

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import Field

from solo_hub.core.settings import Section, StudentSettings
from solo_hub.models.answering import fit
from solo_hub.student.objectives import trl_trainer
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
    asks_base = True  # the teacher must be the base

    def __init__(self, material: TrainingData, options: Mapping[str, Any]) -> None:
        self.options = read_options(SdftOptions, options, self.name)
        self.material, self.engine = material, material.engine
        check_passages(material, self.name)
        trl_trainer.refuse_own_step(self.name, material)

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
        taken = trl_trainer.config_arguments(self.name, settings, arguments)
        with trl_trainer.known_warnings_off():
            from trl.experimental.sdft import SDFTConfig, SDFTTrainer

        builder, style, material = self.material.builder, self.material.style, self.material
        asked = [builder.ask(example.question, style) for example in material.examples]
        taught = [
            fit(self.engine, builder, e.question, material.passages[e.question.id], style).prompt
            for e in material.examples
        ]
        rows = [{"prompt": p.text, "privileged_context": t.text} for p, t in zip(asked, taught, strict=True)]
        config = SDFTConfig(
            **taken,
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
        config.teacher_prompt_template = "{privileged_context}"  # the whole prompt: question and passages, as elsewhere
        # what the student writes ends where its answers end, whatever the configuration lists
        self.engine.model.generation_config.eos_token_id = list(self.engine.ends(chat=builder.chat is not None))
        return trl_trainer.make(
            _with_special_tokens(SDFTTrainer, special_tokens=asked[0].special_tokens),
            self.engine,
            rows,
            order,
            args=config,
            callbacks=list(callbacks),
        )


def _with_special_tokens(trainer: Any, *, special_tokens: bool) -> Any:
    class Trainer(trainer):  # type: ignore[misc, unused-ignore]
        def _tokenize_prompts(self, prompts: list[str]) -> list[list[int]]:
            made = self.processing_class(text=prompts, add_special_tokens=special_tokens)["input_ids"]
            return [list(ids) for ids in made]

    return Trainer
