"""The types that the steps exchange. Every step takes and returns lists of these records.

    Question -> Retrieval -> PseudoLabel -> Verdict (Selection) -> adapter -> Prediction -> report

A `Question` has no answer, so the label-free path cannot read one. `Gold` exists for evaluation and analysis only, is
loaded by its own function, and never reaches teacher, selection or training.

All records are frozen, convert losslessly to and from one flat JSON row (`to_row`, `from_row`), and have the
question's stable id: rows of different steps are joined by id, never by position.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

from solo_hub.core.errors import InputError

_SCALARS = frozenset({str, int, float, bool, type(None)})
"""Types that are JSON types already."""


@dataclass(frozen=True, slots=True)
class Record:
    """A frozen row: `to_row` converts it to JSON types, `from_row` back."""

    rare: ClassVar[tuple[tuple[str, Any], ...]] = ()
    """Fields that a row lacks where they have this value."""

    def to_row(self) -> dict[str, Any]:
        """Return the record as JSON types, in field order."""
        row = {name: getattr(self, name) for name in names_of(type(self))}  # type: ignore[arg-type]
        for name, value in self.rare:
            if row[name] == value:
                del row[name]
        return {name: value if type(value) in _SCALARS else _plain(value) for name, value in row.items()}

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Self:
        """Read a row written by `to_row`; unknown keys are ignored so that newer files can be read.

        Raises:
            InputError: A required field is missing or has the wrong type.
        """
        values: dict[str, Any] = {}
        for name, fits, needed in _plan(cls):  # type: ignore[arg-type]
            if name in row:
                value = row[name]
                if type(value) is list or type(value) is dict:
                    value = cls._read(name, value)
                if not fits(value):
                    raise InputError(
                        f"'{name}' of a {cls.__name__} row cannot be {_short(value)}.",
                        hint="Was the file edited?",
                    )
                values[name] = value
            elif needed:
                raise InputError(
                    f"a {cls.__name__} row has no '{name}'.", hint="Was the file written by another version?"
                )
        return cls(**values)

    @classmethod
    def _read(cls, name: str, value: Any) -> Any:  # noqa: ARG003 - used by subclasses
        return tuple(value) if isinstance(value, list) else value


@functools.cache
def names_of(cls: type) -> tuple[str, ...]:
    """Names of a dataclass's fields, in their declared order."""
    return tuple(f.name for f in dataclasses.fields(cls))


@functools.cache
def _plan(cls: type) -> tuple[tuple[str, Callable[[Any], bool], bool], ...]:
    """How a row is read: each field's name, the check of its value, and whether it is required.

    Cached: calling `dataclasses.fields` for each of a million rows takes as long as reading their JSON.
    """
    fits = checks(cls)
    return tuple(
        (f.name, fits[f.name], f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING)
        for f in dataclasses.fields(cls)
    )


@functools.cache
def checks(cls: type) -> dict[str, Callable[[Any], bool]]:
    """A type check for each field of a dataclass, derived from its annotation."""
    hints = typing.get_type_hints(cls)
    return {f.name: _check_of(hints[f.name]) for f in dataclasses.fields(cls)}


def _check_of(kind: Any) -> Callable[[Any], bool]:
    arguments = typing.get_args(kind)
    if typing.get_origin(kind) is tuple:
        return _check_of_tuple(arguments[0])
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        either = [_check_of(part) for part in arguments if part is not type(None)]
        if len(either) == 1 and len(arguments) > 1:
            only = either[0]
            return lambda value: value is None or only(value)
        return lambda value: any(check(value) for check in either) or (value is None and type(None) in arguments)
    if kind is float:
        return _is_number
    if kind is int:
        return lambda value: isinstance(value, int) and not isinstance(value, bool)
    origin = typing.get_origin(kind) or kind
    return lambda value: isinstance(value, origin)


def _check_of_tuple(kind: Any) -> Callable[[Any], bool]:
    """A type check for homogeneous tuples, with a fast path for exact types: it matters for a million rows."""
    inner = _check_of(kind)
    if kind is float:
        return lambda value: (
            isinstance(value, tuple)
            and (all(map(math.isfinite, value)) if set(map(type, value)) <= {float} else all(map(inner, value)))
        )
    usual = {kind}
    return lambda value: isinstance(value, tuple) and (set(map(type, value)) <= usual or all(map(inner, value)))


def _is_number(value: Any) -> bool:
    if type(value) is not float and (not isinstance(value, int | float) or isinstance(value, bool)):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer too large for a float
        return False


def _short(value: Any) -> str:
    shown = repr(value)
    return shown if len(shown) <= 60 else shown[:57] + "..."  # noqa: PLR2004 - within one line of a terminal


