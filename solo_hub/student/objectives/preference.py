"""`dpo` and `kto`: learn which of two answers the teacher prefers.

`dpo` (Rafailov et al. 2023, arXiv 2305.18290), of a chosen answer y+ and a rejected one y-:

    loss = - (1-a) mean_i log sigmoid(beta (r_i(y+) - r_i(y-))) + a sft(y+),    r(y) = log p_S(y | x) - log p_B(y | x)

with p_B the base, closed book; `kto` (Ethayarajh et al. 2024, arXiv 2402.01306) judges each answer by itself. Both are
TRL's stable trainers, on our tokens. The pairs are

    pairs: feedback   the student's own closed-book answer against the teacher's, ranked by the teacher's calibrated
                      probability with the passages (3-feedback.jsonl)
    pairs: labels     the label against the most probable of the other options
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import Field

from solo_hub.core.errors import ConfigError
from solo_hub.core.records import Example
from solo_hub.core.settings import Section, StudentSettings
from solo_hub.models.packing import Tree
from solo_hub.student.objectives import trl_trainer
from solo_hub.student.objectives.material import TrainingData, check_end_of_turn, read_options


class KtoOptions(Section):
    """Options of `kto`."""

    pairs: str = Field(
        "feedback", pattern="^(feedback|labels)$", description="Where pairs come from: feedback, labels."
    )
    beta: float = Field(
        0.1, gt=0, description="How strongly the student is held to the base; lower lets it go further."
    )


class DpoOptions(KtoOptions):
    """Options of `dpo`."""

    answer_share: float = Field(
        0.5, ge=0, lt=1, description="Share of the plain answer loss (`sft`) in the sum; without it texts do not end."
    )


class Kto:
    """Fits `plugins.OwnTrainer`.

    Args:
        material: What is trained on; with `preferences` for every question, or with probabilities of the options.
        options: See `KtoOptions`.

    Raises:
        ConfigError: An unknown option or a bad value; weights that are not 1; no second answer to prefer one to.
        ModelError: See `material.check_end_of_turn`.
    """

    name = "kto"
    options_model: type[KtoOptions] = KtoOptions

    @classmethod
    def reads_feedback(cls, options: Mapping[str, Any]) -> bool:
        """Whether the teacher's ranking of the student's answers is to be asked for first."""
        return bool(read_options(cls.options_model, options, cls.name).pairs == "feedback")

    def __init__(self, material: TrainingData, options: Mapping[str, Any]) -> None:
        self.options: Any = read_options(self.options_model, options, self.name)
        self.material, self.engine = material, material.engine
        trl_trainer.refuse_own_step(self.name, material)
        self.pairs = [self._pair(example) for example in material.examples]

    def _pair(self, example: Example) -> dict[str, list[int]]:
        """Tokens of the prompt and of both answers, the end of turn included."""
        builder, style = self.material.builder, self.material.style
        if self.options.pairs == "feedback":
            found = self.material.preferences[example.question.id]
            options, texts = (found.chosen_option, found.rejected_option), (found.chosen, found.rejected)
        else:
            options, texts = (example.label.option, self._runner_up(example)), ("", "")
        written = builder.answers(example.question, style)
        answers = [text if option is None else written[option] for option, text in zip(options, texts, strict=True)]
        prompt, branches = self.engine.encode(
            builder.ask(example.question, style), [builder.continuation(answer) for answer in answers]
        )
        stops = self.engine.ends(chat=builder.chat is not None)
        tree = Tree(prompt, tuple((*branch, stops[0]) for branch in branches))
        check_end_of_turn([tree], stops)
        chosen, rejected = (list(branch) for branch in tree.branches)
        return {"prompt_ids": list(prompt), "chosen_ids": chosen, "rejected_ids": rejected}

    def _runner_up(self, example: Example) -> int:
        known, option = example.label.probabilities, example.label.option
        if known is None or option is None or len(known) < 2:  # noqa: PLR2004 - nothing to prefer it to
            raise ConfigError(
                f"student.objective={self.name} prefers the label to the most probable wrong option, and the label of "
                f"question '{example.question.id}' has no probabilities of several options.",
                hint="Set student.objective_options.pairs=feedback, or student.objective=sft.",
            )
        return max((other for other in range(len(known)) if other != option), key=lambda other: known[other])

    def trainer(
        self, settings: StudentSettings, arguments: Mapping[str, Any], order: Any, callbacks: Sequence[Any]
    ) -> Any:
        """TRL's KTO trainer on our pairs and in our order.

        Args:
            settings: Dropout.
            arguments: What `transformers.TrainingArguments` takes.
            order: Batches of places among the examples.
            callbacks: What happens after each step.

        Raises:
            ConfigError: Micro-batches are asked for, or TRL cannot train this student.
        """
        taken = trl_trainer.config_arguments(self.name, settings, arguments)
        with trl_trainer.known_warnings_off():
            from trl import KTOConfig, KTOTrainer

            config = KTOConfig(**taken, beta=self.options.beta, max_length=None, disable_dropout=settings.dropout == 0)
        return self._make(KTOTrainer, config, order, callbacks, self._unpaired)

    def _make(self, trainer: Any, config: Any, order: Any, callbacks: Sequence[Any], collate: Any) -> Any:
        return trl_trainer.make(
            trainer, self.engine, self._rows(), order, collate, args=config, callbacks=list(callbacks)
        )

    def _rows(self) -> list[dict[str, Any]]:
        # TRL counts `label` when it is constructed
        return [{**pair, "label": True} for pair in self.pairs]

    @property
    def _pad(self) -> int:
        pad = self.engine.tokenizer.pad_token_id
        return int(self.engine.stop_tokens[0] if pad is None else pad)

    def _unpaired(self, batch: list[dict[str, Any]]) -> Any:
        """Every pair as a desirable and an undesirable answer; KL is estimated with answers of other questions."""
        from trl.trainer.kto_trainer import DataCollatorForUnpairedPreference

        rows = [
            {"prompt_ids": row["prompt_ids"], "completion_ids": row[f"{kind}_ids"], "label": kind == "chosen"}
            for kind in ("chosen", "rejected")
            for row in batch
        ]
        completions = [row["completion_ids"] for row in rows]
        for row, other in zip(rows, [completions[-1], *completions[:-1]], strict=True):
            row["KL_completion_ids"] = other
        return DataCollatorForUnpairedPreference(pad_token_id=self._pad)(rows)


class Dpo(Kto):
    """Fits `plugins.OwnTrainer`; see `Kto`, with `DpoOptions`."""

    name = "dpo"
    options_model = DpoOptions

    def trainer(
        self, settings: StudentSettings, arguments: Mapping[str, Any], order: Any, callbacks: Sequence[Any]
    ) -> Any:
        """TRL's DPO trainer on our pairs and in our order; see `Kto.trainer`."""
        taken = trl_trainer.config_arguments(self.name, settings, arguments)
        share = self.options.answer_share
        with trl_trainer.known_warnings_off():
            from trl import DPOConfig, DPOTrainer
            from trl.trainer.dpo_trainer import DataCollatorForPreference

            config = DPOConfig(
                **taken,
                beta=self.options.beta,
                loss_type=["sigmoid", "sft"] if share else ["sigmoid"],
                loss_weights=[1 - share, share] if share else None,
                max_length=None,
                disable_dropout=settings.dropout == 0,
            )
        return self._make(DPOTrainer, config, order, callbacks, DataCollatorForPreference(pad_token_id=self._pad))

    def _rows(self) -> list[dict[str, Any]]:
        return self.pairs
