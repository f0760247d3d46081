"""The types that the steps exchange. Every step takes and returns lists of these records.

    Question -> Retrieval -> PseudoLabel -> Verdict (Selection) -> adapter -> Prediction -> report

A `Question` has no answer, so the label-free path cannot read one. `Gold` exists for evaluation and analysis only, is
loaded by its own function, and never reaches teacher, selection or training.

All records are frozen, convert losslessly to and from one flat JSON row (`to_row`, `from_row`), and have the
question's stable id: files are matched by id when they are read (`run.rows`), lists in memory are aligned.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from solo_hub.core.rows import Record


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
    """The kept labels with their questions; all are aligned, as the steps hand them on."""
    rows = zip(questions, labels, verdicts, strict=True)
    return [Example(question, label, verdict.weight) for question, label, verdict in rows if verdict.kept]
