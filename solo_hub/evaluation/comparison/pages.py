"""The comparison as HTML: every text from a question, a passage or a model is escaped, whatever it holds.

Plain elements that keyboards and screen readers support: tables with captions, ordered lists, `details`. Colour is
never the only cue; bars are decoration beside a number. The styles are `spaces/compare/style.css`.
"""

from __future__ import annotations

import html
import re
from collections.abc import Collection, Mapping, Sequence
from itertools import groupby
from typing import Any

from solo_hub.core.records import Gold, Passage, Prediction, Question
from solo_hub.core.words import Span, spans, stands_alone
from solo_hub.evaluation.comparison.asking import Origin, ShownAnswer
from solo_hub.evaluation.comparison.cases import ARMS, Case
from solo_hub.evaluation.report.format import (
    arm_label,
    coarse_percent,
    fraction,
    fraction_interval,
    percent,
    percent_interval,
)
from solo_hub.evaluation.report.verdict import WAYS, verdict
from solo_hub.knowledge.words import Analysis
from solo_hub.models.options import LETTERS

ABOUT = {
    arm: (arm_label(arm).capitalize(), reads)
    for arm, reads in {
        "base": "the original model, closed book",
        "teacher": "the model that taught, with passages if the run has any",
        "student": "the model with the adapter, closed book",
        "student_with_passages": "the model with the adapter, with passages",
    }.items()
}
ROLES = {
    "base": "base",
    "teacher": "teacher",
    "knowledge": "knowledge base",
    "embedder": "embedder",
    "evaluation_questions": "questions",
}

_stems = Analysis("en", "").words  # for highlighting; in other languages it marks a few words more or less
_HIDDEN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]")


def text(value: str) -> str:
    """Untrusted text, escaped; control characters and direction overrides, which hide or reorder text, are shown.

    Backquotes, dollar signs and braces are escaped too, because the page's own templates interpret them.
    """
    visible = _HIDDEN.sub("\N{REPLACEMENT CHARACTER}", value)
    return html.escape(visible).translate({ord(sign): f"&#{ord(sign)};" for sign in "`${}@"})


def title(arms: Sequence[str] = ARMS) -> str:
    """What is compared.

    >>> title(["base", "student"])
    'Base, student'
    """
    return ", ".join(ABOUT[arm][0] for arm in arms).capitalize()


def heading(origin: Origin, report: Mapping[str, Any], *, arms: Sequence[str] = ARMS, reads: bool = True) -> str:
    """Title, what is compared, and where it comes from.

    Args:
        origin: The run or adapter repo.
        report: The evaluation.
        arms: The arms that answer.
        reads: Whether the teacher of this run has passages.
    """
    name = text(origin.name)
    if origin.page.startswith(("http://", "https://")):
        name = f'<a href="{text(origin.page)}" target="_blank" rel="noopener noreferrer">{name}</a>'
    places = "".join(f"<div><dt>{ROLES[role]}</dt><dd>{text(place)}</dd></div>" for role, place in origin.repos.items())
    teacher = f"as the teacher {'with passages' if reads else '(without passages in this run)'}, "
    ways = (
        f"three times: as released, {teacher}and after training"
        if "teacher" in arms
        else "twice: as released, and after training on imported labels"
    )
    said = f"One model, {text(str(report['base']))}, answers {ways}."
    if teachers := " and ".join(text(str(name)) for name in report.get("teachers") or ()):
        own = f", beside its teacher{' with passages' if reads else ''}" if "teacher" in arms else ""
        said = f"{text(str(report['base']))} answers as released and after learning from {teachers}{own}."
    return (
        f"<h1>{title(arms)}</h1><p>{said}</p>"
        f'<dl class="places"><div><dt>{"adapter" if origin.published else "run"}</dt><dd>{name}</dd></div>{places}</dl>'
    )


def accuracy(report: Mapping[str, Any]) -> str:
    """The evaluation as a table: one row per arm, accuracy with its 95 % interval as number and bar."""
    rows = []
    for arm in WAYS:
        row = report.get("arms", {}).get(arm, {})
        measure, metric = next(
            ((row[m], m) for m in ("accuracy", "accuracy_generated", "rougeL") if m in row), (None, "")
        )
        if measure is None:
            continue
        seconds = row.get("seconds_per_question", {}).get("p50")
        low, high, value = (100 * float(measure[key]) for key in ("low", "high", "value"))
        if metric.startswith("accuracy"):
            shown, interval = percent(measure["value"]), f"{percent_interval(measure)} %"
        else:
            shown, interval = f"{fraction(measure['value'])} ROUGE-L", fraction_interval(measure)
        rows.append(
            f'<tr class="{arm}"><th scope="row">{ABOUT[arm][0]}</th>'
            f"<td>{shown}</td><td>{interval}</td>"
            f'<td class="plot" aria-hidden="true"><span class="value" style="width:{value:.2f}%"></span>'
            f'<span class="interval" style="left:{low:.2f}%;width:{high - low:.2f}%"></span></td>'
            f"<td>{'' if seconds is None else f'{seconds:.2f} s'}</td></tr>"
        )
    return (
        '<div class="scores"><table><caption>Accuracy on '
        f"{int(report['n_questions']):,} held-out questions</caption><thead><tr><th scope='col'>arm</th>"
        "<th scope='col'>accuracy</th><th scope='col'>95 % interval</th><th class='plot' aria-hidden='true'></th>"
        "<th scope='col'>seconds per question, batched</th></tr></thead>"
        f"<tbody>{''.join(rows)}</tbody></table>{_verdict(report)}</div>"
    )


