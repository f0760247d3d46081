"""Questions by rule: something is cut out of a sentence and asked for. No model; any size of base; at once.

English sentences that parse (`clauses`) are asked in whole questions, in several forms a fact; every other sentence,
and every other language, in those the language's few words allow, down to a gap in the sentence.

    fact        "a pulley is used for lifting objects"
    end         "A pulley is used for lifting what?"        objects
    fronted     "What is a pulley used for lifting?"        objects
    subject     "What is used for lifting objects?"         a pulley
    count       "How many legs does a spider have?"         eight
    gap         "a pulley is used for lifting ____"         objects
"""

from __future__ import annotations

import hashlib
import math
import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from pydantic import Field

from solo_hub.core.config import PluginOptions, read_options
from solo_hub.core.plugins import Progress
from solo_hub.core.records import CuratedQuestion, Document
from solo_hub.curation.clauses import Clause, parse
from solo_hub.curation.english import ADVERBS, DULL, PRONOUNS
from solo_hub.curation.forms import Asked, ask, ask_with_gap
from solo_hub.curation.frequencies import SMALL, Frequencies, stems
from solo_hub.curation.scripts import is_doubtful, language_of
from solo_hub.curation.spans import ask_anywhere, parse_statement
from solo_hub.curation.table_rows import Row, ask_row, cells_of, rows_of
from solo_hub.knowledge.chunking import sentences

SETTING = "curation.options"
"""Where question writers' options are set."""
_SAY_NOTHING = DULL | PRONOUNS | ADVERBS
LONGEST_ANSWER = 6  # words
ENGLISH = ("en", "")  # a text without function words may be English: its verbs will tell
_HEADINGS = re.compile('^(?:[^:;.!?"]{1,80}: )+(?=[A-Z])|^(?:[^\uff1a\u3002]{1,40}\uff1a +)+')
# of programs; addresses of e-mail; lines drawn with characters
_CODE = re.compile(r'://|[{}`\\]|": |\w\(|\w_\w|::|--\w|</|\+\+|\$[A-Za-z(]|\w@\w|([-=~*#])\1{3}')
LONGEST_SENTENCE = 400  # characters; longer ones are tables and lists that lost their lines


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence, the document it stands in, and its language."""

    document: Document
    text: str
    language: str


class ClozeOptions(PluginOptions):
    """Options of `cloze`.

    Attributes:
        per_sentence: Most questions from one sentence.
        least_weight: Summed idf that question and answer together must have: below it they say nothing.
    """

    per_sentence: int = Field(3, ge=0)
    least_weight: float = Field(4.0, ge=0)


class Cloze:
    """The plugin `cloze`.

    Args:
        options: See `ClozeOptions`.
        seed: Decides which forms are asked where there are more than `per_sentence`.

    Raises:
        ConfigError: Another option, or a value out of range.
    """

    name: ClassVar[str] = "cloze"

    def __init__(self, options: Mapping[str, Any], seed: int) -> None:
        self.options = read_options(ClozeOptions, options, f"question writer '{self.name}'", SETTING)
        self.seed = seed

    def write(self, documents: Sequence[Document], progress: Progress | None = None) -> Iterator[CuratedQuestion]:
        """Questions of every document, in the documents' order; counts the corpus first."""
        corpus = Frequencies.count(documents)
        for document in documents:
            found = list(sentences_of(document))
            rows = rows_of(sentence.text for sentence in found)
            for sentence in found:
                if row := rows.get(sentence.text):
                    yield from self.row_questions(sentence, row, corpus)
                else:
                    yield from self.questions(sentence, corpus)
            if progress:
                progress(1)

    def questions(self, sentence: Sentence, corpus: Frequencies) -> Iterator[CuratedQuestion]:
        """The questions of one sentence: the heaviest answer first, then other forms and other answers."""
        sentence = without_doubt(sentence, corpus)
        language = sentence.language or corpus.language
        clause = clause_of(sentence, corpus) if language in ENGLISH else None
        if clause or language == "en":
            candidates = ask(clause, corpus) if clause else ask_with_gap(sentence.text, corpus)
            candidates = [asked for asked in candidates if is_worth_asking(asked, corpus, self.options.least_weight)]
        else:
            candidates = ask_anywhere(sentence.text, language, corpus)
        for asked in choose(candidates, self.options.per_sentence, f"{self.seed}\0{sentence.text}"):
            yield curated(self.name, asked, [sentence])

    def row_questions(self, sentence: Sentence, row: Row, corpus: Frequencies) -> Iterator[CuratedQuestion]:
        """The questions of a row of a table: every cell is a fact of its own, and may be asked for so many times."""
        known = replace(sentence, language=sentence.language or corpus.language)
        for candidates, others in ask_row(row, known.language, corpus):
            for asked in choose(candidates, self.options.per_sentence, f"{self.seed}\0{sentence.text}"):
                yield replace(curated(self.name, asked, [known]), options=others)


