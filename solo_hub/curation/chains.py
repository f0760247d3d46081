"""Questions that need two sentences: the plugin `chains`.

Two sentences that share a rare term are composed (`composing`), and what they say together is asked, the term itself
left out. Only facts' hashes and places are held, 24 bytes a sentence: memory stays small for millions. Chinese
statements are composed by the same rules, without agreement.
"""

from __future__ import annotations

import hashlib
import zlib
from array import array
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from solo_hub.core.plugins import Progress
from solo_hub.core.records import CuratedQuestion, Document
from solo_hub.curation.clauses import Clause, parse
from solo_hub.curation.cloze import Sentence, check_options, choose, curated, is_worth_asking, sentences_of
from solo_hub.curation.composing import compose, is_term, term
from solo_hub.curation.forms import Asked, ask
from solo_hub.curation.frequencies import SMALL, Frequencies
from solo_hub.curation.unspaced import ask_statement, parse_statement
from solo_hub.knowledge.words import words

DEFAULTS = {"per_sentence": 4, "per_pair": 2, "most_holders": 60, "least_idf": 4.0, "least_weight": 4.0}
_SUBJECT, _OBJECT = 0, 1
_NONE = 0

Keys = npt.NDArray[np.uint64]


class Chains:
    """The plugin `chains`.

    Args:
        options: `per_sentence`, most second sentences a first is composed with; `per_pair`, most questions of a pair;
            `most_holders`, most sentences a term may begin or end: commoner ones link what has nothing in common;
            `least_idf` of the rarest word of a linking term; `least_weight` as for `cloze`.
        seed: Decides which second sentences are taken where there are more, and which forms are asked.

    Raises:
        ConfigError: Another option, or a value out of range.
    """

    name: ClassVar[str] = "chains"

    def __init__(self, options: Mapping[str, Any], seed: int) -> None:
        settings = check_options(self.name, options, DEFAULTS)
        self.per_sentence, self.per_pair = int(settings["per_sentence"]), int(settings["per_pair"])
        self.most_holders = int(settings["most_holders"])
        self.least_idf, self.least_weight = float(settings["least_idf"]), float(settings["least_weight"])
        self.seed = seed

    def write(self, documents: Sequence[Document], progress: Progress | None = None) -> Iterator[CuratedQuestion]:
        """Questions of every pair, in the order of their first sentences; the documents are read three times."""
        corpus = Frequencies.count(documents)
        facts = _Facts(documents, corpus, 0.0 if corpus.documents < SMALL else self.least_idf)
        document = -1
        for place in range(len(facts)):
            if progress and facts.documents[place] != document:
                progress(facts.documents[place] - document)
                document = facts.documents[place]
            for other in self._partners(facts, place):
                yield from self._questions(facts.read(place), facts.read(other), corpus)
        if progress and len(documents) - 1 > document:
            progress(len(documents) - 1 - document)

    def _partners(self, facts: _Facts, place: int) -> list[int]:
        """Places of the sentences a first one is composed with, in their order."""
        found: list[int] = []
        definition = facts.definitions[place]
        for own, theirs, only in ((_OBJECT, _SUBJECT, False), (_SUBJECT, _SUBJECT, True), (_OBJECT, _OBJECT, True)):
            if only and not definition:
                continue
            holders = facts.holders(theirs, facts.keys[own][place])
            if len(holders) <= self.most_holders:
                found += [other for other in holders.tolist() if facts.documents[other] != facts.documents[place]]
        found = list(dict.fromkeys(found))
        if len(found) > self.per_sentence:  # what a definition links is closer than what two happenings share
            found = sorted(
                found,
                key=lambda other: (
                    not (definition or facts.definitions[other]),
                    zlib.crc32(f"{self.seed} {place} {other}".encode()),
                ),
            )
        return sorted(found[: self.per_sentence])

    def _questions(
        self, first: tuple[Sentence, Clause], second: tuple[Sentence, Clause], corpus: Frequencies
    ) -> Iterator[CuratedQuestion]:
        (one, clause), (two, other) = first, second
        if one.language != two.language:
            return
        for composed in compose(clause, other, corpus):
            made = composed.clause
            if set(term(made.subject)) & set(term(made.object)) or _same(made, clause) or _same(made, other):
                continue
            if one.language == "zh":
                asked = ask_statement(made)
            else:
                asked = [each for each in ask(made, corpus) if is_worth_asking(each, corpus, self.least_weight)]
            asked = [
                Asked(f"{composed.kind}-{each.form}", each.text, each.answer)
                for each in asked
                # a question inverted around a nested clause cannot be read
                if each.form != "gap-subject" and (composed.kind, each.form) != ("through", "fronted")
            ]
            for each in choose(asked, self.per_pair, f"{self.seed}\0{one.text}\0{two.text}"):
                yield curated(self.name, each, [one, two])


