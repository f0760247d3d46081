"""The report as one self-contained page: the story of a run from top to bottom.

Everything from a model, a dataset or a corpus is untrusted text: it is escaped by the template, or put into the page as
JSON and set by the page's script as text, never as markup. The page may load nothing: its own content policy forbids
it.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from solo_hub.core.files import write_text
from solo_hub.core.records import Gold, Prediction, PseudoLabel, Question, Retrieval
from solo_hub.evaluation import error_causes as causes
from solo_hub.evaluation import scoring
from solo_hub.evaluation.report import figures
from solo_hub.evaluation.report import plugins as further
from solo_hub.evaluation.report.terminal import corrected, left_out_lines, p_value_text
from solo_hub.student.control_labels import LEARNT_FROM

TEMPLATES = Path(__file__).parent / "templates"
LISTED = 5000
"""Questions in the browsable list at most; those that went wrong come first. 5,000 are about 6 MB of page."""


@dataclass(frozen=True, slots=True)
class ReportData:
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


def write_html(path: Path, story: ReportData) -> None:
    """Write `report.html`, whole or not at all.

    Raises:
        InputError: Questions, answers and predictions do not fit together.
    """
    write_text(path, render_html(story))


def render_html(story: ReportData) -> str:
    """Render the page; see `write_html`."""
    config, report = story.config, story.report
    golds, predictions = scoring.align(story.questions, story.golds, story.predictions)
    script = (TEMPLATES / "browse.js").read_text("utf-8")
    data = _listing(story.questions, golds, predictions, story.retrievals)
    return (
        environment()
        .get_template("report.html.jinja")
        .render(
            report=report,
            settings=config.get("settings", {}),
            resolved=config.get("resolved", {}),
            repos=figures.repos(config),
            config_yaml=yaml.safe_dump(dict(config), sort_keys=False, allow_unicode=True),
            arms=figures.arms_in_order(report),
            metrics=figures.metric_rows(report),
            arm_bars=figures.arm_bars(report, story.questions),
            chance=figures.chance(story.questions),
            pairs=figures.pair_rows(report),
            causes=figures.cause_rows(report),
            label_plots=figures.label_plots(report, story.labels),
            times=figures.times(report),
            memory=figures.memory(report),
            cost_rows=figures.cost_rows(report),
            lost=figures.lost(report),
            tiles=figures.tiles(report),
            left_out=left_out_lines(report),
            learnt_from=LEARNT_FROM,
            loss=figures.loss(story.training_log),
            selecting=figures.selecting(report),
            places=figures.places(report),
            training=figures.training_rows(report),
            published=story.published,
            sections=further.sections(
                (config.get("settings", {}).get("evaluation") or {}).get("reports") or (),
                report,
                story.questions,
                golds,
                predictions,
            ),
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
        "share": figures.share,
        "interval": figures.interval,
        "points": figures.points,
        "p_value": p_value_text,
        "corrected": corrected,
        "plain": figures.plain,
        "bytes": figures.format_bytes,
        "seconds": figures.format_seconds,
    }
    return made


def _json(data: Any) -> Markup:
    """JSON that cannot end the script element it stands in, whatever the texts hold."""
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
                "gold": {"option": gold.option, "text": " / ".join(gold.references), "facts": gold.facts},
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
