"""The settings of each part of a run: default, meaning and limits. They are defined here and nowhere else.

`config.Config` combines them. Fractions are 0..1.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Annotated, Any, Literal, NamedTuple, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator
from pydantic_core import PydanticCustomError

from solo_hub.core.redaction import check_address

logger = logging.getLogger(__name__)


class Retired(NamedTuple):
    """A setting of earlier versions, which configurations and run folders may still have.

    Attributes:
        section: The class it was in.
        name: Its name there.
        default: Its default; at its default it is dropped without a word.
        moved: Where the section has its value now.
        instead: What to do where another value cannot be ignored; empty where it changes no result.
    """

    section: str
    name: str
    default: Any
    moved: str = ""
    instead: str = ""


RETIRED = (
    Retired("KnowledgeSettings", "text_column", "text", "columns.text"),
    Retired("KnowledgeSettings", "id_column", "id", "columns.id"),
    Retired("KnowledgeSettings", "source_column", "source", "columns.source"),
    Retired("KnowledgeSettings", "embedder_urls", [], "embedder_options.urls"),
    Retired("KnowledgeSettings", "embedder_token", "TEI_TOKEN", "embedder_options.token_variable"),
    Retired("KnowledgeSettings", "embedder_concurrency", 4, "embedder_options.concurrency"),
    Retired("KnowledgeSettings", "embedder_timeout", 120.0, "embedder_options.timeout"),
    Retired("KnowledgeSettings", "embedder_attempts", 6, "embedder_options.attempts"),
    Retired("FilterSettings", "empty", True, instead="filters.unparsed drops empty answers and refusals too."),
    Retired("EvaluationSettings", "bert_score_layer", 6, instead="evaluation.bert_score_model decides the layer."),
    Retired("EvaluationSettings", "map_points", 400),
    Retired("StudentSettings", "held_back", 64),
)


def _is_number(annotation: Any) -> bool:
    kinds = get_args(annotation) or (annotation,)
    return bool not in kinds and (int in kinds or float in kinds)


class Section(BaseModel):
    """A frozen group of settings; unknown keys are an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, protected_namespaces=())

    @field_validator("*", mode="before")
    @classmethod
    def _refuse_true_for_a_number(cls, value: Any, info: ValidationInfo) -> Any:
        """`train_limit: true` would be one question; `leakage: false` is off."""
        if value is True and info.field_name and _is_number(cls.model_fields[info.field_name].annotation):
            raise ValueError("Input should be a number")
        return value

    @model_validator(mode="before")
    @classmethod
    def _read_retired(cls, data: Any) -> Any:
        """Move or drop the settings of earlier versions."""
        retired = [old for old in RETIRED if old.section == cls.__name__]
        if not isinstance(data, Mapping) or not any(old.name in data for old in retired):
            return data
        data = dict(data)
        for old in retired:
            value = data.pop(old.name, old.default)
            if value == old.default:
                continue
            if old.instead:
                raise PydanticCustomError("retired", "{name}", {"name": old.name, "instead": old.instead})
            group, _, key = old.moved.partition(".")
            if key:
                data[group] = {key: value, **(data.get(group) or {})}
            else:
                logger.warning("'%s' is no longer a setting and is ignored.", old.name)
        return data


class TaskSettings(Section):
    """What is asked: the questions, and the names of their columns."""

    name: str = Field(
        "qasc", description="Task: qasc, multiple_choice, open_qa, text_classification, or a plugin's name."
    )
    questions: str | None = Field(
        None,
        description="Unlabelled questions: a dataset repo (OWNER/NAME[@REVISION]) or a .jsonl, .csv or .parquet file. "
        "When empty, questions are generated from the documents (see curation).",
    )
    train_split: str = Field("train", description="Split whose questions are labelled; its answers are never read.")
    train_limit: int | None = Field(None, ge=1, description="Maximum number of questions to label; all when empty.")
    evaluation_questions: str | None = Field(
        None, description="Held-out questions with answers: a repo or file; the same as `questions` when empty."
    )
    evaluation_split: str = Field("validation", description="Split that holds the held-out questions.")
    evaluation_limit: int | None = Field(
        None, ge=1, description="Maximum number of questions to evaluate on; all when empty."
    )
    columns: dict[str, str] = Field(
        default_factory=dict,
        description="Column mapping for multiple_choice, open_qa and text_classification: keys id, question, options, "
        "answer.",
    )
    first_option: int | None = Field(
        None,
        ge=0,
        le=1,
        description="Index of the first option where answers are numbers: 0 or 1; inferred from the whole column, and "
        "reported, when empty.",
    )
    classes: tuple[str, ...] = Field(
        (),
        description="Class names for text_classification, in label order; taken from the dataset when empty.",
    )
    template: str = Field(
        "{text}",
        description="Question template for text_classification, e.g. 'Which emotion does this text express? {text}'.",
    )
    unusable_rows: Literal["stop", "leave_out"] = Field(
        "stop",
        description="What to do with a question, corpus row or document that cannot be used: stop, or leave it out, "
        "list it in the run folder and count it in the report.",
    )


