"""`grpo`: the student writes several answers to the bare question, and learns towards those its teacher finds probable.

TRL's `GRPOTrainer` (Shao et al. 2024, arXiv 2402.03300) does the training. The reward of a completion is the teacher's
calibrated probability, with the passages, of the option it names, and 0 if it names none: feedback of a model, and no
label by a human. It comes from the labels' probabilities, so no teacher is asked during the training.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import Field

from solo_hub.core.errors import ConfigError
from solo_hub.core.records import Example
from solo_hub.core.settings import Section, StudentSettings
from solo_hub.models.answering import named_option
from solo_hub.student.objectives import trl_trainer
from solo_hub.student.objectives.material import TrainingData, read_options


class GrpoOptions(Section):
    """Options of `grpo`."""

    generations: int = Field(8, ge=2, description="Answers written to each question of a batch, compared with another.")
    max_new_tokens: int = Field(16, ge=1, description="Longest answer, in tokens.")
    temperature: float = Field(1.0, gt=0, description="Temperature of sampling.")
    beta: float = Field(0.04, ge=0, description="Weight of the divergence from the base; 0 = none.")


class Grpo:
    """Fits `plugins.OwnTrainer`.

    Args:
        material: What is trained on: questions with options, labels with their probabilities.
        options: See `GrpoOptions`.

    Raises:
        ConfigError: An unknown option or a bad value; weights that are not 1; no probabilities.
    """

    name = "grpo"

    def __init__(self, material: TrainingData, options: Mapping[str, Any]) -> None:
        self.options = read_options(GrpoOptions, options, self.name)
        self.material, self.engine = material, material.engine
        trl_trainer.refuse_own_step(self.name, material)
        bare = next((e.question.id for e in material.examples if e.label.probabilities is None), None)
        if bare is not None:
            raise ConfigError(
                f"student.objective={self.name} rewards an answer with the teacher's probability of it, and the label "
                f"of question '{bare}' has no probabilities of options.",
                hint="Set student.objective=sft.",
            )

    def reward(self, completions: Sequence[str], place: Sequence[int], **_: Any) -> list[float]:
        """The teacher's probability of the option each completion names, 0..1; 0 if it names none.

        Args:
            completions: Texts; an answer is their first line.
            place: Place of each one's question among the examples.
            _: What else TRL hands over.
        """
        return [self._reward(text, self.material.examples[i]) for text, i in zip(completions, place, strict=True)]

    def _reward(self, text: str, example: Example) -> float:
        line = text.strip().split("\n")[0].strip()
        option = named_option(line, example.question, self.material.style)
        known = example.label.probabilities
        return 0.0 if option is None or known is None else float(known[option])

    def trainer(
        self, settings: StudentSettings, arguments: Mapping[str, Any], order: Any, callbacks: Sequence[Any]
    ) -> Any:
        """TRL's trainer on our prompts and in our order.

        Args:
            settings: Batch size (questions a step), dropout.
            arguments: What `transformers.TrainingArguments` takes.
            order: Batches of places among the examples.
            callbacks: What happens after each step.

        Raises:
            ConfigError: Micro-batches are asked for, or TRL cannot train this student.
        """
        taken = trl_trainer.config_arguments(self.name, settings, arguments)
        options, builder, style = self.options, self.material.builder, self.material.style
        prompts = [builder.ask(example.question, style) for example in self.material.examples]
        with trl_trainer.known_warnings_off():
            from trl import GRPOConfig, GRPOTrainer

            config = GRPOConfig(
                **{**taken, "per_device_train_batch_size": settings.batch_size * options.generations},
                num_generations=options.generations,
                steps_per_generation=1,
                max_completion_length=options.max_new_tokens,
                temperature=options.temperature,
                beta=options.beta,
                disable_dropout=settings.dropout == 0,
            )
        # what the student writes ends where its answers end, whatever the configuration lists
        stops = list(self.engine.ends(chat=builder.chat is not None))
        self.engine.model.generation_config.eos_token_id = stops
        made = trl_trainer.make(
            _with_special_tokens(GRPOTrainer, special_tokens=prompts[0].special_tokens),
            self.engine,
            [{"prompt": prompt.text, "place": place} for place, prompt in enumerate(prompts)],
            trl_trainer.Repeated(order, options.generations),
            reward_funcs=[self.reward],
            args=config,
            callbacks=list(callbacks),
        )
        made.eos_token_ids = stops
        made.generation_config.eos_token_id = stops
        return made


def _with_special_tokens(trainer: Any, *, special_tokens: bool) -> Any:
    class Trainer(trainer):  # type: ignore[misc, unused-ignore]
        def _tokenize_prompts(self, prompts: list[str]) -> Any:
            made = self.processing_class(text=prompts, add_special_tokens=special_tokens)["input_ids"]
            return [list(ids) for ids in made], None, {}

    return Trainer
