"""Text to words: what BM25 and the two-step retrievers count and compare.

Words are `solo_hub.core.words.terms`, cut back to a stem so that *dehydrating* meets *dehydration*, by the rules of the
corpus's own language (Snowball). Which language that is, is told from the documents alone, and kept in the word index:
questions are read as the documents were.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, Self

from solo_hub.core.errors import import_optional
from solo_hub.core.files import write_text
from solo_hub.core.records import Document
from solo_hub.core.words import terms

TOKENIZER = 2
"""Version of what `Analysis.words` does but for the stemmer's rules; a word index of another version is made again."""

SAMPLE = 500  # documents whose language is looked at
LONGEST = 1000  # characters of each that are looked at, and count
ABOUT = "analysis.json"

_SAME_STEMMER = {"nb": "no", "nn": "no"}  # Bokmål and Nynorsk
# On QASC Porter's own rules find as much as their successor ("english") or a little more, with every retriever.
_RULES = {"en": "porter"}
STOP_WORDS = frozenset(
    """
    a an the and or but nor so if then than that this these those there here of in on at by for from to into onto
    with without as is are was were be been being am do does did done have has had having can could may might will
    would shall should must not no it its they them their he him his she her we us our you your i me my what which
    who whom whose when where why how such some any each other also just very only over out up down about through
    during between both more most many much
    """.split()  # noqa: SIM905 - forty words a line read better than one
)
"""Of English, left out where the corpus is English; in other languages their rareness alone weighs words."""


@dataclass(frozen=True, slots=True)
class Analysis:
    """How a word index turns texts into words.

    Attributes:
        language: ISO 639-1 code whose rules cut words back to stems; empty where the documents are of no single
            language, or of one without such rules: words then stay as they are.
        stemmer: Version of the Snowball rules.
        tokenizer: Version of all else.
    """

    language: str
    stemmer: str
    tokenizer: int = TOKENIZER

    @classmethod
    def of(cls, documents: Sequence[Document]) -> Self:
        """That of a corpus."""
        return cls(language_of(documents), _snowball().version(), TOKENIZER)

    @classmethod
    def read(cls, folder: Path) -> Self | None:
        """That of a word index; None where the folder has none that this version can follow."""
        try:
            found = cls(**json.loads((folder / ABOUT).read_text("utf-8")))
        except (OSError, ValueError, TypeError):
            return None
        return found if (found.tokenizer, found.stemmer) == (TOKENIZER, _snowball().version()) else None

    def write(self, folder: Path) -> None:
        """Keep it with the word index."""
        write_text(folder / ABOUT, json.dumps(asdict(self)) + "\n")

    def words(self, text: str) -> list[str]:
        """The stems of a text's words, in order; of English without stop words.

        >>> Analysis("en", "").words("Dehydrating food is used for preserving food.")
        ['dehydr', 'food', 'us', 'preserv', 'food']
        >>> Analysis("", "").words("H₂O在100度沸騰")
        ['h2o', '在', '100', '度沸', '沸騰']
        """
        found = terms(text)
        if self.language == "en":
            found = [word for word in found if word not in STOP_WORDS]
        return [_stem(word, self.language) for word in found] if self.language else found


def language_of(documents: Sequence[Document]) -> str:
    """The language most of a corpus is written in, as ISO 639-1 code.

    Told from at most `SAMPLE` documents, evenly spaced: each votes with its length.

    Returns:
        The code; empty where no language has most of the votes, or Snowball has no rules for it.
    """
    identifier = _identifier()
    votes: Counter[str] = Counter()
    for number in range(min(SAMPLE, len(documents))):
        text = documents[number * len(documents) // min(SAMPLE, len(documents))].text[:LONGEST]
        language, _ = identifier.classify(text)
        votes[_SAME_STEMMER.get(language, language)] += len(text)
    language, most = max(votes.items(), key=lambda vote: vote[1], default=("", 0))
    return language if 2 * most > votes.total() and _has_rules(language) else ""


@lru_cache(maxsize=200_000)
def _stem(word: str, language: str) -> str:
    stemmed: str = _stemmer(language).stemWord(word)
    return stemmed


@cache
def _stemmer(language: str) -> Any:
    # it caches no words itself: the cache above is one that threads may share
    return _snowball().Stemmer(_RULES.get(language, language), 0)


def _has_rules(language: str) -> bool:
    try:
        _stemmer(language)
    except KeyError:
        return False
    return True


def _snowball() -> Any:
    return import_optional("Stemmer", package="PyStemmer", extra="knowledge", purpose="Searching by words")


@cache  # half a second to load, 80 MB to keep
def _identifier() -> Any:
    langid = import_optional("py3langid.langid", package="py3langid", extra="knowledge", purpose="Searching by words")
    return langid.LanguageIdentifier.from_model_file(langid.MODEL_FILE)
