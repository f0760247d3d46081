"""The settings of evaluation and publishing; `settings` has those of the steps before."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import Field, field_validator

from solo_hub.core.settings import Section

FURTHER_ARMS = (
    "base_few_shot",
    "student_with_passages",
    "teacher_zero_shot",
    "oracle",
    "gold_student",
    "random_student",
    "shuffled_student",
)
BUILT_IN_ARMS = ("base", "teacher", "student", *FURTHER_ARMS)
"""Arms that need no repo."""


class EvaluationSettings(Section):
    """Which arms are evaluated besides base, teacher and student, and how."""

    arms: tuple[str, ...] = Field(
        ("base_few_shot", "student_with_passages", "oracle"),
        description="Arms besides base, teacher, student: base_few_shot (examples from the pseudo-labels), "
        "student_with_passages, teacher_zero_shot (a teacher that is not the base, without passages and examples), "
        "oracle (reads the gold facts, if the task has them); the controls gold_student, "
        "random_student, shuffled_student (trained on gold answers, random options, other questions' answers); "
        "NAME=REPO[@REV] or NAME=FOLDER for any adapter or model.",
    )
    few_shot: int = Field(5, ge=1, le=64, description="Few-shot examples in the prompt of base_few_shot.")

    generate: bool = Field(
        True, description="Also let each arm generate its answer as free text (needed for ROUGE and BERTScore)."
    )
    max_new_tokens: int = Field(24, ge=1, description="Maximum length of a generated answer, in tokens.")
    batch_size: int = Field(32, ge=1, description="Maximum questions per batch; fewer of long passages.")
    dtype: Literal["float32", "same"] = Field(
        "float32",
        description="Precision of evaluation: float32, which gives the same answers on any machine, or same as "
        "labelling.",
    )
    bert_score_model: str = Field(
        "sentence-transformers/all-MiniLM-L6-v2", description="Model repo for BERTScore (OWNER/NAME[@REVISION])."
    )
    resamples: int = Field(2000, ge=200, description="Bootstrap resamples for confidence intervals of means.")
    metrics: tuple[str, ...] = Field(
        (), description="Additional metrics (plugins), one number per question: brier, or from an installed package."
    )
    reports: tuple[str, ...] = Field(
        (), description="Additional sections of report.html (plugins): question_length, or from an installed package."
    )
    forgetting: bool = Field(
        True, description="Measure forgetting: perplexity on general text, and accuracy on a second task."
    )
    general_text: str | None = Field(
        None,
        description="General text for perplexity: a dataset repo or file with a column `text`; built in when empty.",
    )
    general_text_split: str = Field("test", description="Split that holds the general text.")
    second_task: str | None = Field(
        None,
        description="Second task: a dataset repo or file with questions, options and answers; built in when empty.",
    )
    second_task_split: str = Field("test", description="Split that holds the second task.")
    second_task_columns: dict[str, str] = Field(
        default_factory=dict, description="Column mapping of the second task: keys id, question, options, answer."
    )
    second_task_limit: int = Field(
        400, ge=1, description="Maximum number of second-task questions, and of general texts."
    )
    cost_questions: int = Field(
        30,
        ge=0,
        description="Questions asked one at a time to measure latency and peak memory of base, teacher, student and, "
        "if it is evaluated, student_with_passages, each in its own process, and fewer where they take long; 0 = skip.",
    )
    map: Literal["auto", "umap", "pca", "off"] = Field(
        "auto",
        description="2-D map of gold and pseudo-labelled answers; auto = UMAP if umap-learn is installed, else PCA.",
    )

    @field_validator("arms")
    @classmethod
    def _check_arms(cls, arms: tuple[str, ...]) -> tuple[str, ...]:
        """Arm names must be unique and fit file names and tables."""
        names = []
        for arm in arms:
            name, separator, reference = arm.partition("=")
            if separator and (not reference or name in BUILT_IN_ARMS):
                raise ValueError(f"'{arm}': write NAME=REPO[@REV], and choose a name that is not a built-in arm's")
            if not separator and name not in FURTHER_ARMS:
                raise ValueError(f"unknown arm '{name}': use {', '.join(FURTHER_ARMS)}, or NAME=REPO")
            if not re.fullmatch(r"[a-z][a-z0-9_]{0,31}", name) or "_vs_" in name:
                raise ValueError(f"invalid arm name '{name}': use lower-case letters, digits and _")
            names.append(name)
        if len(set(names)) < len(names):
            raise ValueError("duplicate arm name")
        return arms


class PublishSettings(Section):
    """What is published, and under which names."""

    namespace: str | None = Field(None, description="User or organisation; the token's user when empty.")
    dataset: str | None = Field(
        None, description="Name of the pseudo-label dataset repo; derived from name and base when empty."
    )
    adapter: str | None = Field(None, description="Name of the adapter repo; derived from name and base when empty.")
    space: bool | str = Field(
        True, description="Also publish a Space that compares base, teacher and student: true, false, or its name."
    )
    collection: bool | str = Field(
        True,
        description="Also create a Collection of everything published, with commits: true, false, or its title.",
    )
    knowledge: bool | str = Field(
        False,
        description="Also publish knowledge that lies on this machine, as a knowledge base others can repeat the run "
        "with: true, false (it may be confidential), or its name.",
    )
    private: bool = Field(False, description="Create new repos as private.")
    allow_no_gain: bool = Field(
        False, description="Publish even if the student is not better than its base; the card then says so at the top."
    )
    allow_personal: bool = Field(
        False,
        description="Publish rows that look like personal data (e-mail addresses, phone numbers, IBANs, payment card "
        "numbers) without asking; set by --yes.",
    )
