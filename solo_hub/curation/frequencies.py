"""How often words stand in a corpus, counted in one pass and bounded memory.

Two things are counted: in how many documents a stem stands (*idf*: what is rare is worth asking), and how often a
word form follows a word that only nouns follow, or only verbs (*the waves*, *can wave*): what the lists of `english`
cannot know.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterable, Sequence
from functools import lru_cache

from solo_hub.core.plugins import Progress
from solo_hub.core.records import Document
from solo_hub.curation.english import (
    ADVERBS,
    AUXILIARIES,
    BE,
    DETERMINERS,
    MODALS,
    PREPOSITIONS,
    PRONOUNS,
    VERBS,
    base_of_gerund,
    base_of_past,
    base_of_third,
)
from solo_hub.curation.scripts import language_of
from solo_hub.knowledge.words import Analysis

MOST_WORDS = 400_000  # entries of a table before its rarest are dropped; about 40 MB
SMALL = 50  # documents below which idf says nothing
LOOKED_AT = 1000  # documents whose language is told
SAMPLE = 200_000  # documents whose word forms are looked at; idf counts all of them

_FORM = re.compile(r"[A-Za-z]+(?:[-'][A-Za-z]+)*|[^\sA-Za-z]")
_BEFORE_NOUNS = DETERMINERS | (PREPOSITIONS - {"as", "than", "like"})
_BEFORE_VERBS = MODALS | {"not", "they", "it", "also", "often", "usually", "which", "who", "to"}
_LINKING = BE | ADVERBS | {"be", "been", "become", "becomes"}
_AFTER_NOUNS = (PREPOSITIONS - {"as", "than", "like"}) | BE | MODALS | set(".,;:?!)")
_NEVER_VERBS = AUXILIARIES | PRONOUNS | DETERMINERS | PREPOSITIONS | ADVERBS | {"be", "been", "not", "to"}
_ENOUGH = 5  # times a form must be seen before the corpus overrules the lists
_NOUN_SHARE = 0.3
_HARDLY = 0.05


_ANALYSIS = Analysis("en", "")


def words(text: str) -> list[str]:
    """Stems of the content words of a text, in order: what questions and answers are compared by.

    English rules whatever the language: forms of one question meet, and in other scripts the rules change nothing.

    >>> words("What do the plants need?")
    ['plant', 'need']
    """
    return _ANALYSIS.words(text)


@lru_cache(maxsize=16_384)
def stems(text: str) -> frozenset[str]:
    """The distinct content words of a text; those of a question are asked for several times on its way."""
    return frozenset(words(text))


class Frequencies:
    """Counts of one corpus.

    Attributes:
        documents: How many were counted.
    """

    def __init__(self) -> None:
        self.documents = 0
        self._languages: dict[str, int] = {}
        self._holders: dict[str, int] = {}  # stem -> documents that hold it
        self._nouns: dict[str, int] = {}  # form -> times after a word that nouns follow
        self._heads: dict[str, int] = {}  # form -> times at the end of such a phrase
        self._verbs: dict[str, int] = {}
        self._forms: dict[str, int] = {}
        self._capitals: dict[str, int] = {}  # form -> times with a capital inside a sentence
        self._small: dict[str, int] = {}  # form -> times without one

    @property
    def language(self) -> str:
        """The language most of the first documents are in; what a sentence too short to tell is taken for."""
        return max(self._languages, key=lambda name: self._languages[name], default="")

    @classmethod
    def count(cls, documents: Iterable[Document], progress: Progress | None = None) -> Frequencies:
        """Count a corpus.

        Args:
            documents: Read once, in order.
            progress: Called with documents counted.
        """
        made = cls()
        for document in documents:
            made.add(document.text)
            if progress:
                progress(1)
        return made

    def add(self, text: str) -> None:
        """Count one more document."""
        self.documents += 1
        for word in set(words(text)):
            self._holders[word] = self._holders.get(word, 0) + 1
        if self.documents <= LOOKED_AT and (language := language_of(text)):
            self._languages[language] = self._languages.get(language, 0) + 1
        if self.documents <= SAMPLE:
            self._add_forms(_FORM.findall(text))
        for table in (self._holders, self._nouns, self._heads, self._verbs, self._forms, self._capitals, self._small):
            if len(table) > MOST_WORDS:
                _prune(table)

    def _add_forms(self, forms: Sequence[str]) -> None:
        for earlier, form in itertools.pairwise(forms):
            if earlier not in ".!?:":  # a capital there says nothing
                table = self._capitals if form[0].isupper() else self._small
                table[form.lower()] = table.get(form.lower(), 0) + 1
        before = earlier = "."
        for place, form in enumerate(forms):
            if not form[0].isalpha():
                before = form
                continue
            lowered = form.lower()
            following = forms[place + 1].lower() if place + 1 < len(forms) else "."
            in_phrase = (before in _BEFORE_NOUNS or earlier in _BEFORE_NOUNS) and before not in _LINKING
            if in_phrase and following in _AFTER_NOUNS:
                self._heads[lowered] = self._heads.get(lowered, 0) + 1
            self._forms[lowered] = self._forms.get(lowered, 0) + 1
            if before in _BEFORE_NOUNS:
                self._nouns[lowered] = self._nouns.get(lowered, 0) + 1
            elif before in _BEFORE_VERBS:
                self._verbs[lowered] = self._verbs.get(lowered, 0) + 1
            earlier, before = before, lowered

    def idf(self, stem: str) -> float:
        """Natural log of (documents + 1) / (documents that hold the stem + 1): 0 for what stands everywhere."""
        return math.log((self.documents + 1) / (self._holders.get(stem, 0) + 1))

    def noun_share(self, form: str) -> float:
        """How often a form stands where only nouns and what describes them stand, 0..1; 0 where it is hardly seen."""
        seen = self._forms.get(form, 0)
        return self._nouns.get(form, 0) / seen if seen >= _ENOUGH else 0.0

    def head_share(self, form: str) -> float:
        """How often a form ends a noun phrase, 0..1: high for nouns, low for adjectives; 0 where it is hardly seen."""
        seen = self._forms.get(form, 0)
        return self._heads.get(form, 0) / seen if seen >= _ENOUGH else 0.0

    def is_surely_adjective(self, word: str) -> bool:
        """Whether a word stands in noun phrases, and hardly ever at their end."""
        return self.noun_share(word) > _NOUN_SHARE and self.head_share(word) < _HARDLY

    def is_name(self, word: str) -> bool:
        """Whether a capitalised word is a name: inside sentences it is mostly written so, or never otherwise."""
        small = self._small.get(word.lower(), 0)
        return not small or self._capitals.get(word.lower(), 0) > small

    def stands_inside(self, word: str) -> bool:
        """Whether a word was seen anywhere but at the beginning of sentences."""
        return word.lower() in self._small or word.lower() in self._capitals

    def is_base(self, word: str) -> bool:
        """Whether a word is the base form of a verb: listed, or met after *can* or *to* often enough."""
        if word in VERBS:
            return True
        if word in _NEVER_VERBS or (word.endswith("s") and not word.endswith("ss")):
            return False
        after = self._verbs.get(word, 0)
        return after >= _ENOUGH and after > self._nouns.get(word, 0)

    def third_base(self, form: str) -> str | None:
        """The verb a form in -s is of, where it is used as a verb in this corpus: `eats` -> `eat`."""
        base = next((base for base in base_of_third(form) if self.is_base(base)), None)
        return base if base and self.noun_share(form) < _NOUN_SHARE else None

    def is_surely_verb(self, form: str) -> bool:
        """Whether a form in -s was seen often enough to know that it is a verb's: a *bear* may be an animal."""
        return self._forms.get(form, 0) >= _ENOUGH and self.third_base(form) is not None

    def past_base(self, form: str) -> str | None:
        """The verb a past form or participle is of."""
        return next((base for base in base_of_past(form) if self.is_base(base)), None)

    def gerund_base(self, form: str) -> str | None:
        """The verb a form in -ing is of."""
        return next((base for base in base_of_gerund(form) if self.is_base(base)), None)

    def plural_base(self, form: str) -> str | None:
        """The verb a base form is, where it is used as one: `eat` -> `eat`, but `water` is none."""
        return form if self.is_base(form) and self.noun_share(form) < _NOUN_SHARE else None


def _prune(table: dict[str, int]) -> None:
    """Drop the rarest until half the room is free; order of first sight is kept, so that runs are alike."""
    least = 1
    while len(table) > MOST_WORDS // 2:
        for key in [key for key, count in table.items() if count <= least]:
            del table[key]
        least *= 2
