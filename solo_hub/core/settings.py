"""The settings of each part of a run, with default, meaning and limits: the one place they are written down.

`config.Config` is all of them together. Fractions are 0..1.
"""

from __future__ import annotations

import re
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from solo_hub.core.redaction import check_address

FURTHER_ARMS = (
    "base_few_shot",
    "student_with_passages",
    "oracle",
    "gold_student",
    "random_student",
    "shuffled_student",
)
BUILT_IN_ARMS = ("base", "teacher", "student", *FURTHER_ARMS)
"""Names of arms that need no repo."""


class Section(BaseModel):
    """A frozen group of settings that refuses unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, protected_namespaces=())


class TaskSettings(Section):
    """What is asked: the questions, and how their columns are called."""

    name: str = Field(
        "qasc", description="Task: qasc, multiple_choice, open_qa, text_classification, or a plugin's name."
    )
    questions: str | None = Field(
        None,
        description="Unlabelled questions: a dataset repo (OWNER/NAME[@REVISION]) or a .jsonl, .csv or .parquet file. "
        "When empty, questions are written from the documents (curation).",
    )
    train_split: str = Field("train", description="Split of the repo whose questions are labelled (label-free).")
    train_limit: int | None = Field(None, ge=1, description="How many questions to label; all when empty.")
    evaluation_questions: str | None = Field(
        None, description="Held-out questions with answers: a repo or file; the same as `questions` when empty."
    )
    evaluation_split: str = Field("validation", description="Split with the held-out questions.")
    evaluation_limit: int | None = Field(None, ge=1, description="How many questions to evaluate on; all when empty.")
    columns: dict[str, str] = Field(
        default_factory=dict,
        description="Column mapping for multiple_choice, open_qa and text_classification: keys id, question, options, "
        "answer.",
    )
    first_option: int | None = Field(
        None,
        ge=0,
        le=1,
        description="Number of the first option where answers are numbers: 0 or 1; found from the whole column, and "
        "reported, when empty.",
    )
    classes: tuple[str, ...] = Field(
        (),
        description="Classes of text_classification, in the order of their numbers; as the dataset names them when "
        "empty.",
    )
    template: str = Field(
        "{text}", description="What text_classification asks, e.g. 'Which feeling does this text express? {text}'."
    )
    unusable_rows: Literal["stop", "leave_out"] = Field(
        "stop",
        description="What happens to a question, a row of the corpus or a document that cannot be used: stop, or leave "
        "it out, list it in the run folder and count it in the report.",
    )


class CurationSettings(Section):
    """Questions written from the documents: what is asked, how much of it is learnt, what is held out."""

    writers: tuple[str, ...] | None = Field(
        None,
        description="Question writers (plugins): cloze, chains, prompted. When empty, cloze where there are no "
        "task.questions, and none where there are. Chains cost accuracy where they were measured (docs/curation.md).",
    )
    options: dict[str, dict[str, Any]] = Field(
        default_factory=dict, description="Settings of the writers: a section for each, by its name."
    )
    limit: int | None = Field(2000, ge=1, description="Most written questions that are learnt; null = no limit.")
    held_out: float = Field(
        0.1,
        ge=0,
        lt=1,
        description="Share of the facts held out for evaluation where no task.evaluation_questions are given: as many "
        "that nobody studied, and other forms of studied ones.",
    )
    check: Literal["text", "teacher"] = Field(
        "text",
        description="Where the answers come from: text = the document's own words; teacher = the teacher, with the "
        "source before it, must give the same answer.",
    )


class KnowledgeSettings(Section):
    """Where the teacher looks things up, and how."""

    source: str | None = Field(
        None,
        description="Corpus: a dataset repo or published knowledge base (OWNER/NAME[@REVISION]), a .jsonl, .csv or "
        ".parquet file with one text a row, a .txt, .md, .html or .pdf document, or a folder of documents.",
    )
    split: str = Field("train", description="Split of the repo that holds the corpus.")
    text_column: str = Field("text", description="Column with the text.")
    id_column: str = Field("id", description="Column with a unique id; the row number is used where it is missing.")
    source_column: str = Field("source", description="Column that says where a row comes from; optional in the corpus.")
    chunk_tokens: int = Field(200, ge=16, description="Longest chunk of a document, in tokens; rows are not cut.")
    chunk_overlap: int = Field(40, ge=0, description="Tokens repeated from one chunk of a document to the next.")
    embedder: str = Field(
        "sentence-transformers", description="Embedder plugin: sentence-transformers in process, tei for TEI servers."
    )
    embedder_urls: tuple[str, ...] = Field(
        (),
        description="Addresses of TEI servers that serve embedding_model, no user name or password in them; several "
        "replicas share the work.",
    )
    embedder_token: str = Field(
        "TEI_TOKEN", description="Environment variable that holds the servers' bearer token; never the token itself."
    )
    embedder_concurrency: int = Field(4, ge=1, le=256, description="Most requests one TEI server is sent at once.")
    embedder_attempts: int = Field(
        6, ge=1, description="How often a request is sent before a busy TEI server counts as gone."
    )
    embedder_timeout: float = Field(120.0, gt=0, description="Seconds a TEI server may take for a whole answer.")
    embedding_model: str = Field(
        "sentence-transformers/all-MiniLM-L6-v2", description="Embedding model repo (OWNER/NAME[@REVISION])."
    )
    retriever: str = Field("fused", description="Retriever plugin: dense, bm25, fused, two_step, per_option.")
    retriever_options: dict[str, Any] = Field(
        default_factory=dict, description="Settings of the retriever, by its own names."
    )
    passages: int = Field(6, ge=0, le=100, description="Passages given to the teacher for each question.")

    @field_validator("embedder_urls")
    @classmethod
    def _check_urls(cls, values: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(check_address(value, "knowledge.embedder_token") for value in values)


class TeacherSettings(Section):
    """How the base model with passages answers."""

    prompt: Literal["plain", "chat"] = Field(
        "plain", description="Prompt of all arms: running text, or one turn in the model's chat format."
    )
    style: Literal["auto", "letter", "text", "text_minus_prior"] = Field(
        "auto", description="How options are scored; auto picks by a label-free test on a sample."
    )
    style_sample: int = Field(48, ge=8, description="Questions the automatic choice of style is tested on.")
    batch_size: int = Field(16, ge=1, description="Questions per batch: the most that a killed run recomputes.")
    explain: Literal["auto", "always", "never"] = Field(
        "auto", description="Ask for an explanation that cites passages: auto = where the model is seen to do it well."
    )
    max_new_tokens: int = Field(48, ge=1, description="Longest free-text answer or explanation, in tokens.")
    labels: str | None = Field(
        None,
        description="Labels brought along, so that no teacher is asked: a dataset repo or file with an id and the "
        "probability of every option.",
    )
    labels_split: str = Field("train", description="Split of the repo that holds them.")
    labels_columns: dict[str, str] = Field(
        default_factory=dict,
        description="Column mapping of the labels: keys id, probabilities (a list, or one column for each option, "
        "separated by commas).",
    )
    orders: int = Field(
        4, ge=1, le=26, description="Orders of the options that letters are averaged over; text styles list no options."
    )
    support_weight: float = Field(
        1.0,
        ge=0,
        description="Weight of what the retriever itself says for each option (per_option tells it) beside the model's "
        "calibrated log-probability; 0 = the model alone.",
    )
    calibrate: bool = Field(
        True, description="Fit the temperature of the confidence to how often two views agree, without labels."
    )
    calibration_sample: int = Field(192, ge=16, description="Questions the temperatures are fitted on.")
    shots: int = Field(0, ge=0, le=64, description="Examples in the teacher's prompt; 0 = none.")
    examples: str | None = Field(
        None,
        description="File with the examples: rows with `question` and `answer` (.jsonl, .csv, .parquet); the teacher's "
        "own most confident labels when empty.",
    )
    samples: int = Field(
        0,
        ge=0,
        le=64,
        description="Answers drawn for each written one: the share that says the same is its agreement, and its "
        "confidence where the engine tells no log-probabilities; 0 = none.",
    )


class FilterSettings(Section):
    """What is dropped before selection, whatever the method; every dropped label is kept with its reason."""

    unparsed: bool = Field(True, description="Drop answers that name none of the options.")
    empty: bool = Field(True, description="Drop answers without a word in them, and refusals to answer.")
    min_confidence: float = Field(0.0, ge=0, le=1, description="Drop labels of lower confidence; 0 = off.")
    min_agreement: float = Field(
        0.0,
        ge=0,
        le=1,
        description="Drop labels whose answer changes with the order of the options, or between samples, more often: "
        "least share that agrees; 0 = off.",
    )
    unsupported: bool = Field(
        False, description="Drop answers of which no content word stands in the passages that were read."
    )
    near_duplicates: float = Field(
        0.0,
        ge=0,
        le=1,
        description="Drop all but the first of questions so similar (Jaccard of word pairs); 0 = off.",
    )
    leakage: float = Field(
        0.8,
        ge=0,
        le=1,
        description="Drop questions this similar to a held-out one (Jaccard of word pairs); 0 = off.",
    )


class SelectionSettings(Section):
    """Which pseudo-labels the student learns from."""

    method: str = Field(
        "all",
        description="Selector plugin: all, random, confidence, entropy_score, cckd_l, llkd_ahead ahead of training; "
        "llkd, llkd_w, freematch, softmatch, unixkd, cckd_t_reg, random_step at every step.",
    )
    options: dict[str, Any] = Field(default_factory=dict, description="Settings of the selector, by its own names.")
    ask_student: bool = Field(
        False,
        description="Ask the base once, closed book, how uncertain it is of every question, ahead of training: stands "
        "beside the teacher's confidence in 4-selected and 4-dropped; costs a closed-book answer a question.",
    )


class StudentSettings(Section):
    """The adapter and its training."""

    objective: str = Field(
        "sft", description="Objective plugin: what the student is trained towards; sft, kl, online, sdft."
    )
    objective_options: dict[str, Any] = Field(
        default_factory=dict, description="Settings of the objective, by its own names."
    )
    adapter: Literal["lora", "dora", "rslora", "qlora"] = Field(
        "lora", description="Kind of adapter; qlora trains on the base in 4 bits and needs bitsandbytes."
    )
    rank: int = Field(16, ge=1, description="Adapter rank r.")
    alpha: int = Field(
        32, ge=1, description="Adapter scaling alpha (the update is scaled by alpha / r; rslora: alpha / sqrt(r))."
    )
    dropout: float = Field(0.0, ge=0, lt=1, description="Dropout on the adapter's input.")
    target_modules: str | tuple[str, ...] = Field("all-linear", description="Modules that get an adapter.")
    layers: tuple[int, ...] | None = Field(
        None,
        description="Numbers of the layers that get an adapter, counted from 0; all when empty.",
    )
    learning_rate: float = Field(2e-4, gt=0, description="Peak learning rate.")
    epochs: float = Field(3, gt=0, description="Passes over the kept labels.")
    batch_size: int = Field(16, ge=1, description="Samples per optimiser step, over all processes.")
    micro_batch_size: int | None = Field(
        None, ge=1, description="Samples in one forward and backward pass, to save memory; the whole batch when empty."
    )
    gradient_checkpointing: bool = Field(
        False, description="Compute activations twice instead of keeping them: less memory, more time."
    )
    patience: int | None = Field(
        None,
        ge=1,
        description="Stop when agreement with the teacher on questions held back has not risen for this many checks "
        "(one every checkpoint_every steps), and keep the best adapter; never when empty.",
    )
    held_back: int = Field(64, ge=1, description="Labelled questions held back from training where patience is set.")
    log_to: tuple[Literal["tensorboard", "trackio"], ...] = Field(
        (), description="Where else the training's curves go: tensorboard (files in the run folder), trackio (local)."
    )
    warmup: float = Field(0.03, ge=0, lt=1, description="Share of the steps in which the learning rate rises.")
    weight_decay: float = Field(0.0, ge=0, description="AdamW weight decay.")
    max_grad_norm: float = Field(1.0, gt=0, description="Gradient clipping.")
    checkpoint_every: int = Field(
        50, ge=1, description="Optimiser steps between checkpoints a killed run resumes from."
    )


class EvaluationSettings(Section):
    """Which arms are asked beside base, teacher and student, and how all of them are measured."""

    arms: tuple[str, ...] = Field(
        ("base_few_shot", "student_with_passages", "oracle"),
        description="Arms beside base, teacher, student: base_few_shot (examples from the pseudo-labels), "
        "student_with_passages, oracle (reads the gold facts, where the task has them); gold_student, random_student, "
        "shuffled_student (trained for this on known answers, on options drawn by chance, on answers of other "
        "questions); NAME=REPO[@REV] or NAME=FOLDER for any adapter or model.",
    )
    few_shot: int = Field(5, ge=1, le=64, description="Examples in the prompt of base_few_shot.")

    generate: bool = Field(
        True, description="Also let each arm write its answer freely (needed for ROUGE and BERTScore of what it says)."
    )
    max_new_tokens: int = Field(24, ge=1, description="Longest generated answer, in tokens.")
    batch_size: int = Field(32, ge=1, description="Questions per batch.")
    dtype: Literal["float32", "same"] = Field(
        "float32",
        description="Precision of evaluation: float32, so that anybody gets the same answers, or as in labelling.",
    )
    bert_score_model: str = Field(
        "sentence-transformers/all-MiniLM-L6-v2", description="Model repo for BERTScore (OWNER/NAME[@REVISION])."
    )
    bert_score_layer: int = Field(6, ge=1, description="Layer whose embeddings BERTScore compares.")
    resamples: int = Field(2000, ge=200, description="Bootstrap resamples behind intervals of means.")
    metrics: tuple[str, ...] = Field(
        (), description="Further metrics, by plugin: brier, or a package's; each one number a question."
    )
    reports: tuple[str, ...] = Field(
        (), description="Further sections of report.html, by plugin: question_length, or a package's."
    )
    forgetting: bool = Field(
        True, description="Measure what the student lost elsewhere: perplexity on general text, and a second task."
    )
    general_text: str | None = Field(
        None, description="General text for perplexity: a dataset repo or file with a column `text`; ours when empty."
    )
    general_text_split: str = Field("test", description="Split of the repo with general text.")
    second_task: str | None = Field(
        None,
        description="Second task: a dataset repo or file with questions, options and answers; ours when empty.",
    )
    second_task_split: str = Field("test", description="Split of the repo of the second task.")
    second_task_columns: dict[str, str] = Field(
        default_factory=dict, description="Its columns, as task.columns: keys id, question, options, answer."
    )
    second_task_limit: int = Field(400, ge=1, description="Most questions of the second task, and most general texts.")
    cost_questions: int = Field(
        30,
        ge=0,
        description="Questions asked one at a time to measure latency and peak memory of base, teacher and student, "
        "each in a process of its own; 0 leaves it out.",
    )
    map: Literal["auto", "umap", "pca", "off"] = Field(
        "auto", description="Map of original and pseudo-labelled answers; auto: UMAP where umap-learn is installed."
    )
    map_points: int = Field(400, ge=10, le=5000, description="Most questions on the map.")

    @field_validator("arms")
    @classmethod
    def _check_arms(cls, arms: tuple[str, ...]) -> tuple[str, ...]:
        """Names that can be told apart, in files and in a table."""
        names = []
        for arm in arms:
            name, given, reference = arm.partition("=")
            if given and (not reference or name in BUILT_IN_ARMS):
                raise ValueError(f"'{arm}': write NAME=REPO[@REV] with a name of its own")
            if not given and name not in FURTHER_ARMS:
                raise ValueError(f"'{name}' is none of {', '.join(FURTHER_ARMS)}, and names no repo (NAME=REPO)")
            if not re.fullmatch(r"[a-z][a-z0-9_]{0,31}", name) or "_vs_" in name:
                raise ValueError(f"'{name}' cannot name an arm: use small letters, digits and _")
            names.append(name)
        if len(set(names)) < len(names):
            raise ValueError("an arm is named twice")
        return arms


class EngineSettings(Section):
    """Where and in which precision the base model runs."""

    name: str = Field(
        "transformers",
        description="Engine plugin: transformers (in this process), openai (an OpenAI-compatible server), inference "
        "(Inference Providers and Endpoints). With a server only the teacher answers there; the student is in process.",
    )
    url: str | None = Field(
        None, description="Address of the server, e.g. http://127.0.0.1:8000; no user name or password in it."
    )
    model: str | None = Field(
        None, description="Name the server knows the base model by; found out, or the base's own name, when empty."
    )
    provider: str = Field("auto", description="Inference Provider, for `inference` without an address.")
    token_variable: str = Field(
        "", description="Environment variable that holds the server's token; the token itself is never written down."
    )
    concurrency: int = Field(8, ge=1, le=256, description="Most requests a server is sent at once.")
    attempts: int = Field(6, ge=1, description="How often a request is sent before a busy server counts as gone.")
    timeout: float = Field(120.0, gt=0, description="Seconds a server may take for a whole answer.")
    device: str = Field("auto", description="auto, cpu, cuda, mps.")
    dtype: Literal["auto", "float32", "bfloat16", "nf4"] = Field(
        "auto",
        description="Precision of labelling and training; auto = bfloat16 where it is fast, else float32; nf4 = 4 bits "
        "(needs bitsandbytes).",
    )
    trust_remote_code: bool = Field(
        False, description="Run code that comes with the model repo. Only for repos you trust."
    )

    @field_validator("url")
    @classmethod
    def _check_url(cls, value: str | None) -> str | None:
        return value if value is None else check_address(value, "engine.token_variable")


class PublishSettings(Section):
    """What is pushed, and under which names."""

    namespace: str | None = Field(None, description="User or organisation; the token's own user when empty.")
    dataset: str | None = Field(
        None, description="Name of the pseudo-label dataset repo; made from task and base when empty."
    )
    adapter: str | None = Field(None, description="Name of the adapter repo; made from task and base when empty.")
    space: bool | str = Field(
        True, description="Also publish the Space that compares base, teacher and student: true, false, or its name."
    )
    collection: bool | str = Field(
        True,
        description="Tie everything together in a Collection, each part at its commit: true, false, or its title.",
    )
    knowledge: bool | str = Field(
        False,
        description="Also publish knowledge that lies on this machine, as a knowledge base others can repeat the run "
        "with: true, false (it may not be for everybody's eyes), or its name.",
    )
    private: bool = Field(False, description="Make new repos private.")
    allow_no_gain: bool = Field(
        False, description="Publish even when the student is not better than its base; the card says so first."
    )
    allow_personal: bool = Field(
        False,
        description="Publish rows that look like personal data (e-mail addresses, phone numbers, IBANs, payment card "
        "numbers); asked for by --yes.",
    )
