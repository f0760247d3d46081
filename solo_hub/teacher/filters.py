"""Filters applied before every selection method: labels that are not worth training on.

Each filter is an entry of `CHECKS`: a name, and a function that returns for every label the reason to drop it, or None.
The first matching filter gives the reason; matches of every filter are counted. No filter uses gold answers.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from solo_hub.core.records import PseudoLabel, Question, Retrieval, Verdict
from solo_hub.core.settings import FilterSettings
from solo_hub.core.words import stands_alone, terms, words

REFUSALS = re.compile(
    r"^\W*(i('m| am) (sorry|not sure|unable)|sorry\b|as an ai\b|i (cannot|can't|do not know|don't know|have no)"
    r"|(there is )?not enough information|(it is )?(unknown|impossible to (say|tell))"
    r"|none of the (above|options)|n/?a\W*$)",
    re.IGNORECASE,
)
"""Refusals in English; those in other languages are caught only by low confidence, if at all."""

CONTENT = 4  # letters: shorter words are mostly grammar
PAIR = 2  # characters, in scripts without spaces
Reasons = list[str | None]


@dataclass(frozen=True, slots=True)
class Labelled:
    """Input of the filters, aligned.

    Attributes:
        labels: The labels.
        questions: Their questions.
        retrievals: Their retrieved passages; the labels name those in the prompt.
        held_out: Questions of the evaluation, without answers.
        disagree: Whether the teacher contradicts the source document of a generated question; may be empty.
    """

    labels: Sequence[PseudoLabel]
    questions: Sequence[Question]
    retrievals: Sequence[Retrieval]
    held_out: Sequence[Question] = ()
    disagree: Sequence[bool] = ()


@dataclass(frozen=True, slots=True)
class Filtered:
    """The result of filtering.

    Attributes:
        kept: Labels that passed, in order.
        dropped: Verdicts on the others, with the reason.
        counts: Number of labels that each enabled filter matches.
    """

    kept: tuple[PseudoLabel, ...]
    dropped: tuple[Verdict, ...]
    counts: Mapping[str, int]


def apply(labelled: Labelled, settings: FilterSettings) -> Filtered:
    """Apply all enabled filters."""
    first: dict[int, str] = {}
    counts: dict[str, int] = {}
    for name, check in CHECKS.items():
        if not (labelled.disagree if name == "round_trip" else getattr(settings, name)):
            continue
        reasons = check(labelled, settings)
        counts[name] = sum(reason is not None for reason in reasons)
        for place, reason in enumerate(reasons):
            if reason is not None:
                first.setdefault(place, reason)
    labels = labelled.labels
    dropped = tuple(
        Verdict(labels[place].question_id, kept=False, reason=first[place], confidence=labels[place].confidence)
        for place in sorted(first)
    )
    return Filtered(tuple(label for place, label in enumerate(labels) if place not in first), dropped, counts)


def unparsed(labelled: Labelled, _: FilterSettings) -> Reasons:
    """The answer names none of the options, is empty, or refuses; an option whose text is a refusal is an answer."""
    reasons: Reasons = []
    for label, question in zip(labelled.labels, labelled.questions, strict=True):
        if question.options and label.option is None:
            reasons.append("filter: the answer is none of the options")
        elif not re.search(r"\w", label.text):
            reasons.append("filter: the answer is empty")
        else:
            refused = label.option is None and REFUSALS.search(label.text)
            reasons.append("filter: the teacher declined to answer" if refused else None)
    return reasons


def min_confidence(labelled: Labelled, settings: FilterSettings) -> Reasons:
    """The confidence is below the threshold; labels without confidence pass."""
    return [
        f"filter: confidence below {settings.min_confidence:g}"
        if label.confidence is not None and label.confidence < settings.min_confidence
        else None
        for label in labelled.labels
    ]


def min_agreement(labelled: Labelled, settings: FilterSettings) -> Reasons:
    """The answer changes with the order of the options, or between samples; labels without agreement pass."""
    return [
        f"filter: the answer changes, agreement below {settings.min_agreement:g}"
        if label.agreement is not None and label.agreement < settings.min_agreement
        else None
        for label in labelled.labels
    ]


def unsupported(labelled: Labelled, _: FilterSettings) -> Reasons:
    """No content word of the answer occurs in the prompt's passages; passes without passages or content words."""
    reasons: Reasons = []
    for label, retrieval in zip(labelled.labels, labelled.retrievals, strict=True):
        read = set(label.passages)
        seen = {word for passage in retrieval.passages if passage.id in read for word in stems(passage.text)}
        in_answer = stems(label.text)
        missing = seen and in_answer and not in_answer & seen
        reasons.append("filter: the passages do not mention the answer" if missing else None)
    return reasons


