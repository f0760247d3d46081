"""The adapter card."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from solo_hub.core.settings import StudentSettings
from solo_hub.core.system import format_bytes
from solo_hub.evaluation.report.format import METRICS, forgetting_lines, trust_lines
from solo_hub.publishing import cards, facts, recipe
from solo_hub.publishing.documents import RunDocuments
from solo_hub.publishing.licences import Licence
from solo_hub.publishing.markdown import Markdown, code, one_line, two_columns
from solo_hub.publishing.naming import Names

TRAINING = {
    "examples": "training examples (pseudo-labels)",
    "steps": "optimiser steps",
    "epochs": "epochs",
    "tokens": "training tokens",
    "final_loss": "final training loss",
    "largest_change": "largest change in an answer's log-probability, nats",
    "seconds": "training time",
    "peak_memory_bytes": "peak memory",
    "trainable_parameters": "trainable parameters",
}
"""Training figures that the card lists, by their names in the report."""

LOSSES = {
    "sft": "The loss is the cross-entropy of the answer and its end token, in nats per token; the prompt is masked.",
    "kl": "The loss is the divergence of the student's option probabilities from the teacher's, in nats per question, "
    "mixed with the cross-entropy of the answer, in nats per token.",
    "online": "The loss is the divergence of the student from the teacher, which is evaluated in each step, in nats, "
    "mixed with the cross-entropy of the answer, in nats per token.",
    "sdft": "The loss is the divergence of the student from the teacher at every token the student generated, in nats "
    "per token (TRL's SDFT trainer).",
    "dpo": "The loss is that of DPO on pairs of answers the teacher ranked (TRL's DPO trainer), mixed with the "
    "cross-entropy of the preferred answer.",
    "kto": "The loss is that of KTO on answers the teacher ranked (TRL's KTO trainer).",
    "grpo": "The loss is that of GRPO (TRL's trainer): the reward of an answer the student wrote is its teacher's "
    "probability of it.",
    "class": "The loss is the cross-entropy of the class, in nats per text.",
}
"""The loss in words, by objective; `class` for every encoder."""

HYPER_PARAMETERS = {
    "adapter": "adapter",
    "rank": "rank r",
    "alpha": "alpha",
    "dropout": "dropout",
    "target_modules": "target modules",
    "objective": "objective",
    "learning_rate": "peak learning rate",
    "batch_size": "batch size",
    "warmup": "warm-up, fraction of the steps",
    "weight_decay": "weight decay",
    "max_grad_norm": "gradient clipping",
}
"""Settings that the card lists; the report's values take precedence over the settings."""

VLLM_RANKS = (8, 16, 32, 64, 128, 256, 320, 512)
"""Values of vLLM's `--max-lora-rank`; its default is 16."""


@dataclass(frozen=True, slots=True)
class AdapterVersion:
    """The part of an adapter version that does not come from the run.

    Attributes:
        tag: Its version tag, `v1`, `v2`, ...
        dataset_commit: Commit of the published pseudo-labels it was trained on.
        dataset_tag: Their version tag.
    """

    tag: str
    dataset_commit: str
    dataset_tag: str


def adapter_card(
    documents: RunDocuments, names: Names, licence: Licence, version: AdapterVersion, *, curve: str | None = None
) -> str:
    """Render the card of the adapter.

    Args:
        documents: The run.
        names: Names of the published repos.
        licence: Licence of the adapter.
        version: Its tag, and the dataset it goes with.
        curve: File name of the training curve beside the card, or None.
    """
    report, endpoint, base = documents.report, documents.resolved.endpoint, documents.base
    judged, metrics = facts.gain(report), report.get("metrics") or {}
    evaluated = documents.repo("evaluation_questions") or documents.repo("questions")
    context = {
        **cards.shared(documents, licence),
        "names": names,
        "version": version,
        "base": base,
        "space": cards.repo_link(names.space, "space", version.tag, endpoint) if names.space else None,
        "dataset_link": cards.repo_link(names.dataset, "dataset", version.dataset_commit, endpoint),
        "evaluated": cards.entry_link(evaluated, endpoint) if evaluated else None,
        "judged": judged,
        "verdict": facts.verdict(report),
        "n_questions": report.get("n_questions"),
        "results": facts.results(report) if report.get("arms") else None,
        "interval": metrics.get("interval"),
        "reading": facts.reading(report),
        "has_teacher": bool((report.get("arms") or {}).get("teacher")),
        "loss": _loss(documents),
        "definitions": [
            (METRICS[name], metrics[name]) for name in facts.HUB_METRICS if isinstance(metrics.get(name), str)
        ],
        "paired": facts.paired(report),
        "errors": facts.errors(report),
        "gap_closed": facts.gap_closed(report),
        "cost": facts.cost(report),
        "forgetting": facts.sentences(forgetting_lines(report)),
        "trust": facts.sentences(trust_lines(report)),
        "selection": _selection(report),
        "label_quality": facts.label_quality(report),
        "recipe": recipe.make(documents.example),
        "prompt": recipe.prompt_block(documents.example.prompt),
        "style": documents.example.style,
        "scoring": recipe.scoring(documents.example.style),
        "stop": documents.example.stop,
        "new_tokens": documents.settings.evaluation.max_new_tokens,
        "training": _figures(report.get("training") or {}, TRAINING),
        "hyper_parameters": _figures(
            {**documents.settings.student.model_dump(), **(report.get("training") or {})}, HYPER_PARAMETERS
        ),
        "vllm_rank": _vllm_rank(documents.settings.student),
        "seed": report.get("seed"),
        "curve": curve,
        "origins": cards.origins_table(documents.resolved.repos.items(), endpoint),
        "environment": two_columns(("What", "Version"), documents.resolved.versions),
    }
    return cards.render("adapter.md.jinja", _front(documents, names, licence), "model", context)