class _Facts:
    """The clauses of a corpus by what they begin and end with; the clauses themselves are read again when needed."""

    def __init__(self, documents: Sequence[Document], corpus: Frequencies, least: float) -> None:
        self._documents, self._corpus, self._least = documents, corpus, least
        places, numbers, flags = array("q"), array("i"), array("b")
        columns = (array("Q"), array("Q"))
        for place, document in enumerate(documents):
            for number, sentence in enumerate(sentences_of(document)):
                sentence = _in_language(sentence, corpus)  # noqa: PLW2901
                clause = clause_of(sentence, corpus)
                if clause is None:
                    continue
                keys = [self._key(sentence.language, phrase) for phrase in (clause.subject, clause.object)]
                if any(keys):
                    places.append(place)
                    numbers.append(number)
                    flags.append(clause.is_definition)
                    for column, key in zip(columns, keys, strict=True):
                        column.append(key)
        self.documents, self.numbers, self.definitions = places, numbers, flags
        self.keys: tuple[Keys, Keys] = (_as_keys(columns[0]), _as_keys(columns[1]))
        self._order = tuple(np.argsort(keys, kind="stable") for keys in self.keys)
        self._sorted = tuple(keys[order] for keys, order in zip(self.keys, self._order, strict=True))
        self._read: dict[int, tuple[Sentence, Clause]] = {}

    def __len__(self) -> int:
        return len(self.documents)

    def _key(self, language: str, phrase: tuple[str, ...]) -> int:
        if not is_term(phrase, self._corpus, self._least):
            return _NONE
        text = "\0".join((language, *term(phrase)))
        return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") or 1

    def holders(self, part: int, key: np.uint64) -> npt.NDArray[np.int64]:
        """Places of the facts that begin (or end) with a term, ascending."""
        if key == _NONE:
            return np.zeros(0, dtype=np.int64)
        begin, end = np.searchsorted(self._sorted[part], [key, key + np.uint64(1)])
        return self._order[part][begin:end]

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


def clause_of(sentence: Sentence, corpus: Frequencies) -> Clause | None:
    """The clause of a sentence in a language there are rules for."""
    if sentence.language == "en":
        return parse(sentence.text, corpus)
    return parse_statement(sentence.text) if sentence.language == "zh" else None


def _in_language(sentence: Sentence, corpus: Frequencies) -> Sentence:
    return sentence if sentence.language else Sentence(sentence.document, sentence.text, corpus.language)


def _as_keys(column: array[int]) -> Keys:
    return np.frombuffer(column, dtype=np.uint64) if len(column) else np.zeros(0, dtype=np.uint64)


def _same(made: Clause, clause: Clause) -> bool:
    """Whether a composed clause says what one of its sentences says already."""
    parts = [" ".join((*c.subject, *c.verb, *c.link, *c.object)) for c in (made, clause)]
    return set(words(parts[0])) == set(words(parts[1]))
