"""Two clauses that share a term, composed to one that neither says alone.

    inherit   "Cars are vehicles." + "A vehicle needs fuel." -> "Cars need fuel."
    general   "Birds eat trout." + "Trout is a kind of fish." -> "Birds eat fish."
    special   "Cars are vehicles." + "Friction stops a vehicle." -> "Friction stops cars."
    describe  "Lymph is a fluid that leaks out of capillaries." + "Lymph contains lymphocytes."
              -> "The fluid that leaks out of capillaries contains lymphocytes."
    both      "Seat belts prevent injuries." + "Seat belts save lives."
              -> "Seat belts prevent injuries and save lives.", asked for by what they do
    through   "Magnets are used in compasses." + "A compass is used to navigate oceans."
              -> "Magnets are used in something that is used to navigate oceans."

The shared term drops out, as in a question composed by hand (Khot et al., "QASC", AAAI 2020, section 3). `through` is
right wherever both sentences are; the others are as right as *is* is in the corpus.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from solo_hub.curation.clauses import Clause, Words
from solo_hub.curation.english import (
    ADVERBS,
    ARTICLES,
    AUXILIARIES,
    BE,
    DETERMINERS,
    DULL,
    MODALS,
    PREPOSITIONS,
    RELATIVE,
    SUBORDINATORS,
    is_plural,
    third_person,
)
from solo_hub.curation.frequencies import Frequencies, words

_ABOUT_WORDS = frozenset({"mean", "means", "meant", "called", "known", "named", "termed"})
_KINDS = frozenset({"kind", "type", "form", "example", "kinds", "types", "一種", "一种"})
_WORDS_OF_A_TERM = 3
_SAYS_LITTLE = BE | ADVERBS | {"be", "been", "become", "becomes", "has", "have"}
LONGEST_PART = 12  # words of a description that takes a subject's place


@dataclass(frozen=True, slots=True)
class Composed:
    """What two clauses say together.

    Attributes:
        kind: How they were composed.
        clause: What they say.
    """

    kind: str
    clause: Clause


def term(phrase: Words) -> tuple[str, ...]:
    """What a noun phrase is about, to be compared: its content words in the singular.

    Stems would be too coarse: *experience* and *experiments* have one.

    >>> term(("the", "compasses")) == term(("a", "compass")), term(("All", "red", "berries"))
    (True, ('red', 'berry'))
    """
    if not all(map(str.isascii, phrase)):
        return tuple(words(" ".join(phrase)))
    return tuple(_singular(word.lower()) for word in phrase if word.lower() not in DETERMINERS and words(word))


def _singular(word: str) -> str:
    if word.endswith("ies"):
        return word[:-3] + "y"
    if word.endswith(("sses", "xes", "ches", "shes")):
        return word[:-2]
    return word[:-1] if word.endswith("s") and not word.endswith(("ss", "us", "is")) else word


def compose(first: Clause, second: Clause, corpus: Frequencies) -> Iterator[Composed]:
    """Everything the two say together, where the first comes before the second in the chain."""
    if first.lead or second.lead or _denies(first) or _denies(second):
        return
    if {first.verb[-1].lower(), second.verb[-1].lower()} & _ABOUT_WORDS:
        return
    ends, begins = term(first.object), term(second.subject)
    tail = tail_of(first)
    if tail and term(tail) == begins and (_is_kind(second) or _is_equal(second)):
        rest = (*first.rest[: len(first.rest) - len(tail)], *second.object)
        yield Composed("general", replace(first, rest=rest))
        return
    if ends and ends == begins and first.named:
        yield from _linked(first, second, corpus)
    elif begins and term(first.subject) == begins and first.is_definition and _says_much(first):
        subject = (*_with_article(first.object), *first.rest)
        if len(subject) <= LONGEST_PART and not set(map(str.lower, first.link)) - {"a", "the", "kind", "type", "of"}:
            yield Composed("describe", _with_subject(second, subject, first.object, corpus))
    elif begins and term(first.subject) == begins and not first.is_definition and not second.is_definition:
        if not _is_relative(first.rest) and len(first.rest) + len(second.rest) <= LONGEST_PART:
            # in the number of the verb before it: *what are pretty and come*, *what prevents and saves*
            plural = all(word.lower() in BE | ADVERBS for word in first.verb) and is_plural(first.subject)
            verb = _agreeing(second.verb, corpus, plural=plural)
            rest = (*first.rest, "and", *verb, *second.link, *second.object, *second.rest)
            yield Composed("both", replace(first, rest=rest))
    elif ends and ends == term(second.object) and _is_kind(first) and second.named and not second.is_definition:
        yield Composed("special", replace(second, object=_bare(first.subject)))


def tail_of(clause: Clause) -> Words:
    """The noun phrase a clause ends with, where that is not its object: *to passengers in | cars*."""
    rest = clause.rest
    places = [n for n, word in enumerate(rest) if word.lower() in PREPOSITIONS]
    if not places or _is_relative(rest) or len(rest) - places[-1] - 1 > _WORDS_OF_A_TERM:
        return ()
    return rest[places[-1] + 1 :]


def _is_relative(rest: Words) -> bool:
    return any(word.lower() in RELATIVE | SUBORDINATORS for word in rest)


def _is_equal(clause: Clause) -> bool:
    """Whether it says what its subject is told in: *times are measured in seconds*."""
    last = clause.verb[-1].lower()
    measures = clause.is_definition and "measure" in clause.link
    return measures or (last in ("measured", "written", "expressed") and clause.link in (("in",), ("as",)))


def _denies(clause: Clause) -> bool:
    """Whether it says what is not so: that is not passed on."""
    said = {word.lower() for word in (*clause.subject[:1], *clause.verb, *clause.object[:1], *clause.rest)}
    return bool(said & {"not", "no", "never", "cannot", "few", "rarely", "than"})


def _linked(first: Clause, second: Clause, corpus: Frequencies) -> Iterator[Composed]:
    if _is_kind(first):
        yield Composed("inherit", _with_subject(second, first.subject, first.subject, corpus))
    elif not first.rest and (_is_equal(second) or _is_kind(second) or _is_open(second)):
        yield Composed("general", replace(first, object=second.object, rest=second.rest))
    elif (
        first.subject[0].isascii()
        and not first.rest
        and not {word.lower() for word in second.verb} <= _SAYS_LITTLE
        and first.verb != second.verb
    ):
        joined = (*first.link, "something", "that", *_agreeing(second.verb, corpus, plural=False), *second.link)
        yield Composed("through", replace(first, link=joined, object=second.object, rest=second.rest))


def _is_open(clause: Clause) -> bool:
    """Whether it defines, and its object may stand elsewhere: *the main items* are those of its sentence alone."""
    return clause.is_definition and not clause.link and clause.object[0].lower() != "the"


def _is_kind(clause: Clause) -> bool:
    """Whether it says what its subject is, with nothing that holds only there."""
    if not clause.is_definition or clause.rest or clause.object[0].lower() == "the":
        return False
    if clause.link:
        return bool({word.lower() for word in clause.link} & _KINDS)
    # a mass noun or an adjective without an article may be anything: *winter is cold*
    return clause.object[0].lower() in ("a", "an") or is_plural(clause.object) or not clause.object[0].isascii()


def _says_much(clause: Clause) -> bool:
    """Whether a description tells which one is meant."""
    return len(term(clause.object)) + len(term(clause.rest)) > 2  # noqa: PLR2004 - *a fluid* fits too many


def _with_subject(clause: Clause, subject: Words, head: Words, corpus: Frequencies) -> Clause:
    return replace(clause, subject=subject, verb=_agreeing(clause.verb, corpus, plural=is_plural(head)))


def _with_article(phrase: Words) -> Words:
    """A definition's object as a subject: *a fluid* -> *the fluid*."""
    if phrase[0].lower() in ARTICLES:
        return ("the", *phrase[1:])
    return phrase