class CurationSettings(Section):
    """Questions generated from the documents: which writers, how many to train on, how many to hold out."""

    writers: tuple[str, ...] | None = Field(
        None,
        description="Question writers (plugins): cloze, chains, prompted. When empty: cloze if task.questions is not "
        "set, otherwise none. Chains lowered accuracy where they were measured.",
    )
    options: dict[str, dict[str, Any]] = Field(
        default_factory=dict, description="Options of the writers: one section per writer, under its name."
    )
    limit: int | None = Field(
        2000, ge=1, description="Maximum number of generated training questions; null = no limit."
    )
    held_out: float = Field(
        0.1,
        ge=0,
        lt=1,
        description="Share of the facts held out for evaluation if task.evaluation_questions is not set; and of the "
        "studied facts that are asked in several forms, three times that share lose one form to it.",
    )
    check: Literal["text", "teacher"] = Field(
        "text",
        description="How answers are verified: text = taken from the document's own words; teacher = the teacher, "
        "reading the source passage, must also give the same answer.",
    )


class KnowledgeSettings(Section):
    """The corpus the teacher retrieves from, and the retriever."""

    source: str | None = Field(
        None,
        description="Corpus: a dataset repo or published knowledge base (OWNER/NAME[@REVISION]), a .jsonl, .csv or "
        ".parquet file with one text per row, a .txt, .md, .html or .pdf document, or a folder of documents.",
    )
    split: str = Field("train", description="Split of the repo that holds the corpus.")
    columns: dict[Literal["id", "text", "source"], str] = Field(
        default_factory=dict,
        description="Column mapping of a corpus of rows: keys id, text, source, which are also the defaults. Without "
        "ids the row number is the id; a source is optional.",
    )
    chunk_tokens: int = Field(
        200, ge=16, description="Maximum length of a document chunk, in tokens; rows are not split."
    )
    chunk_overlap: int = Field(40, ge=0, description="Overlap of consecutive chunks of a document, in tokens.")
    embedder: str = Field(
        "sentence-transformers", description="Embedder plugin: sentence-transformers (in process) or tei (TEI servers)."
    )
    embedder_options: dict[str, Any] = Field(
        default_factory=dict,
        description="Options of the embedder plugin; tei: urls (servers of embedding_model, without user name or "
        "password; replicas share the load), token_variable, concurrency, attempts, timeout.",
    )
    embedding_model: str = Field(
        "sentence-transformers/all-MiniLM-L6-v2", description="Embedding model repo (OWNER/NAME[@REVISION])."
    )
    retriever: str = Field("fused", description="Retriever plugin: dense, bm25, fused, two_step, per_option.")
    retriever_options: dict[str, Any] = Field(default_factory=dict, description="Options of the retriever plugin.")
    passages: int = Field(6, ge=0, le=100, description="Passages shown to the teacher per question.")

    def column(self, name: Literal["id", "text", "source"]) -> str:
        """The corpus's column for the id, the text or the source of a row."""
        return self.columns.get(name, name)

    @field_validator("embedder_options")
    @classmethod
    def _check_urls(cls, options: dict[str, Any]) -> dict[str, Any]:
        """Options are written down and published, so URLs are checked before the plugin sees them."""
        urls = options.get("urls")
        for url in urls if isinstance(urls, list | tuple) else ():
            check_address(str(url), "token_variable")
        return options


class TeacherModel(Section):
    """A model that teaches: another one than the base, or the base on a server."""

    base: str = Field(description="Model repo (OWNER/NAME[@REVISION]).")
    engine: EngineSettings | None = Field(None, description="Where it runs; as the section `engine` when empty.")


