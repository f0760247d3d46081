"""The report as one self-contained HTML page.

Everything from a model, a dataset or a corpus is untrusted text: it is escaped by the template, or put into the page as
JSON and inserted by the page's script as text, never as markup. The page loads nothing: its content security policy
forbids it.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from solo_hub.core.files import write_text
from solo_hub.core.records import Gold, Prediction, Question, Retrieval
from solo_hub.core.system import format_bytes
from solo_hub.evaluation import error_causes as causes
from solo_hub.evaluation import scoring
from solo_hub.evaluation.report import figures
from solo_hub.evaluation.report import format as formats
from solo_hub.evaluation.report import plugins as further
from solo_hub.evaluation.report.terminal import left_out_lines
from solo_hub.evaluation.report.verdict import verdict
from solo_hub.run.resolved import Resolved
from solo_hub.student.control_labels import LEARNT_FROM

TEMPLATES = Path(__file__).parent / "templates"
LISTED = 5000
"""Maximum number of questions in the list; errors come first. 5,000 are about 6 MB of page."""


@dataclass(frozen=True, slots=True)
class ReportData:
    """Everything the page shows of a run; answers and predictions are aligned with the questions.

    Attributes:
        config: Content of `config.yaml`.
        report: Content of `6-report.json`.
        questions: The held-out questions.
        golds: Their answers.
        predictions: Per arm, one prediction a question.
        retrievals: Passages of the held-out questions.
        training_log: Rows with `step` and `loss`.
        published: Content of `7-published.json`; empty before the run is published.
    """

    config: Mapping[str, Any]
    report: Mapping[str, Any]
    questions: Sequence[Question]
    golds: Sequence[Gold]
    predictions: Mapping[str, Sequence[Prediction]]
    retrievals: Sequence[Retrieval] = ()
    training_log: Sequence[Mapping[str, Any]] = ()
    published: Mapping[str, Any] = field(default_factory=dict)


def write_html(path: Path, data: ReportData) -> None:
    """Write `report.html` atomically."""
    write_text(path, render_html(data))


def render_html(data: ReportData) -> str:
    """Render the page; see `write_html`."""
    settings, resolved, report = data.config["settings"], Resolved.read(data.config["resolved"]), data.report
    script = (TEMPLATES / "browse.js").read_text("utf-8")
    found = verdict(report)
    listing = _listing(data.questions, data.golds, data.predictions, data.retrievals)
    return (
        environment()
        .get_template("report.html.jinja")
        .render(
            report=report,
            settings=settings,
            resolved=resolved,
            repos=figures.repos(resolved),
            config_yaml=yaml.safe_dump(dict(data.config), sort_keys=False, allow_unicode=True),
            arms=formats.arms_in_order(report),
            metrics=figures.metric_rows(report),
            arm_bars=figures.arm_bars(report, data.questions),
            chance=figures.chance(data.questions),
            pairs=figures.pair_rows(report),
            causes=figures.cause_rows(report),
            label_plots=figures.label_plots(report),
            latency=figures.latency_rows(report),
            memory=figures.memory(report),
            cost_rows=figures.cost_rows(report),
            forgetting=figures.forgetting_section(report),
            verdict=found,
            ways=figures.verdict_rows(found, figures.chance(data.questions)) if found else [],
            left_out=left_out_lines(report),
            learnt_from=LEARNT_FROM,
            held_out_parts=formats.HELD_OUT_PARTS,
            loss=figures.loss_curve(data.training_log),
            selection_curves=figures.selection_curves(report),
            answer_map=figures.answer_map(report),
            training=figures.training_rows(report),
            published=data.published,
            sections=further.sections(
                (settings.get("evaluation") or {}).get("reports") or (),
                report,
                data.questions,
                data.golds,
                data.predictions,
            ),
            style=Markup((TEMPLATES / "report.css").read_text("utf-8")),  # noqa: S704 - our own file
            script=Markup(script),  # noqa: S704 - our own file
            script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
            data=_json(listing),
            listed=len(listing["questions"]),
        )
    )


@cache
def environment() -> Environment:
    """The Jinja environment of all pages: everything is escaped, an undefined name is an error."""
    jinja = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    jinja.filters |= {
        "arm_label": formats.arm_label,
        "percent": _in_html(formats.percent),
        "percent_interval": formats.percent_interval,
        "fraction": formats.fraction,
        "fraction_interval": formats.fraction_interval,
        "points": _in_html(formats.points),
        "points_interval": _in_html(formats.points_interval),
        "gap_closed": _in_html(formats.gap_closed),
        "p_value": formats.p_value,
        "p_values": formats.p_values,
        "unbroken": formats.unbroken,
        "value": formats.format_value,
        "bytes": _in_html(format_bytes),
        "seconds": _in_html(formats.format_seconds),
    }
    return jinja


def _in_html(formatter: Callable[[Any], str]) -> Callable[[Any], str]:
    return lambda value: formats.typographic(formatter(value))


def _json(data: Any) -> Markup:
    """JSON in which no text can end the script element around it."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)  # noqa: S704 - escaped above


def _listing(
    questions: Sequence[Question],
    golds: Sequence[Gold],
    predictions: Mapping[str, Sequence[Prediction]],
    retrievals: Sequence[Retrieval],
) -> dict[str, Any]:
    """Questions for the list, in the order asked; if there are too many, errors are kept first."""
    errors = {error.question_id: error for error in causes.explain(questions, golds, predictions, retrievals)}
    passages = {item.question_id: item.passages for item in retrievals}
    order = sorted(range(len(questions)), key=lambda i: questions[i].id not in errors)[:LISTED]
    rows = []
    for i in sorted(order):
        question, gold = questions[i], golds[i]
        error = errors.get(question.id)
        rows.append(
            {
                "id": question.id,
                "question": question.text,
                "options": question.options,
                "gold": {"option": gold.option, "text": " / ".join(gold.references), "facts": gold.facts},
                "cause": error.cause if error else "right",
                "supported": error.supported if error else None,
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