def _bare(phrase: Words) -> Words:
    return phrase[1:] if phrase[0].lower() in DETERMINERS and len(phrase) > 1 else phrase


def _agreeing(verb: Words, corpus: Frequencies, *, plural: bool) -> Words:
    """A verb's group in the number of another subject: *needs* -> *need*."""
    places = [n for n, word in enumerate(verb) if word.lower() not in ADVERBS]
    if not places:
        return verb
    place, word = places[0], verb[places[0]].lower()
    fixed = {"is": "are", "was": "were", "has": "have", "does": "do"}
    if word in MODALS or not word.isascii():
        new = word
    elif plural:
        new = fixed.get(word) or corpus.third_base(word) or word
    elif word in AUXILIARIES and word not in fixed.values():
        new = word
    elif word in fixed.values():
        new = next(single for single, many in fixed.items() if many == word)
    else:
        new = third_person(word) if corpus.is_base(word) and not corpus.third_base(word) else word
    return (*verb[:place], new, *verb[place + 1 :])


def is_term(phrase: Words, corpus: Frequencies, least: float) -> bool:
    """Whether a noun phrase can link two sentences: short, whole, and rare enough to mean the same in both."""
    stems = words(" ".join(term(phrase)))
    if not stems or phrase[-1].lower() in DULL or len(term(phrase)) > _WORDS_OF_A_TERM:
        return False
    if any(word.lower() in PREPOSITIONS for word in phrase):
        return False
    return max(map(corpus.idf, stems)) >= least