class TeacherSettings(Section):
    """Who the teacher is (the base model with passages, unless another model is named), and how it answers."""

    base: tuple[TeacherModel, ...] = Field(
        (),
        description="Another model that teaches: OWNER/NAME[@REVISION], {base: OWNER/NAME, engine: {...}} for one that "
        "runs elsewhere than the base (settings as in `engine`), or a list of several; the base itself when empty.",
    )
    adapter: str | None = Field(
        None,
        description="Adapter of the base that teaches: a student of an earlier run, OWNER/NAME[@REVISION] or a folder; "
        "set by `distill --from RUN`.",
    )
    prompt: Literal["plain", "chat"] = Field(
        "plain", description="Prompt format of all arms: plain text, or one turn in the model's chat template."
    )
    style: Literal["auto", "letter", "text", "text_minus_prior"] = Field(
        "auto", description="How options are scored; auto chooses by a label-free test on a sample."
    )
    style_sample: int = Field(48, ge=8, description="Sample size of the automatic choice of style, in questions.")
    batch_size: int = Field(16, ge=1, description="Questions per batch: the most work a killed run has to repeat.")
    explain: Literal["auto", "always", "never"] = Field(
        "auto", description="Ask for an explanation that cites passages: auto = if the model does it well on a sample."
    )
    max_new_tokens: int = Field(48, ge=1, description="Maximum length of a free-text answer or explanation, in tokens.")
    labels: str | None = Field(
        None,
        description="Imported labels, used instead of asking a teacher: a dataset repo or file with an id and the "
        "probability of every option.",
    )
    labels_split: str = Field("train", description="Split that holds the imported labels.")
    labels_columns: dict[str, str] = Field(
        default_factory=dict,
        description="Column mapping of the imported labels: keys id, probabilities (a list column, or one column per "
        "option, separated by commas).",
    )
    orders: int = Field(
        4, ge=1, le=26, description="Option orders the letter style averages over; text styles do not list the options."
    )
    support_weight: float = Field(
        1.0,
        ge=0,
        description="Weight of the retriever's own score of each option (per_option gives one) beside the model's "
        "calibrated log-probability; 0 = the model alone.",
    )
    calibrate: bool = Field(
        True,
        description="Calibrate the confidence (temperature scaling) on the agreement of two views; needs no labels.",
    )
    calibration_sample: int = Field(192, ge=16, description="Sample size for fitting the temperatures, in questions.")
    shots: int = Field(0, ge=0, le=64, description="Few-shot examples in the teacher's prompt; 0 = none.")
    examples: str | None = Field(
        None,
        description="File with the few-shot examples: rows with `question` and `answer` (.jsonl, .csv, .parquet); the "
        "teacher's own most confident labels when empty.",
    )
    samples: int = Field(
        0,
        ge=0,
        le=64,
        description="Answers drawn for each written one: the share that agrees is its agreement, and its confidence "
        "where the engine returns no log-probabilities; 0 = none.",
    )

    @field_validator("base", mode="before")
    @classmethod
    def _list_models(cls, value: Any) -> Any:
        """A repo or a mapping alone is a list of one."""
        models = value if isinstance(value, list | tuple) else [] if value is None else [value]
        return [{"base": model} if isinstance(model, str) else model for model in models]


class FilterSettings(Section):
    """Filters that run before any selection method; dropped labels are saved with the reason."""

    unparsed: bool = Field(
        True, description="Drop answers that match none of the options, are empty, or refuse to answer."
    )
    min_confidence: float = Field(0.0, ge=0, le=1, description="Drop labels with a lower confidence; 0 = off.")
    min_agreement: float = Field(
        0.0,
        ge=0,
        le=1,
        description="Drop labels whose answers agree less often across option orders or samples (minimum share that "
        "agrees); 0 = off.",
    )
    unsupported: bool = Field(False, description="Drop answers that share no content word with the passages.")
    near_duplicates: float = Field(
        0.0,
        ge=0,
        le=1,
        description="Keep only the first of questions at least this similar (Jaccard of word bigrams); 0 = off.",
    )
    leakage: float = Field(
        0.8,
        ge=0,
        le=1,
        description="Drop questions at least this similar to a held-out one (Jaccard of word bigrams); 0 = off.",
    )


class SelectionSettings(Section):
    """Which pseudo-labels the student learns from."""

    method: str = Field(
        "all",
        description="Selector plugin. Before training: all, random, confidence, entropy_score, cckd_l, llkd_ahead; "
        "at every step: llkd, llkd_w, freematch, softmatch, unixkd, cckd_t_reg, random_step.",
    )
    options: dict[str, Any] = Field(default_factory=dict, description="Options of the selector plugin.")
    ask_student: bool = Field(
        False,
        description="Measure the base's closed-book uncertainty on every question before training and write it next to "
        "the teacher's confidence in 4-selected and 4-dropped; costs one closed-book answer per question.",
    )