def near_duplicates(labelled: Labelled, settings: FilterSettings) -> Reasons:
    """An earlier question asks almost the same."""
    index = Similar()
    reasons: Reasons = []
    for question in labelled.questions:
        twin = index.find(question, settings.near_duplicates)
        if twin is None:
            index.add(question)
        reasons.append(f"filter: almost the same question as {twin}" if twin is not None else None)
    return reasons


def leakage(labelled: Labelled, settings: FilterSettings) -> Reasons:
    """A held-out question is almost the same, so training on it would inflate the evaluation."""
    index = Similar()
    for question in labelled.held_out:
        index.add(question)
    return [
        "filter: almost a held-out question" if index.find(question, settings.leakage) is not None else None
        for question in labelled.questions
    ]


def round_trip(labelled: Labelled, _: FilterSettings) -> Reasons:
    """The teacher, given the source, gives a different answer than the document the question was generated from."""
    disagree = labelled.disagree or [False] * len(labelled.labels)
    return ["filter: the teacher contradicts the document" if wrong else None for wrong in disagree]


CHECKS: dict[str, Callable[[Labelled, FilterSettings], Reasons]] = {
    "unparsed": unparsed,
    "round_trip": round_trip,
    "leakage": leakage,
    "near_duplicates": near_duplicates,
    "unsupported": unsupported,
    "min_agreement": min_agreement,
    "min_confidence": min_confidence,
}
"""Name (as in the settings) -> filter, in order of precedence."""


class Similar:
    """Finds earlier questions by the Jaccard similarity of their words and word pairs.

    Exact: candidates share a word or word pair, looked up in an inverted index. Only the rarest parts of a question are
    looked up, as many as a similar question must share at least one of (prefix filtering; Chaudhuri, Ganti and
    Kaushik 2006, "A primitive operator for similarity joins").
    """

    def __init__(self) -> None:
        self._parts: list[frozenset[str]] = []
        self._ids: list[str] = []
        self._places: dict[str, list[int]] = {}

    def add(self, question: Question) -> None:
        """Add a question to the index."""
        parts = parts_of(question)
        for part in parts:
            self._places.setdefault(part, []).append(len(self._ids))
        self._parts.append(parts)
        self._ids.append(question.id)

    def find(self, question: Question, threshold: float) -> str | None:
        """Id of the first question with at least this similarity, or None."""
        parts = parts_of(question)
        if not parts or threshold <= 0:
            return None
        rare = sorted(parts, key=lambda part: (len(self._places.get(part, ())), part))
        # two sets of Jaccard t share at least t * |parts| of them, so one of the others must be among the first
        needed = max(1, len(parts) - int(threshold * len(parts) + 1 - 1e-9) + 1)
        candidates = {place for part in rare[:needed] for place in self._places.get(part, ())}
        for place in sorted(candidates):
            other = self._parts[place]
            if len(parts & other) / len(parts | other) >= threshold:
                return self._ids[place]
        return None


def parts_of(question: Question) -> frozenset[str]:
    """Words and word pairs of a question's text, ignoring case and punctuation.

    >>> sorted(parts_of(Question("q", "What is rain?")))
    ['is', 'is rain', 'rain', 'what', 'what is']
    """
    tokens = words(question.text)
    return frozenset([*tokens, *map(" ".join, itertools.pairwise(tokens))])


def stems(text: str) -> set[str]:
    """Content words truncated to a prefix, so that "melts" and "melting" match."""
    return {word if stands_alone(word) else word[: max(CONTENT, len(word) - 3)] for word in content_words(text)}


def content_words(text: str) -> set[str]:
    """Content words, recognised by length; character bigrams in scripts without spaces.

    >>> sorted(content_words("Snow melts in the sun"))
    ['melts', 'snow']
    >>> sorted(content_words("雪融了"))
    ['融了', '雪融']
    """
    return {word for word in terms(text) if len(word) >= (PAIR if stands_alone(word) else CONTENT)}
