"""Questions that need two sentences: the plugin `chains`.

Two sentences that share a rare term are composed (`composing`), and what they say together is asked, the term itself
left out. Only facts' hashes and places are held, 70 bytes a sentence: memory stays small for millions. Chinese
statements are composed by the same rules, without agreement.
"""

from __future__ import annotations

import hashlib
import zlib
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from pydantic import Field

from solo_hub.core.config import read_options
from solo_hub.core.plugins import Progress
from solo_hub.core.records import CuratedQuestion, Document
from solo_hub.curation.clauses import Clause, Words
from solo_hub.curation.cloze import (
    SETTING,
    ClozeOptions,
    Sentence,
    choose,
    clause_of,
    curated,
    is_worth_asking,
    sentences_of,
    without_doubt,
)
from solo_hub.curation.composing import compose, is_term, tail_of, term
from solo_hub.curation.forms import Asked, ask
from solo_hub.curation.frequencies import SMALL, Frequencies, words
from solo_hub.curation.spans import ask_statement

_SUBJECT, _OBJECT, _TAIL = 0, 1, 2  # parts of a clause that link it to others
_NONE = 0

_ALL_FORMS = ("fronted", "end", "subject", "gap", "count")
_FORMS = {
    "through": ("end", "subject"),  # a question inverted around a nested clause cannot be read
    "both": ("subject",),  # either half alone asks for something else
}

Keys = npt.NDArray[np.uint64]


class ChainsOptions(ClozeOptions):
    """Options of `chains`.

    Attributes:
        per_sentence: Most second sentences a first is composed with.
        per_pair: Most questions of a pair.
        most_holders: Most sentences a term may begin or end: commoner ones link what has nothing in common.
        least_idf: Idf of the rarest word of a linking term.
    """

    per_sentence: int = Field(4, ge=0)
    per_pair: int = Field(2, ge=0)
    most_holders: int = Field(60, ge=0)
    least_idf: float = Field(4.0, ge=0)


class Chains:
    """The plugin `chains`.

    Args:
        options: See `ChainsOptions`.
        seed: Decides which second sentences are taken where there are more, and which forms are asked.

    Raises:
        ConfigError: Another option, or a value out of range.
    """

    name: ClassVar[str] = "chains"

    def __init__(self, options: Mapping[str, Any], seed: int) -> None:
        self.options = read_options(ChainsOptions, options, f"question writer '{self.name}'", SETTING)
        self.seed = seed

    def write(self, documents: Sequence[Document], progress: Progress | None = None) -> Iterator[CuratedQuestion]:
        """Questions of every pair, in the order of their first sentences; the documents are read three times."""
        corpus = Frequencies.count(documents)
        facts = _Facts(documents, corpus, 0.0 if corpus.documents < SMALL else self.options.least_idf)
        document = -1
        for place in range(len(facts)):
            if progress and facts.documents[place] != document:
                progress(facts.documents[place] - document)
                document = facts.documents[place]
            for other in self._partners(facts, place):
                yield from self._questions(facts, place, other, corpus)
        if progress and len(documents) - 1 > document:
            progress(len(documents) - 1 - document)

    def _partners(self, facts: _Facts, place: int) -> list[int]:
        """Places of the sentences a first one is composed with, in their order."""
        found: list[int] = []
        definition = facts.definitions[place]
        links = [(_OBJECT, _SUBJECT), (_TAIL, _SUBJECT), (_SUBJECT, _SUBJECT)]
        for own, theirs in [*links, (_OBJECT, _OBJECT)] if definition else links:
            holders = facts.holders(theirs, facts.keys[own][place])
            if len(holders) <= self.options.most_holders:
                found += [other for other in holders if facts.documents[other] != facts.documents[place]]
        found = list(dict.fromkeys(found))
        if len(found) > self.options.per_sentence:  # what a definition links is closer than what two happenings share
            found = sorted(
                found,
                key=lambda other: (
                    not (definition or facts.definitions[other]),
                    zlib.crc32(f"{self.seed} {place} {other}".encode()),
                ),
            )
        return sorted(found[: self.options.per_sentence])

    def _questions(self, facts: _Facts, place: int, other: int, corpus: Frequencies) -> Iterator[CuratedQuestion]:
        (one, first), (two, second) = facts.read(place), facts.read(other)
        if one.language != two.language:
            return
        for composed in compose(first, second, corpus):
            made = composed.clause
            if composed.kind == "both" and place > other:
                continue  # the pair comes in either order
            if set(term(made.subject)) & set(term(made.object)) or _same(made, first) or _same(made, second):
                continue
            general = composed.kind == "general" and made.object != first.object
            if (made.is_definition or general) and facts.ends(one.language, made) > self.options.most_holders:
                continue  # *a substance*, *an object*: what nearly everything is says nothing
            if one.language == "zh":
                asked = ask_statement(made)
            else:
                asked = [each for each in ask(made, corpus) if is_worth_asking(each, corpus, self.options.least_weight)]
            asked = [
                Asked(f"{composed.kind}-{each.form}", each.text, each.answer)
                for each in asked
                if each.form in _FORMS.get(composed.kind, _ALL_FORMS)
            ]
            for each in choose(asked, self.options.per_pair, f"{self.seed}\0{one.text}\0{two.text}"):
                yield curated(self.name, each, [one, two])