def sentences_of(document: Document) -> Iterator[Sentence]:
    """The sentences of a document that may be asked about, without the headings in front of them."""
    for span in sentences(document.text):
        text = span.text if cells_of(span.text) else _HEADINGS.sub("", span.text)
        if len(text) <= LONGEST_SENTENCE and not _CODE.search(text):
            yield Sentence(document, text, language_of(text))


def without_doubt(sentence: Sentence, corpus: Frequencies) -> Sentence:
    """A sentence in the corpus's language where its own rests on a single word."""
    if corpus.language and is_doubtful(sentence.language, sentence.text):
        return replace(sentence, language=corpus.language)
    return sentence


def clause_of(sentence: Sentence, corpus: Frequencies) -> Clause | None:
    """The clause of a sentence, in a language there are rules for; where it is unknown, English is tried."""
    language = sentence.language or corpus.language
    if language in ENGLISH:
        return parse(sentence.text, corpus)
    return parse_statement(sentence.text) if language == "zh" else None


def is_worth_asking(asked: Asked, corpus: Frequencies, least: float) -> bool:
    """Whether an English question says enough, and asks for something: no pronoun, no *thing*, nothing it shows."""
    answer = asked.answer.lower().split()
    content = [word for word in answer if word not in _SAY_NOTHING and not word.endswith("ly")]
    found = stems(" ".join(content))
    if not content or not found or len(answer) > LONGEST_ANSWER:
        return False
    said = stems(asked.text)
    if found & said or len(said) < (1 if asked.form in ("fronted", "end", "gap", "count") else 2):
        return False
    if corpus.documents < SMALL:
        return True
    weights = [corpus.idf(stem) for stem in said]
    # `fsum` is exact: sets have another order in every process, and a sum that depended on it another value
    return math.fsum((*weights, *map(corpus.idf, found))) >= least + max(weights, default=0.0) / 2


def choose(candidates: Sequence[Asked], count: int, key: str) -> list[Asked]:
    """At most `count` of the questions of a sentence, in their order: no form twice before each was taken once.

    Among those of equal standing a hash of `key` decides, so that over a corpus all forms occur.
    """
    if len(candidates) <= count:
        return list(candidates)
    turn = zlib.crc32(key.encode())
    order = sorted(
        range(len(candidates)),
        key=lambda place: (
            sum(candidates[earlier].answer == candidates[place].answer for earlier in range(place)),
            zlib.crc32(f"{turn}{candidates[place].form}".encode()),
        ),
    )
    return [candidates[place] for place in sorted(order[:count])]


def curated(writer: str, asked: Asked, sources: Sequence[Sentence]) -> CuratedQuestion:
    """The record of a question: its id is a hash of what it says and of what it was written from."""
    documents = tuple(source.document.id for source in sources)
    parts = "\0".join([writer, asked.text, asked.answer, *documents])
    return CuratedQuestion(
        f"{writer}-{hashlib.blake2b(parts.encode(), digest_size=8).hexdigest()}",
        asked.text,
        asked.answer,
        documents,
        writer,
        asked.form,
        tuple(source.text for source in sources),
        language=sources[0].language,
    )