def _plain(value: Any) -> Any:
    if isinstance(value, Record):
        return value.to_row()
    if isinstance(value, tuple | list):
        if _SCALARS.issuperset(map(type, value)):
            return list(value)
        return [_plain(item) for item in value]
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return value


@dataclass(frozen=True, slots=True)
class Question(Record):
    """An unlabelled question.

    Attributes:
        id: Stable and unique within the run.
        text: The question's text.
        options: Answer options in their original order; empty for free text.
        labels: The dataset's names of the options if they are not A, B, C, ...; never shown in a prompt, but a gold
            column or a file of predictions may use them.
    """

    id: str
    text: str
    options: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    rare = (("labels", ()),)

    def asked(self) -> dict[str, Any]:
        """Return what an answer depends on, for cache keys: all but `labels`, which are never shown to a model."""
        return {"id": self.id, "text": self.text, "options": list(self.options)}


@dataclass(frozen=True, slots=True)
class Gold(Record):
    """The gold answer of a question: for evaluation and analysis only.

    Attributes:
        question_id: The question it answers.
        option: Index into the question's options, or None for free text.
        text: The reference answer; the first of several.
        facts: Gold supporting facts if the dataset has them (read by the oracle arm, never by the teacher).
        aliases: Further reference answers, equally correct; metrics use the one that scores best.
    """

    question_id: str
    option: int | None
    text: str
    facts: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    rare = (("aliases", ()),)

    @property
    def references(self) -> tuple[str, ...]:
        """All reference answers, `text` first."""
        return (self.text, *self.aliases)


@dataclass(frozen=True, slots=True)
class Document(Record):
    """A retrievable unit of the knowledge base: a sentence or a chunk.

    Attributes:
        id: Stable and unique within the knowledge base.
        text: The text that is embedded and shown to the teacher.
        source: Its origin (a file and position, a dataset), for display.
    """

    id: str
    text: str
    source: str = ""


@dataclass(frozen=True, slots=True)
class CuratedQuestion(Record):
    """A question generated from documents, with its answer and sources.

    Attributes:
        id: Stable: a hash of question, documents and writer.
        text: The question.
        answer: Its answer, in the words of the documents.
        documents: Ids of the documents it was generated from.
        writer: Name of the question writer (a plugin).
        form: The wording used by the writer: forms of one fact differ in wording only.
        sentences: The sentences it was generated from, one per document.
        options: Answer options, including the answer; empty for free text.
        language: Language or script of the sentences, a code such as `en` or `zh`; empty if unknown.
        dropped: Why it is not used; None if it is kept.
    """

    id: str
    text: str
    answer: str
    documents: tuple[str, ...]
    writer: str
    form: str
    sentences: tuple[str, ...]
    options: tuple[str, ...] = ()
    language: str = ""
    dropped: str | None = None

    @property
    def kept(self) -> bool:
        """Whether the question is used."""
        return self.dropped is None

    @property
    def question(self) -> Question:
        """The question without its answer, for the other steps."""
        return Question(self.id, self.text, self.options)

    @property
    def option(self) -> int | None:
        """Index of the answer among the options, or None for free text."""
        return self.options.index(self.answer) if self.options else None


@dataclass(frozen=True, slots=True)
class Passage(Record):
    """A document retrieved for a question.

    Attributes:
        id: The document's id.
        text: The document's text.
        score: The retriever's score; higher is better, comparable within one question only.
        source: The document's source.
    """

    id: str
    text: str
    score: float
    source: str = ""


@dataclass(frozen=True, slots=True)
class Retrieval(Record):
    """The passages retrieved for one question, best first.

    Attributes:
        question_id: The question's id.
        passages: Best first.
        option_support: How strongly the passages support each option: natural-log probabilities, normalised over the
            options; None if the retriever does not provide it.
    """

    question_id: str
    passages: tuple[Passage, ...]
    option_support: tuple[float, ...] | None = None
    rare = (("option_support", None),)

    @classmethod
    def _read(cls, name: str, value: Any) -> Any:
        if name == "passages":
            return tuple(Passage.from_row(item) for item in value)
        return tuple(value) if isinstance(value, list) else value


@dataclass(frozen=True, slots=True)
class PseudoLabel(Record):
    """The teacher's label for a question.

    Attributes:
        question_id: The question answered.
        option: Index of the chosen option; None for free text.
        probabilities: One per option, summing to 1; None for free text or an engine without log-probabilities.
        text: The answer the student learns to give.
        confidence: Probability of the answer, 0..1; None if the engine returns no log-probabilities.
        passages: Ids of the passages in the prompt, in prompt order.
        passages_dropped: Number of retrieved passages left out because the prompt would have been too long.
        style: Scoring style used: `letter`, `text`, `text_minus_prior`, or `generate` for free text.
        explanation: Explanation that cites passages as [1], [2]; None if the model does not explain well.
        key: Hash of everything the label depends on; a cached row is reused only if it matches.
        agreement: Share of option orders, or of samples, that gave the same answer, 0..1; None if it was asked once.
    """

    question_id: str
    option: int | None
    probabilities: tuple[float, ...] | None
    text: str
    confidence: float | None
    passages: tuple[str, ...]
    passages_dropped: int
    style: str
    key: str
    explanation: str | None = None
    agreement: float | None = None