def _front(documents: RunDocuments, names: Names, licence: Licence) -> dict[str, Any]:
    entries = [documents.repo(role) for role in ("questions", "evaluation_questions", "knowledge", "labels")]
    datasets = [entry.repo_id for entry in entries if entry and entry.repo_id]
    return {
        "language": cards.languages(entries, documents.base),
        **cards.licence_entries(licence),
        "library_name": "peft",
        "pipeline_tag": "text-classification" if documents.example.style == "class" else "text-generation",
        "base_model": documents.base.repo_id,
        "base_model_relation": "adapter",
        "datasets": list(dict.fromkeys([names.dataset, *datasets])),
        "metrics": list(dict.fromkeys(metric["type"] for metric in _metrics(documents.report))),
        "tags": [
            "solo-hub",
            *(() if documents.repo("labels") or documents.teachers else ("solo-distillation", "self-distillation")),
            "knowledge-distillation",
            "pseudo-labels",
            "lora",
        ],
        "model-index": model_index(documents, names),
    }


def _vllm_rank(student: StudentSettings) -> int | None:
    """What vLLM's `--max-lora-rank` must be; None for an adapter that it does not load."""
    if student.adapter == "dora":
        return None
    return next((rank for rank in VLLM_RANKS if rank >= student.rank), None)


def _objective(documents: RunDocuments) -> str:
    if documents.example.style == "class":
        return "class"
    return documents.settings.student.objective


def _loss(documents: RunDocuments) -> str:
    """The loss in words; only named where the objective is a plugin's."""
    return LOSSES.get(_objective(documents)) or f"The loss is that of the objective {_objective(documents)}."


def loss_unit(documents: RunDocuments) -> str:
    """Unit of the loss, for the plot; empty for a sum of several."""
    return {"sft": "nats per token", "sdft": "nats per token", "class": "nats per text"}.get(_objective(documents), "")


def model_index(documents: RunDocuments, names: Names) -> list[dict[str, Any]] | None:
    """The student's results in the Hub's form; the values are the report's own, not rounded."""
    metrics = _metrics(documents.report)
    if not metrics:
        return None
    evaluated = documents.repo("evaluation_questions") or documents.repo("questions")
    task = documents.settings.task
    listed = bool(documents.example.question.options)
    dataset = {
        "type": evaluated.repo_id if evaluated and evaluated.repo_id else one_line(documents.subject),
        "name": one_line(evaluated.name if evaluated else documents.subject),
        "split": task.evaluation_split if evaluated and evaluated.repo_id else None,
        "revision": evaluated.commit if evaluated else None,
    }
    closed_book = {
        "type": "multiple-choice" if listed else "question-answering",
        "name": "Closed-book question answering",
    }
    classes = task.name == "text_classification"
    result = {
        "task": {"type": "text-classification", "name": "Text classification"} if classes else closed_book,
        "dataset": {key: value for key, value in dataset.items() if value},
        "metrics": metrics,
    }
    return [{"name": names.adapter.rsplit("/", 1)[-1], "results": [result]}]


def _metrics(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    metrics = []
    for metric, hub_metric in facts.HUB_METRICS.items():
        measured = facts.measure(report, "student", metric)
        if measured:
            name = f"{METRICS[metric]} (student, closed book)"
            metrics.append({"type": hub_metric, "value": measured["value"], "name": name})
    return metrics


def _selection(report: Mapping[str, Any]) -> Markdown | None:
    selection = report.get("selection") or {}
    if selection.get("kept") is None:
        return None
    kept, dropped = selection["kept"], selection.get("dropped") or 0
    method = f" by the method {code(str(selection['method']))}" if selection.get("method") else ""
    return Markdown(f"Selection{method} kept {kept:,} of {kept + dropped:,} pseudo-labels and dropped {dropped:,}.")


def _figures(values: Mapping[str, Any], names: Mapping[str, str]) -> Markdown | None:
    rows = {label: _figure(name, values[name]) for name, label in names.items() if values.get(name) is not None}
    return two_columns(("What", "Value"), rows) if rows else None


def _figure(name: str, value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(str(item) for item in value)
    if isinstance(value, bool | str) or not isinstance(value, int | float):
        return str(value)
    if name == "peak_memory_bytes":
        return format_bytes(value)
    if name == "seconds":
        return f"{value:,.0f} s"
    # from ten thousand on, decimals are noise
    return f"{value:,.0f}" if isinstance(value, int) or value >= 10_000 else f"{value:.4g}"  # noqa: PLR2004