def _verdict(report: Mapping[str, Any]) -> str:
    found = verdict(report)
    return f'<p class="verdict">{text(found.sentence)}</p>' if found else ""


def picker(cases_: Sequence[Case]) -> str:
    """The evaluation's questions as a plain `select`, which phones, keyboards and screen readers handle natively."""
    rows = "".join(f'<option value="{text(case.question.id)}">{text(case.question.text)}</option>' for case in cases_)
    return (
        '<label for="pick-list">Pick a question of the evaluation</label>'
        f'<select id="pick-list"><option value="">(none)</option>{rows}</select>'
    )


def columns(
    question: Question, answers: Sequence[ShownAnswer], gold: Gold | None = None, *, arms: Sequence[str] = ARMS
) -> str:
    """The arms side by side; those that have not answered yet are marked as waiting."""
    given = {answer.prediction.arm: answer for answer in answers}
    cells = "".join(_column(question, given[arm], gold) if arm in given else _waiting(arm) for arm in arms)
    known = (
        f'<p class="known">Gold answer: <strong>{text(" / ".join(gold.references))}</strong></p>{_facts(gold)}'
        if gold is not None
        else ""
    )
    return f'<h2 class="question-title">{text(question.text)}</h2>{known}<div class="arms">{cells}</div>'


def _facts(gold: Gold) -> str:
    """The sentences a known answer rests on; those that a written question was made of."""
    return f'<p class="known">From: {" ".join(f"<q>{text(fact)}</q>" for fact in gold.facts)}</p>' if gold.facts else ""


def status(answers: Sequence[ShownAnswer], question: Question, *, arms: Sequence[str] = ARMS) -> str:
    """The status for screen readers: what each arm answered, in a sentence."""
    if len(answers) < len(arms):
        return f"Waiting for the {arms[len(answers)]} ..."
    given = ", ".join(f"{a.prediction.arm}: {text(_answer(question, a.prediction))}" for a in answers)
    return f"Done. {given}."


def problem(message: str) -> str:
    """An error message, shown in place of the answers."""
    return f'<p class="problem" role="alert">{text(message)}</p>'


def _answer(question: Question, prediction: Prediction) -> str:
    return question.options[prediction.option] if prediction.option is not None else prediction.text or "nothing"


def _waiting(arm: str) -> str:
    title, about = ABOUT[arm]
    return (
        f'<section class="arm {arm}"><h3>{title}</h3><p class="about">{about}</p><p class="wait">Waiting</p></section>'
    )


def _column(question: Question, answer: ShownAnswer, gold: Gold | None) -> str:
    given = answer.prediction
    title, about = ABOUT[given.arm]
    lookup = f", after {answer.lookup_seconds:.2f} s of retrieval" if answer.lookup_seconds else ""
    parts = [
        f'<section class="arm {given.arm}" aria-label="{title}"><h3>{title}</h3><p class="about">{about}</p>',
        f'<p class="choice">{_verdict_mark(given, gold)}{text(_answer(question, given))}</p>',
        _options(question, given, gold),
        f'<p class="written"><span class="label">Written answer</span> {text(given.text) or "(nothing)"}</p>',
        f'<p class="time"><span class="label">Time</span> {given.seconds:.2f} s{lookup}</p>',
        f'<p class="note">{text(answer.note)}</p>' if answer.note else "",
        _passages(question, given, answer.passages) if given.arm == "teacher" else "",
    ]
    return "".join(parts) + "</section>"


def _verdict_mark(given: Prediction, gold: Gold | None) -> str:
    if gold is None or gold.option is None or given.option is None:
        return ""
    if given.option == gold.option:
        return '<span class="mark right">\u2713 right</span> '
    return '<span class="mark wrong">\u2717 wrong</span> '