@dataclass(frozen=True, slots=True)
class Preference(Record):
    """Two different answers to one question, as the teacher with its passages ranks them: its own and the student's.

    Attributes:
        question_id: The question answered.
        chosen: The answer the teacher finds more probable.
        rejected: The other one.
        chosen_option: Index of the chosen option; None for free text.
        rejected_option: Index of the rejected option; None for free text.
        chosen_probability: The teacher's probability of it, 0..1: calibrated, over all options; for free text over the
            two answers, by their mean log-probability a token.
        rejected_probability: The same of the rejected one.
        chosen_by: Whose answer was chosen: `teacher` or `student`.
    """

    question_id: str
    chosen: str
    rejected: str
    chosen_option: int | None
    rejected_option: int | None
    chosen_probability: float
    rejected_probability: float
    chosen_by: str


@dataclass(frozen=True, slots=True)
class Verdict(Record):
    """The selection's decision on one pseudo-label.

    Attributes:
        question_id: The label's question.
        kept: Whether the student learns from it.
        reason: Why, as a short phrase.
        confidence: The teacher's confidence, 0..1, or None.
        uncertainty: The student's uncertainty, 0..1, or None if the method does not use it.
        weight: Weight of the sample's loss term if kept.
    """

    question_id: str
    kept: bool
    reason: str
    confidence: float | None = None
    uncertainty: float | None = None
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Selection:
    """Kept and dropped labels, so that thresholds can be analysed afterwards.

    Attributes:
        method: Name of the selector.
        verdicts: One per pseudo-label, in the order of the labels.
    """

    method: str
    verdicts: tuple[Verdict, ...]

    @property
    def kept(self) -> tuple[Verdict, ...]:
        """The verdicts that keep their label."""
        return tuple(v for v in self.verdicts if v.kept)

    @property
    def dropped(self) -> tuple[Verdict, ...]:
        """The verdicts that drop their label."""
        return tuple(v for v in self.verdicts if not v.kept)

    @property
    def kept_share(self) -> float:
        """Share of labels kept, 0..1; 0.0 for no labels."""
        return len(self.kept) / len(self.verdicts) if self.verdicts else 0.0


@dataclass(frozen=True, slots=True)
class Example(Record):
    """A training example: a pseudo-label joined with its question.

    Attributes:
        question: The question, closed book: no passages.
        label: The teacher's label.
        weight: Weight of its loss term.
    """

    question: Question
    label: PseudoLabel
    weight: float = 1.0

    @classmethod
    def _read(cls, name: str, value: Any) -> Any:
        kinds: dict[str, type[Record]] = {"question": Question, "label": PseudoLabel}
        return kinds[name].from_row(value) if name in kinds else value


@dataclass(frozen=True, slots=True)
class Prediction(Record):
    """One arm's answer to one evaluation question.

    Attributes:
        question_id: The question answered.
        arm: `base`, `teacher`, `student`, ...
        option: Index of the chosen option; None for free text.
        probabilities: One per option, or None.
        text: The generated answer (greedy); the option's text if generation is off.
        passages: Ids of the passages in the prompt; empty for closed-book arms.
        seconds: Wall time of answering, divided equally over a batch.
        prompt_tokens: Tokens of the prompt; 0 in files of versions that did not count them.
        written_tokens: Generated tokens; 0 without generation.
    """

    question_id: str
    arm: str
    option: int | None
    probabilities: tuple[float, ...] | None
    text: str
    passages: tuple[str, ...] = ()
    seconds: float = field(default=0.0)
    prompt_tokens: int = 0
    written_tokens: int = 0


def join(questions: Sequence[Question], labels: Sequence[PseudoLabel], verdicts: Sequence[Verdict]) -> list[Example]:
    """Join kept labels with their questions by id, in the order of the labels.

    Raises:
        InputError: A label's question or verdict is missing.
    """
    by_id = {question.id: question for question in questions}
    by_question = {verdict.question_id: verdict for verdict in verdicts}
    examples = []
    for label in labels:
        if label.question_id not in by_id:
            raise InputError(f"label of unknown question '{label.question_id}'.", hint="Rerun the label step.")
        verdict = by_question.get(label.question_id)
        if verdict is None:
            raise InputError(f"no selection verdict for question '{label.question_id}'.", hint="Rerun the select step.")
        if verdict.kept:
            examples.append(Example(by_id[label.question_id], label, verdict.weight))
    return examples