class _Facts:
    """The clauses of a corpus by what they begin and end with; the clauses themselves are read again when needed."""

    def __init__(self, documents: Sequence[Document], corpus: Frequencies, least: float) -> None:
        self._documents, self._corpus = documents, corpus
        places, numbers, flags = array("q"), array("i"), array("b")
        columns = (array("Q"), array("Q"), array("Q"))
        for place, document in enumerate(documents):
            for number, sentence in enumerate(sentences_of(document)):
                sentence = _in_language(sentence, corpus)  # noqa: PLW2901
                clause = clause_of(sentence, corpus)
                if clause is None:
                    continue
                keys = [self._key(sentence.language, phrase, least) for phrase in _parts(clause)]
                if any(keys):
                    places.append(place)
                    numbers.append(number)
                    flags.append(clause.is_definition)
                    for column, key in zip(columns, keys, strict=True):
                        column.append(key)
        self.documents, self.numbers, self.definitions = places, numbers, flags
        self.keys = columns
        orders = [np.argsort(_as_keys(column), kind="stable") for column in columns]
        self._order = [array("q", order.astype(np.int64).tobytes()) for order in orders]
        self._sorted = [
            array("Q", _as_keys(column)[order].tobytes()) for column, order in zip(columns, orders, strict=True)
        ]
        self._read: dict[int, tuple[Sentence, Clause]] = {}

    def __len__(self) -> int:
        return len(self.documents)

    def _key(self, language: str, phrase: tuple[str, ...], least: float) -> int:
        if not is_term(phrase, self._corpus, least):
            return _NONE
        text = "\0".join((language, *term(phrase)))
        return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") or 1

    def holders(self, part: int, key: int) -> array[int]:
        """Places of the facts that begin (or end) with a term, ascending."""
        if key == _NONE:
            return array("q")
        begin = bisect_left(self._sorted[part], key)
        return self._order[part][begin : bisect_right(self._sorted[part], key, begin)]

    def ends(self, language: str, clause: Clause) -> int:
        """How many facts end with what a clause ends with."""
        key = self._key(language, clause.object, 0.0)
        return len(self.holders(_OBJECT, key))

    def read(self, place: int) -> tuple[Sentence, Clause]:
        """A fact's sentence and clause; the last few thousand are kept."""
        if place not in self._read:
            if len(self._read) > 20_000:  # noqa: PLR2004 - about 20 MB
                self._read.clear()
            document = self._documents[self.documents[place]]
            sentence = list(sentences_of(document))[self.numbers[place]]
            sentence = _in_language(sentence, self._corpus)
            clause = clause_of(sentence, self._corpus)
            if clause is None:  # the sequence gave another document than before
                raise RuntimeError(f"document '{document.id}' changed while it was read")
            self._read[place] = sentence, clause
        return self._read[place]


def _parts(clause: Clause) -> tuple[Words, Words, Words]:
    return clause.subject, clause.object, tail_of(clause)


def _in_language(sentence: Sentence, corpus: Frequencies) -> Sentence:
    sentence = without_doubt(sentence, corpus)
    return sentence if sentence.language else Sentence(sentence.document, sentence.text, corpus.language)


def _as_keys(column: array[int]) -> Keys:
    return np.frombuffer(column, dtype=np.uint64) if len(column) else np.zeros(0, dtype=np.uint64)


def _same(made: Clause, clause: Clause) -> bool:
    """Whether a composed clause says what one of its sentences says already."""
    parts = [" ".join((*c.subject, *c.verb, *c.link, *c.object, *c.rest)) for c in (made, clause)]
    return set(words(parts[0])) == set(words(parts[1]))