def _options(question: Question, given: Prediction, gold: Gold | None) -> str:
    if not question.options:
        return ""
    if given.probabilities is None:
        return '<p class="note">This model returns no option probabilities.</p>'
    rows = []
    for place, (option, share) in enumerate(zip(question.options, given.probabilities, strict=True)):
        notes = (["chosen"] if place == given.option else []) + (
            ["gold answer"] if gold is not None and gold.option == place else []
        )
        flags = f' <span class="flag">{", ".join(notes)}</span>' if notes else ""
        kind = ' class="chosen"' if place == given.option else ""
        rows.append(
            f"<li{kind}><span class='letter' aria-hidden='true'>{LETTERS[place : place + 1] or place + 1}</span>"
            f"<span class='option'>{text(option)}{flags}</span><span class='share'>{coarse_percent(share)}</span>"
            f"<span class='bar' aria-hidden='true'><span style='width:{100 * share:.2f}%'></span></span></li>"
        )
    return f'<ol class="options" aria-label="Options with their probabilities">{"".join(rows)}</ol>'


def _passages(question: Question, given: Prediction, passages: Sequence[Passage]) -> str:
    if not passages:
        return '<p class="note">There were no passages in the prompt.</p>'
    in_answer = set(_stems(_answer(question, given)))
    in_question = set(_stems(question.text)) - in_answer
    rows = "".join(
        f"<li><span class='passage'>{marked(p.text, in_answer, in_question)}</span>"
        + (f"<span class='source'>{text(p.source)}</span>" if p.source else "")
        + "</li>"
        for p in passages
    )
    return (
        f"<details open><summary>{len(passages)} passages in the prompt, best first</summary>"
        "<p class='legend'><mark class='in-answer'>words of its answer</mark> "
        "<mark class='in-question'>words of the question</mark></p>"
        f"<ol class='passages'>{rows}</ol></details>"
    )


def marked(passage: str, in_answer: Collection[str], in_question: Collection[str]) -> str:
    """A passage with the words highlighted that occur in the answer or the question, compared by stem.

    Args:
        passage: The text.
        in_answer: Stems of the answer's words.
        in_question: Stems of the question's words.
    """
    parts, end = [], 0
    for clause in spans(passage):
        kinds = []
        for place in range(len(clause)):
            stems = _stems_at(passage, clause, place)
            kinds.append("in-answer" if stems & set(in_answer) else "in-question" if stems & set(in_question) else "")
        for kind, run in groupby(zip(kinds, clause, strict=True), lambda pair: pair[0]):
            places = [span for _, span in run]
            start, stop = places[0][0], places[-1][1]
            inside = text(passage[start:stop])
            parts += [text(passage[end:start]), f"<mark class='{kind}'>{inside}</mark>" if kind else inside]
            end = stop
    return "".join(parts) + text(passage[end:])


def _stems_at(passage: str, clause: Sequence[Span], place: int) -> set[str]:
    """Stems of the word at an index of a clause; for scripts without spaces, the bigrams of the character."""
    start, stop = clause[place]
    if not stands_alone(passage[start:stop]):
        return set(_stems(passage[start:stop]))
    neighbours = [clause[i] for i in (place - 1, place + 1) if 0 <= i < len(clause)]
    pairs = [passage[min(start, a) : max(stop, b)] for a, b in neighbours if stands_alone(passage[a:b])]
    return {stem for pair in pairs for stem in _stems(pair)}


def cases(page: Sequence[Case], start: int, title: str, *, shown: int, total: int) -> str:
    """A page of the evaluation's questions; each can be expanded to its answers.

    Args:
        page: The questions of this page.
        start: Index of the first one in its group, from 0.
        title: Name of the group.
        shown: Number of questions in the group.
        total: Number of questions in the evaluation.
    """
    if not page:
        return f'<p class="note">{text(title)}: no questions.</p>'
    rows = []
    for case in page:
        answers = [ShownAnswer(p, case.passages if p.arm == "teacher" else ()) for p in case.predictions]
        given = "".join(
            f"<span class='said-by'>{ABOUT[a.prediction.arm][0]} "
            f"{_verdict_mark(a.prediction, case.gold)}{text(_answer(case.question, a.prediction))}</span>"
            for a in answers
        )
        answered = {answer.prediction.arm for answer in answers}
        inside = columns(case.question, answers, case.gold, arms=[arm for arm in ARMS if arm in answered])
        rows.append(
            f"<details class='case'><summary><span class='question'>{text(case.question.text)}</span>"
            f"<span class='summary'>{given}</span></summary>{inside}</details>"
        )
    return (
        f'<p class="count">{text(title)}: {start + 1} to {start + len(page)} of {shown:,}'
        f" (evaluation of {total:,} questions)</p>{''.join(rows)}"
    )


def note(message: str) -> str:
    """A remark."""
    return f'<p class="note">{text(message)}</p>'
