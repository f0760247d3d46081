"""The report as one self-contained page: the story of a run from top to bottom.

Everything from a model, a dataset or a corpus is untrusted text: it is escaped by the template, or put into the page as
JSON and set by the page's script as text, never as markup. The page may load nothing: its own content policy forbids
it.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from solo_hub.evaluation import causes, plots, scoring
from solo_hub.evaluation.terminal import p_value_text
from solo_hub.records import Gold, Prediction, PseudoLabel, Question, Retrieval
from solo_hub.run import write_text

TEMPLATES = Path(__file__).parent / "templates"
LISTED = 5000
"""Questions in the browsable list at most; those that went wrong come first. 5,000 are about 6 MB of page."""

METRICS = (
    ("accuracy", "Accuracy, chosen option"),
    ("accuracy_generated", "Accuracy, written answer"),
    ("unparsed", "Written answers naming no option"),
    ("macro_f1", "Macro F1"),
    ("rouge1", "ROUGE-1"),
    ("rouge2", "ROUGE-2"),
    ("rougeL", "ROUGE-L"),
    ("rougeLsum", "ROUGE-Lsum"),
    ("bert_score_f1", "BERTScore F1"),
)
_ORDER = ("base", "teacher", "student")


@dataclass(frozen=True, slots=True)
class Story:
    """Everything the page tells of a run.

    Attributes:
        config: Content of `config.yaml`.
        report: Content of `6-report.json`.
        questions: The held-out questions.
        golds: Their answers.
        predictions: Per arm, one prediction a question.
        labels: The pseudo-labels, for the histogram of their confidences.
        retrievals: Passages of the held-out questions.
        training_log: Rows with `step` and `loss`.
        published: Content of `7-published.json`, once there is one.
    """

    config: Mapping[str, Any]
    report: Mapping[str, Any]
    questions: Sequence[Question]
    golds: Sequence[Gold]
    predictions: Mapping[str, Sequence[Prediction]]
    labels: Sequence[PseudoLabel] = ()
    retrievals: Sequence[Retrieval] = ()
    training_log: Sequence[Mapping[str, Any]] = ()
    published: Mapping[str, Any] = field(default_factory=dict)


def write_html(path: Path, story: Story) -> None:
    """Write `report.html`, whole or not at all.

    Raises:
        InputError: Questions, answers and predictions do not fit together.
    """
    write_text(path, render_html(story))


def render_html(story: Story) -> str:
    """Render the page; see `write_html`."""
    config, report = story.config, story.report
    golds, predictions = scoring.align(story.questions, story.golds, story.predictions)
    script = (TEMPLATES / "browse.js").read_text("utf-8")
    data = _listing(story.questions, golds, predictions, story.retrievals)
    settings = config.get("settings", {})
    return (
        environment()
        .get_template("report.html.jinja")
        .render(
            report=report,
            settings=settings,
            resolved=config.get("resolved", {}),
            repos=_repos(config),
            config_yaml=yaml.safe_dump(dict(config), sort_keys=False, allow_unicode=True),
            arms=_arms(report),
            metrics=_metric_rows(report),
            arm_bars=_arm_bars(report, story.questions),
            chance=_chance(story.questions),
            pairs=_pair_rows(report),
            causes=_cause_rows(report),
            label_plots=_label_plots(report, story.labels),
            cost_bars=_cost_bars(report),
            cost_axis=_cost_axis(report),
            loss=_loss(story.training_log),
            training=_training_rows(report),
            published=story.published,
            style=Markup((TEMPLATES / "report.css").read_text("utf-8")),  # noqa: S704 - our own file
            script=Markup(script),  # noqa: S704 - our own file
            script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
            data=_json(data),
            listed=len(data["questions"]),
        )
    )


def environment() -> Environment:
    """Jinja as all our pages use it: everything is escaped, and a misspelt name is an error."""
    made = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    made.filters |= {
        "share": _share,
        "interval": _interval,
        "points": _points,
        "p_value": p_value_text,
        "plain": _plain,
    }
    return made


def _json(data: Any) -> Markup:
    """JSON that cannot end the script element it stands in, whatever the texts hold."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)  # noqa: S704 - escaped above


