"""What is dropped before selection, whatever its method: labels nobody should learn from.

Each filter is a line of `CHECKS`: a name, and a function that says for every label why it is dropped, or None. A label
goes by the first filter that catches it; every filter is also counted by itself. No answer is known to any of them.
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
"""How English-speaking models decline; other languages pass, and are caught by their low confidence or not at all."""

CONTENT = 4  # letters: shorter words are mostly grammar
PAIR = 2  # characters of a script without blanks
Reasons = list[str | None]


@dataclass(frozen=True, slots=True)
class Labelled:
    """What the filters look at, aligned.

    Attributes:
        labels: The labels.
        questions: Their questions.
        retrievals: What was found for them; the passages that were read are named in the labels. May be empty where
            `unsupported` is off.
        held_out: Questions of the evaluation; their answers are not here.
        disagree: Whether the teacher contradicts the document a question was written from; empty where none was.
    """

    labels: Sequence[PseudoLabel]
    questions: Sequence[Question]
    retrievals: Sequence[Retrieval]
    held_out: Sequence[Question] = ()
    disagree: Sequence[bool] = ()


@dataclass(frozen=True, slots=True)
class Filtered:
    """Both halves.

    Attributes:
        kept: Labels that passed, in order.
        dropped: Verdicts on the others, with the reason.
        counts: For each filter that is on: how many labels it catches, others or not.
    """

    kept: tuple[PseudoLabel, ...]
    dropped: tuple[Verdict, ...]
    counts: Mapping[str, int]


def apply(labelled: Labelled, settings: FilterSettings) -> Filtered:
    """Run every filter that is on."""
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
    """The answer names none of the question's options."""
    return [
        "filter: the answer is none of the options" if question.options and label.option is None else None
        for label, question in zip(labelled.labels, labelled.questions, strict=True)
    ]


def empty(labelled: Labelled, _: FilterSettings) -> Reasons:
    """There is no word in the answer, or it declines to answer. An option that says so is an answer like any other."""
    reasons: Reasons = []
    for label in labelled.labels:
        if not re.search(r"\w", label.text):
            reasons.append("filter: the answer is empty")
        else:
            refused = label.option is None and REFUSALS.search(label.text)
            reasons.append("filter: the teacher declined to answer" if refused else None)
    return reasons


def min_confidence(labelled: Labelled, settings: FilterSettings) -> Reasons:
    """The teacher was less sure than asked; a label without confidence passes."""
    return [
        f"filter: confidence below {settings.min_confidence:g}"
        if label.confidence is not None and label.confidence < settings.min_confidence
        else None
        for label in labelled.labels
    ]


def min_agreement(labelled: Labelled, settings: FilterSettings) -> Reasons:
    """The answer changes with the order of the options, or between samples; one given once passes."""
    return [
        f"filter: the answer changes, agreement below {settings.min_agreement:g}"
        if label.agreement is not None and label.agreement < settings.min_agreement
        else None
        for label in labelled.labels
    ]


def unsupported(labelled: Labelled, _: FilterSettings) -> Reasons:
    """No content word of the answer stands in a passage that was read; without passages or such words it passes."""
    reasons: Reasons = []
    for label, retrieval in zip(labelled.labels, labelled.retrievals, strict=True):
        read = set(label.passages)
        seen = {word for passage in retrieval.passages if passage.id in read for word in stems(passage.text)}
        wanted = stems(label.text)
        missing = seen and wanted and not wanted & seen
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
    """A held-out question asks almost the same: learning its answer would be measured as knowing it."""
    index = Similar()
    for question in labelled.held_out:
        index.add(question)
    return [
        "filter: almost a held-out question" if index.find(question, settings.leakage) is not None else None
        for question in labelled.questions
    ]


def round_trip(labelled: Labelled, _: FilterSettings) -> Reasons:
    """The teacher, with the source before it, answers otherwise than the document the question was written from."""
    disagree = labelled.disagree or [False] * len(labelled.labels)
    return ["filter: the teacher contradicts the document" if wrong else None for wrong in disagree]


CHECKS: dict[str, Callable[[Labelled, FilterSettings], Reasons]] = {
    "unparsed": unparsed,
    "empty": empty,
    "round_trip": round_trip,
    "leakage": leakage,
    "near_duplicates": near_duplicates,
    "unsupported": unsupported,
    "min_agreement": min_agreement,
    "min_confidence": min_confidence,
}
"""In the order in which they give their reason, named as their settings."""


class Similar:
    """Finds earlier questions by the Jaccard similarity of their words and word pairs.

    Exact: candidates share a word pair or word, looked up in an inverted index; the rarest of a question's parts are
    looked at first, and as many as a similar question could not do without (prefix filtering; Chaudhuri, Ganti and
    Kaushik 2006, "A primitive operator for similarity joins").
    """

    def __init__(self) -> None:
        self._parts: list[frozenset[str]] = []
        self._ids: list[str] = []
        self._places: dict[str, list[int]] = {}

    def add(self, question: Question) -> None:
        """Remember a question."""
        parts = parts_of(question)
        for part in parts:
            self._places.setdefault(part, []).append(len(self._ids))
        self._parts.append(parts)
        self._ids.append(question.id)

    def find(self, question: Question, threshold: float) -> str | None:
        """Id of the first question at least so similar, or None."""
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
    """Words and neighbouring words of a question's text, case and marks aside.

    >>> sorted(parts_of(Question("q", "What is rain?")))
    ['is', 'is rain', 'rain', 'what', 'what is']
    """
    found = words(question.text)
    return frozenset([*found, *map(" ".join, itertools.pairwise(found))])


def stems(text: str) -> set[str]:
    """Content words cut to their first letters, so that "melts" and "melting" meet."""
    return {word if stands_alone(word) else word[: max(CONTENT, len(word) - 3)] for word in content_words(text)}


def content_words(text: str) -> set[str]:
    """Words that are mostly no grammar: by their length, and pairs of characters in scripts without blanks.

    >>> sorted(content_words("Snow melts in the sun"))
    ['melts', 'snow']
    >>> sorted(content_words("雪融了"))
    ['融了', '雪融']
    """
    return {word for word in terms(text) if len(word) >= (PAIR if stands_alone(word) else CONTENT)}
