"""A small run, made by hand: four questions about an invented town, three labels kept and one dropped."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from solo_hub.core.records import Passage, PseudoLabel, Question, Retrieval, Verdict
from solo_hub.publishing.documents import PromptExample, RunDocuments
from solo_hub.publishing.naming import Names, repo_names

BASE_COMMIT = "a" * 40
QUESTIONS_COMMIT = "b" * 40
KNOWLEDGE_COMMIT = "c" * 40


def interval(value, low, high, n):
    return {"value": value, "low": low, "high": high, "n": n}


def cause(text, count, share):
    return {"text": text, "count": count, "of": "wrong answers", **share}


def make_config(**repos: Any) -> dict[str, Any]:
    known = {
        "base": {
            "repo_id": "acme/tiny-instruct",
            "type": "model",
            "revision": "main",
            "commit": BASE_COMMIT,
            "license": "apache-2.0",
        },
        "questions": {
            "repo_id": "acme/town",
            "type": "dataset",
            "revision": "main",
            "commit": QUESTIONS_COMMIT,
            "license": "cc-by-4.0",
            "language": ["en"],
        },
        "knowledge": {
            "repo_id": "acme/town-facts",
            "type": "dataset",
            "revision": "main",
            "commit": KNOWLEDGE_COMMIT,
            "license": "mit",
        },
        "embedder": {
            "repo_id": "acme/embedder",
            "type": "model",
            "revision": "main",
            "commit": "d" * 40,
            "license": "apache-2.0",
        },
    }
    return {
        "config_version": 1,
        "settings": {
            "name": "town",
            "base": "acme/tiny-instruct",
            "seed": 7,
            "task": {"name": "town", "questions": "acme/town", "evaluation_split": "validation"},
            "knowledge": {"source": "acme/town-facts", "retriever": "dense", "passages": 2},
            "student": {
                "objective": "sft",
                "adapter": "lora",
                "rank": 4,
                "alpha": 8,
                "dropout": 0.0,
                "target_modules": "all-linear",
                "learning_rate": 2e-4,
                "batch_size": 16,
                "warmup": 0.03,
                "weight_decay": 0.0,
                "max_grad_norm": 1.0,
            },
            "evaluation": {"max_new_tokens": 24},
        },
        "resolved": {
            "created": "2026-01-01T00:00:00Z",
            "solo_hub": "0.1.0",
            "python": "3.11.9",
            "platform": "Linux-x86_64",
            "libraries": {"torch": "2.13.0", "transformers": "5.23.0", "peft": "0.21.2"},
            "endpoint": "https://huggingface.co",
            "repos": {**known, **repos},
        },
    }


def make_report() -> dict[str, Any]:
    """Everything the report can hold; the numbers are a real 926-question picture."""
    return {
        "format_version": 1,
        "run": "town",
        "seed": 7,
        "base": "acme/tiny-instruct",
        "task": "town",
        "n_questions": 926,
        "arms": {
            "base": {
                "accuracy": interval(0.27321, 0.2456, 0.3028, 926),
                "rougeL": interval(0.1201, 0.11, 0.13, 926),
                "seconds_per_question": {"p50": 0.231, "p95": 0.402},
                "passages": False,
            },
            "teacher": {
                "accuracy": interval(0.50107, 0.469, 0.5332, 926),
                "rougeL": interval(0.3412, 0.32, 0.36, 926),
                "seconds_per_question": {"p50": 0.449, "p95": 0.81},
                "passages": True,
            },
            "student": {
                "accuracy": interval(0.44816, 0.4164, 0.4803, 926),
                "accuracy_generated": interval(0.4, 0.37, 0.43, 926),
                "rouge1": interval(0.31, 0.29, 0.33, 926),
                "rouge2": interval(0.1, 0.09, 0.11, 926),
                "rougeL": interval(0.30019, 0.28, 0.32, 926),
                "bert_score_f1": interval(0.8123, 0.8, 0.82, 926),
                "seconds_per_question": {"p50": 0.233, "p95": 0.41},
                "passages": False,
            },
        },
        "paired": {
            "student_vs_base": {
                "n": 926,
                "only_first": 250,
                "only_second": 88,
                "difference": interval(0.17495, 0.141, 0.209, 926),
                "p_value": 3.1e-19,
                "test": "mcnemar_exact",
            },
            "student_vs_teacher": {
                "n": 926,
                "only_first": 100,
                "only_second": 149,
                "difference": interval(-0.0529, -0.086, -0.02, 926),
                "p_value": 0.0023,
                "test": "mcnemar_exact",
            },
            "teacher_vs_base": {
                "n": 926,
                "only_first": 300,
                "only_second": 89,
                "difference": interval(0.2279, 0.19, 0.26, 926),
                "p_value": 1e-28,
                "test": "mcnemar_exact",
            },
        },
        "gap_closed": interval(0.7678, 0.62, 0.91, 926),
        "labels": {
            "n": 4,
            "style": "text_minus_prior",
            "mean_confidence": 0.6123,
            "accuracy": interval(0.36, 0.331, 0.39, 1000),
            "passages_dropped": 1,
        },
        "selection": {
            "method": "llkd",
            "kept": 3,
            "dropped": 1,
            "accuracy_kept": interval(0.44, 0.4, 0.48, 600),
            "accuracy_dropped": interval(0.2, 0.17, 0.24, 400),
        },
        "errors": {
            "teacher_right": cause("teacher right, student not", 149, interval(0.29159, 0.2536, 0.3328, 511)),
            "both_wrong": cause("teacher and student wrong", 362, interval(0.70841, 0.6672, 0.7464, 511)),
        },
        "training": {
            "examples": 3,
            "steps": 189,
            "epochs": 3,
            "final_loss": 1.2345,
            "seconds": 812.4,
            "tokens": 120345,
            "peak_memory_bytes": 1234567890,
            "adapter": "lora",
            "rank": 4,
            "alpha": 8,
            "learning_rate": 2e-4,
            "trainable_parameters": 4884480,
        },
        "metrics": {
            "interval": "95 % Wilson / bootstrap percentile",
            "accuracy": "chosen option is the right one",
            "bert_score": {"model": "acme/embedder"},
            "rouge": {},
        },
    }


def bare_report() -> dict[str, Any]:
    """Everything optional absent or null."""
    return {
        "format_version": 1,
        "run": "town",
        "seed": 7,
        "base": "acme/tiny-instruct",
        "task": "town",
        "n_questions": 0,
        "arms": {},
        "paired": {},
        "gap_closed": None,
        "labels": {"n": 0, "style": "generate", "mean_confidence": None, "accuracy": None, "passages_dropped": 0},
        "selection": {"method": "all", "kept": None, "dropped": None, "accuracy_kept": None, "accuracy_dropped": None},
        "training": {},
        "metrics": {},
    }


QUESTIONS = tuple(
    Question(f"q{i}", f"What does the {thing} of Orlo show?", ("noon", "the tide", "rain", "nothing"))
    for i, thing in enumerate(("clock", "bell", "flag", "lamp"), start=1)
)


def make_adapter(folder: Path, *, zero: bool = False) -> Path:
    folder.mkdir(parents=True)
    weights = {
        "base_model.model.layer.lora_A.weight": np.ones((4, 8), dtype=np.float32),
        "base_model.model.layer.lora_B.weight": np.zeros((8, 4), dtype=np.float32)
        if zero
        else np.full((8, 4), 0.5, dtype=np.float32),
    }
    save_file(weights, folder / "adapter_model.safetensors")
    (folder / "adapter_config.json").write_text(
        '{"peft_type": "LORA", "task_type": "CAUSAL_LM", "r": 4, "lora_alpha": 8, "revision": null,'
        ' "base_model_name_or_path": "/somewhere/local", "target_modules": ["v_proj", "q_proj"]}'
    )
    return folder


@pytest.fixture
def documents(tmp_path: Path) -> RunDocuments:
    labels = tuple(
        PseudoLabel(
            q.id,
            1,
            (0.1, 0.7, 0.15, 0.05),
            "the tide",
            0.7,
            ("p1", "p2"),
            1 if q.id == "q4" else 0,
            "text_minus_prior",
            f"key-{q.id}",
        )
        for q in QUESTIONS
    )
    return RunDocuments(
        config=make_config(),
        questions=QUESTIONS,
        retrievals=tuple(
            Retrieval(
                q.id,
                (
                    Passage("p1", f"The {q.text.split()[3]} of Orlo shows the tide.", 0.81, "town"),
                    Passage("p2", "Orlo lies by the sea.", 0.5),
                ),
            )
            for q in QUESTIONS
        ),
        labels=labels,
        verdicts=tuple(
            Verdict(q.id, q.id != "q4", "kept by the method" if q.id != "q4" else "teacher unsure", 0.7, 0.4)
            for q in QUESTIONS
        ),
        report=make_report(),
        adapter=make_adapter(tmp_path / "run" / "5-adapter"),
        example=PromptExample(
            question=QUESTIONS[0],
            prompt=f"Question: {QUESTIONS[0].text}\nAnswer:",
            style="text_minus_prior",
            prior="Answer:",
            continuations=tuple(f" {option}" for option in QUESTIONS[0].options),
            teacher=f"The clock of Orlo shows the tide.\nOrlo lies by the sea.\nQuestion: {QUESTIONS[0].text}\nAnswer:",
        ),
    )


@pytest.fixture
def bare(documents: RunDocuments) -> RunDocuments:
    """The same run with nothing in it that may be missing."""
    config = make_config()
    config["resolved"] = {"repos": {"base": config["resolved"]["repos"]["base"] | {"license": None}}}
    config["settings"] = {}
    question = Question("q1", "Who rings the bell?")
    return dataclasses.replace(
        documents,
        config=config,
        questions=(question,),
        retrievals=(),
        labels=(PseudoLabel("q1", None, None, "Nobody.", None, (), 0, "generate", "k"),),
        verdicts=(Verdict("q1", True, ""),),
        report=bare_report(),
        example=PromptExample(question, "Question: Who rings the bell?\nAnswer:", "generate"),
    )


@pytest.fixture
def names() -> Names:
    return repo_names("ada", "town", "acme/tiny-instruct")


def folder_bytes(folder: Path) -> dict[str, bytes]:
    """Every file of a folder by its path in it."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()
    }