def _share(value: float) -> str:
    return f"{100 * value:.1f} %"


def _points(value: float) -> str:
    return f"{100 * value:+.1f}".replace("-", "\u2212")


def _interval(measure: Mapping[str, Any]) -> str:
    return f"{100 * measure['low']:.1f}\u2013{100 * measure['high']:.1f}"


def _plain(value: Any) -> str:
    """A setting or number as read: thousands apart, no needless digits."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}".replace(",", "\u202f") if abs(value) >= 10_000 else str(value)  # noqa: PLR2004 - from 10 000
    if isinstance(value, float):
        return f"{value:.4g}"
    return "" if value is None else str(value)


def _repos(config: Mapping[str, Any]) -> list[tuple[list[str], Mapping[str, Any]]]:
    """What was pulled, with the roles it plays; one row where a repo plays several."""
    roles: dict[str, list[str]] = {}
    found: dict[str, Mapping[str, Any]] = {}
    for role, repo in (config.get("resolved", {}).get("repos") or {}).items():
        key = json.dumps([repo.get(name) for name in ("repo_id", "file", "commit", "sha256")])
        found.setdefault(key, repo)
        roles.setdefault(key, []).append(role.replace("_", " "))
    return [(roles[key], repo) for key, repo in found.items()]


def _arms(report: Mapping[str, Any]) -> list[str]:
    known = [name for name in _ORDER if name in report["arms"]]
    return known + [name for name in report["arms"] if name not in _ORDER]


def _chance(questions: Sequence[Question]) -> float | None:
    """Expected accuracy of guessing, 0..1; None for free text."""
    if not all(question.options for question in questions):
        return None
    return sum(1 / len(question.options) for question in questions) / len(questions)


def _arm_bars(report: Mapping[str, Any], questions: Sequence[Question]) -> list[plots.Row]:
    chance = _chance(questions)
    rows = []
    for name in _arms(report):
        arm = report["arms"][name]
        measure = arm["accuracy"]
        note = "with passages" if arm.get("passages") else "closed book"
        svg = plots.bar(measure, label=f"{name}: {_share(measure['value'])}", kind=name, mark=chance)
        rows.append(plots.Row(name, _share(measure["value"]), note, svg))
    return rows


def _metric_rows(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    arms = _arms(report)
    rows = []
    for key, name in METRICS:
        cells = [report["arms"][arm].get(key) for arm in arms]
        if any(cells):
            rows.append({"name": name, "cells": cells, "share": key in scoring.SHARES})
    return rows


def _pair_rows(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    pairs = report.get("paired", {})
    end = reach([row["difference"] for row in pairs.values()])
    rows = []
    for key, row in pairs.items():
        first, _, second = key.partition("_vs_")
        text = f"{first} minus {second}: {_points(row['difference']['value'])} points"
        svg = plots.difference(row["difference"], label=text, reach=end)
        rows.append({"first": first, "second": second, "svg": svg, "reach": end, **row})
    return rows


def reach(differences: Sequence[Mapping[str, Any]]) -> float:
    """End of an axis of differences: the next five points beyond the widest interval."""
    ends = [abs(measure[end]) for measure in differences for end in ("low", "high")]
    return math.ceil(20 * max([*ends, 0.05])) / 20


def _cause_rows(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    found = report.get("errors") or {}
    return [
        {"key": key, "svg": plots.bar(row, label=f"{row['text']}: {_share(row['value'])}", kind="student"), **row}
        for key, row in found.items()
    ]


def _label_plots(report: Mapping[str, Any], labels: Sequence[PseudoLabel]) -> dict[str, Markup]:
    told = report.get("labels") or {}
    counts = told.get("confidence_histogram")
    if not counts:
        confidences = [label.confidence for label in labels if label.confidence is not None]
        counts = (
            [sum(min(int(value * 10), 9) == i for value in confidences) for i in range(10)] if confidences else None
        )
    found: dict[str, Markup] = {}
    if counts:
        found["confidence"] = plots.histogram(
            counts, x_label="teacher's confidence", label="How sure the teacher was of its labels"
        )
    calibration = told.get("calibration")
    if calibration:
        found["reliability"] = plots.reliability(
            calibration["bins"], label="How often labels of each confidence were right"
        )
    return found


def _cost_top(report: Mapping[str, Any]) -> float:
    """Right end of the axis of seconds."""
    return plots.ceiling(
        [arm["seconds_per_question"]["p95"] for arm in report["arms"].values() if "seconds_per_question" in arm]
    )


def _cost_axis(report: Mapping[str, Any]) -> list[str]:
    return [f"{end:.3g} s" for end in plots.ticks(0, _cost_top(report))]


def _cost_bars(report: Mapping[str, Any]) -> list[plots.Row]:
    arms = _arms(report)
    times = {
        name: report["arms"][name]["seconds_per_question"]
        for name in arms
        if "seconds_per_question" in report["arms"][name]
    }
    top = _cost_top(report)
    return [
        plots.Row(
            name,
            f"{row['p50']:.3f} s",
            f"95 % within {row['p95']:.3f} s",
            plots.bar(
                {"value": row["p50"], "low": row["p50"], "high": row["p95"]},
                label=f"{name}: median {row['p50']:.3f} s",
                kind=name,
                top=top,
            ),
        )
        for name, row in times.items()
    ]


def _loss(log: Sequence[Mapping[str, Any]]) -> Markup | None:
    points = [(float(row["step"]), float(row["loss"])) for row in log if row.get("loss") is not None]
    if len(points) < 2:  # noqa: PLR2004 - a line needs two ends
        return None
    return plots.curve(points, x_label="optimiser step", y_label="loss, nats a token", label="Training loss")


def _training_rows(report: Mapping[str, Any]) -> list[tuple[str, str]]:
    told = report.get("training") or {}
    return [
        (key.replace("_", " "), _plain(value)) for key, value in told.items() if not isinstance(value, Mapping | list)
    ]


def _listing(
    questions: Sequence[Question],
    golds: Sequence[Gold],
    predictions: Mapping[str, Sequence[Prediction]],
    retrievals: Sequence[Retrieval],
) -> dict[str, Any]:
    """Questions for the browsable list: what went wrong first, then the rest, in the order asked."""
    findings = {finding.question_id: finding for finding in causes.explain(questions, golds, predictions, retrievals)}
    passages = {item.question_id: item.passages for item in retrievals}
    order = sorted(range(len(questions)), key=lambda i: questions[i].id not in findings)[:LISTED]
    rows = []
    for i in sorted(order):
        question, gold = questions[i], golds[i]
        finding = findings.get(question.id)
        rows.append(
            {
                "id": question.id,
                "question": question.text,
                "options": question.options,
                "gold": {"option": gold.option, "text": gold.text, "facts": gold.facts},
                "cause": finding.cause if finding else "right",
                "supported": finding.supported if finding else None,
                "answers": {arm: _answer(rows_of[i], gold) for arm, rows_of in predictions.items()},
                "passages": [
                    {"id": p.id, "text": p.text, "source": p.source, "supports": causes.supports([p.text], gold)}
                    for p in passages.get(question.id, ())
                ],
            }
        )
    names = {**causes.DESCRIPTIONS, "right": "teacher and student right"}
    return {"causes": names, "total": len(questions), "questions": rows}


def _answer(prediction: Prediction, gold: Gold) -> dict[str, Any]:
    return {
        "option": prediction.option,
        "right": scoring.is_right(gold, prediction),
        "probabilities": None if prediction.probabilities is None else [round(p, 3) for p in prediction.probabilities],
        "text": prediction.text,
        "passages": prediction.passages,
    }