class StudentSettings(Section):
    """The adapter and its training."""

    objective: str = Field("sft", description="Training objective plugin: sft, kl, online, dpo, kto, grpo, sdft.")
    objective_options: dict[str, Any] = Field(default_factory=dict, description="Options of the objective plugin.")
    adapter: Literal["lora", "dora", "rslora", "qlora"] = Field(
        "lora", description="Adapter type; qlora trains on a 4-bit base and needs bitsandbytes."
    )
    rank: int = Field(16, ge=1, description="Adapter rank r.")
    alpha: int = Field(
        32, ge=1, description="Adapter scaling alpha (the update is scaled by alpha / r; rslora: alpha / sqrt(r))."
    )
    dropout: float = Field(0.0, ge=0, lt=1, description="Dropout on the adapter's input.")
    target_modules: str | tuple[str, ...] = Field("all-linear", description="Modules to adapt.")
    layers: Annotated[float, Field(gt=0, le=1)] | tuple[int, ...] | None = Field(
        None,
        description="Layers to adapt: indices from 0, or the share of the upper ones (0.6: the upper 60 %, which "
        "forget less and may learn less); all when empty.",
    )
    learning_rate: float = Field(2e-4, gt=0, description="Peak learning rate.")
    epochs: float = Field(3, gt=0, description="Passes over the selected labels.")
    batch_size: int = Field(16, ge=1, description="Samples per optimiser step, across all processes.")
    micro_batch_size: int | None = Field(
        None, ge=1, description="Samples per forward and backward pass, to save memory; the whole batch when empty."
    )
    gradient_checkpointing: bool = Field(
        False, description="Recompute activations instead of storing them: less memory, more time."
    )
    patience: int | None = Field(
        None,
        ge=1,
        description="Early stopping: stop when agreement with the teacher on labelled questions held back from "
        "training (a fifth, at most 64) has not improved for this many checks (one per checkpoint_every steps), and "
        "keep the best adapter; off when empty.",
    )
    log_to: tuple[Literal["tensorboard", "trackio"], ...] = Field(
        (), description="Also log training curves to: tensorboard (files in the run folder), trackio (local)."
    )
    warmup: float = Field(0.03, ge=0, lt=1, description="Share of the steps used for learning-rate warm-up.")
    weight_decay: float = Field(0.0, ge=0, description="AdamW weight decay.")
    max_grad_norm: float = Field(1.0, gt=0, description="Maximum gradient norm (clipping).")
    checkpoint_every: int = Field(
        50, ge=1, description="Optimiser steps between checkpoints; a killed run resumes from the last one."
    )


class EngineSettings(Section):
    """Where the base model runs, and in which precision."""

    name: str = Field(
        "transformers",
        description="Engine plugin: transformers (in this process), classifier (an encoder), openai (an "
        "OpenAI-compatible server), inference (Inference Providers and Endpoints), vllm (in this process, on a GPU); "
        "for a teacher also lbl2transformervec (an embedder). Only the teacher uses a server or vllm; the student runs "
        "with transformers.",
    )
    url: str | None = Field(
        None, description="URL of the server, e.g. http://127.0.0.1:8000, without user name or password."
    )
    model: str | None = Field(
        None, description="The base model's name on the server; when empty, detected, or the base's repo name."
    )
    provider: str = Field("auto", description="Inference Provider, for the engine `inference` without a URL.")
    token_variable: str = Field(
        "", description="Environment variable that holds the server's token; the token itself is never stored."
    )
    concurrency: int = Field(8, ge=1, le=256, description="Maximum concurrent requests to the server.")
    attempts: int = Field(6, ge=1, description="Attempts per request before a busy server counts as unavailable.")
    timeout: float = Field(120.0, gt=0, description="Time limit for a complete response, in seconds.")
    device: str = Field("auto", description="Device: auto, cpu, cuda, mps.")
    dtype: Literal["auto", "float32", "bfloat16", "nf4"] = Field(
        "auto",
        description="Precision of labelling and training; auto = bfloat16 where the hardware is fast at it, else "
        "float32; nf4 = 4-bit (needs bitsandbytes).",
    )
    trust_remote_code: bool = Field(False, description="Run code from the model repo. Only for repos you trust.")

    @field_validator("url")
    @classmethod
    def _check_url(cls, value: str | None) -> str | None:
        return value if value is None else check_address(value, "engine.token_variable")
