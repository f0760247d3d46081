"""The forms in which an English clause is asked."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from solo_hub.curation.clauses import Clause, Words, tokenize_plain
from solo_hub.curation.english import (
    ADVERBS,
    ARTICLES,
    AUXILIARIES,
    BE,
    CONJUNCTIONS,
    DETERMINERS,
    DO,
    HAVE,
    MONTHS,
    NUMBER_WORDS,
    PERSONS,
    PREPOSITIONS,
    RELATIVE,
    SUBORDINATORS,
    TIMES,
    TITLES,
    is_plural,
    third_person,
)
from solo_hub.curation.frequencies import Frequencies, words
from solo_hub.curation.scripts import GAP

LONGEST_QUESTION = 24  # words
_POINTING = frozenset({"it", "they", "he", "she", "them", "him", "this", "these", "those"})
_POSSESSIVES = frozenset({"its", "their", "his", "her"})
_CLOCK = re.compile(r"\d{1,2}:\d\d")
_LASTING = ((), ("for",), ("about",))
_LAST = frozenset({"last", "lasts", "lasted", "take", "takes", "took"})


@dataclass(frozen=True, slots=True)
class Asked:
    """A question, its answer, and the form it has."""

    form: str
    text: str
    answer: str


def join(parts: Sequence[str]) -> str:
    """Words and marks to text.

    >>> join(["Salt", ",", "sugar", "and", "water"])
    'Salt, sugar and water'
    """
    text = " ".join(parts)
    for mark in (",", ";", ":", "?", ".", "%"):
        text = text.replace(f" {mark}", mark)
    return text


def ask(clause: Clause, corpus: Frequencies) -> list[Asked]:
    """Every form the clause can be asked in, the best first."""
    clause = _shorten(clause)
    asked = [*_count(clause, corpus), *_of_object(clause, corpus), *_of_subject(clause, corpus), *_of_rest(clause)]
    return [each for each in asked if each.answer and len(each.text.split()) <= LONGEST_QUESTION]


def ask_with_gap(sentence: str, corpus: Frequencies) -> list[Asked]:
    """For a sentence without a clear clause: its heaviest noun left out, where it is plain prose; at most one."""
    tokens = tokenize_plain(sentence)
    if tokens and (tokens[0].lower() in CONJUNCTIONS or {token.lower() for token in tokens} & _POINTING):
        return []
    best, found = -1.0, -1
    for place, token in enumerate(tokens[1:], 1):
        word = token.lower()
        before = tokens[place - 1].lower()
        following = tokens[place + 1].lower() if place + 1 < len(tokens) else "."
        if not word.isalpha() or len(word) < 3 or corpus.head_share(word) < 0.2:  # noqa: PLR2004 - surely a noun
            continue
        if before not in DETERMINERS | PREPOSITIONS and corpus.noun_share(before) < 0.2:  # noqa: PLR2004
            continue
        if following[0].isalnum() and following not in PREPOSITIONS | AUXILIARIES | SUBORDINATORS | RELATIVE | {"and"}:
            continue
        weight = sum(map(corpus.idf, words(word)))
        if weight > best and tokens.count(token) == 1:
            best, found = weight, place
    if found < 0:
        return []
    return [Asked("gap", _sentence([*tokens[:found], GAP, *tokens[found + 1 :]]), tokens[found])]


def _shorten(clause: Clause) -> Clause:
    """Drop a far end that makes a question too long to be learnt; what is left must still be a clause."""
    rest = list(clause.rest)
    while rest and sum(map(len, (clause.lead, clause.subject, clause.verb, clause.link, rest))) > LONGEST_QUESTION - 4:
        places = [n for n, word in enumerate(rest) if word.lower() in PREPOSITIONS | SUBORDINATORS | RELATIVE]
        rest = rest[: places[-1]] if places else []
    return replace(clause, rest=tuple(rest))


def _of_object(clause: Clause, corpus: Frequencies) -> list[Asked]:
    if not clause.named or _is_relative(clause.rest) or clause.rest[:1] in (("called",), ("known",), ("named",)):
        return []
    answer = _bare(clause.object)
    what = _what(clause)
    asked = []
    link = () if what in ("how long", "when") else clause.link
    if what == "how often":
        answer = join(clause.object)
    if not clause.lead and clause.link[:1] != ("one",) and (fronted := _inverted(clause, corpus)):
        asked.append(Asked("fronted", _question([what, *fronted, *link, *clause.rest]), answer))
    asked.append(
        Asked("end", _question([*clause.lead, *clause.subject, *clause.verb, *link, what, *clause.rest]), answer)
    )
    article = clause.object[:1] if clause.object[0].lower() in ARTICLES else ()
    gap = [*clause.lead, *clause.subject, *clause.verb, *clause.link, *_either(article), GAP, *clause.rest]
    asked.append(Asked("gap", _sentence(gap), answer))
    if clause.is_definition and not clause.link and (clause.rest or not clause.object):
        return [each for each in asked if each.form != "fronted"]  # *what is fog on the ground?* is another question
    return asked


def _of_subject(clause: Clause, corpus: Frequencies) -> list[Asked]:
    if clause.lead or clause.subject[0].lower() in _POSSESSIVES or clause.subject[0].lower() in ("no", "most", "some"):
        return []
    answer = _bare(clause.subject)
    who = "Who" if _is_person(clause.subject) or _names_role(clause) else "What"
    tail = [*clause.link, *clause.object, *clause.rest]
    if {word.lower() for word in tail[:-1]} & (_POSSESSIVES | {"they", "it", "them", "such", "another"}):
        return []  # they point at what is asked for
    asked = [Asked("subject", _question([who, *_singular(clause.verb, corpus), *tail]), answer)]
    article = clause.subject[:1] if clause.subject[0].lower() in ARTICLES else ()
    asked.append(Asked("gap-subject", _sentence([*_either(article), GAP, *clause.verb, *tail]), answer))
    return asked


def _of_rest(clause: Clause) -> list[Asked]:
    """What stands after the last preposition of the end: *squirrels gather nuts in what?*."""
    rest = clause.rest
    if not rest or _is_relative(rest) or any(word.lower() in SUBORDINATORS | RELATIVE for word in rest):
        return []
    places = [n for n, word in enumerate(rest) if word.lower() in PREPOSITIONS - {"of", "as", "than", "like"}]
    if not places or not 0 < len(rest) - places[-1] - 1 <= 4:  # noqa: PLR2004 - words of an answer
        return []
    found = rest[places[-1] + 1 :]
    if found[0].lower().endswith("ing") or not found[-1][0].isalnum():
        return []
    front = [*clause.lead, *clause.subject, *clause.verb, *clause.link, *clause.object, *rest[: places[-1] + 1]]
    return [Asked("end", _question([*front, "what"]), _bare(found))]


def _count(clause: Clause, corpus: Frequencies) -> list[Asked]:
    """*How many legs does a spider have?*: where the object begins with a number and a noun follows."""
    if not _is_number(clause.object[0]) or len(clause.object) < 2 or clause.link or clause.lead:  # noqa: PLR2004
        return []
    inverted = _inverted(clause, corpus)
    if not inverted:
        return []
    return [Asked("count", _question(["how many", *clause.object[1:], *inverted, *clause.rest]), clause.object[0])]


def _inverted(clause: Clause, corpus: Frequencies) -> list[str]:
    """Verb and subject as a question has them: *does a spider have*; nothing where it cannot be told."""
    first, following = clause.verb[0].lower(), clause.verb[1:]
    subject = list(_lowered(clause.subject, corpus))
    if first in AUXILIARIES - DO - HAVE or (first in AUXILIARIES and following):
        return [first, *subject, *following]
    verbs = [n for n, word in enumerate(clause.verb) if word.lower() not in ADVERBS]
    if not verbs:
        return []
    adverbs, verb, following = list(clause.verb[: verbs[0]]), clause.verb[verbs[0]].lower(), clause.verb[verbs[0] + 1 :]
    if verb in ("has", "have", "does", "do"):
        base, do = "have" if verb[0] == "h" else "do", "does" if verb[-1] == "s" else "do"
    elif verb in ("had", "did"):
        base, do = "have" if verb == "had" else "do", "did"
    elif corpus.third_base(verb):
        base, do = str(corpus.third_base(verb)), "does"
    elif corpus.is_base(verb):
        base, do = verb, "do"
    elif past := corpus.past_base(verb):
        base, do = past, "did"
    else:
        return []
    return [do, *subject, *adverbs, base, *following]


def _singular(verb: Words, corpus: Frequencies) -> Words:
    """The verb after *what*: *cows eat grass* -> *what eats grass*; *are* stays, as in *what are social animals?*."""
    places = [n for n, word in enumerate(verb) if word.lower() not in ADVERBS]
    if not places:
        return verb
    place, word = places[0], verb[places[0]].lower()
    if word == "have":
        return (*verb[:place], "has", *verb[place + 1 :])
    if word in ("are", "were") and len(places) > 1:  # *what is used?*
        return (*verb[:place], {"are": "is", "were": "was"}[word], *verb[place + 1 :])
    if word in AUXILIARIES or not corpus.is_base(word) or corpus.third_base(word):
        return verb
    return (*verb[:place], third_person(word), *verb[place + 1 :])


def _what(clause: Clause) -> str:
    """The question word of the object."""
    if when := _when(clause):
        return when
    if _says_what_is(clause):
        return "who" if clause.object[0][0].isupper() and not clause.link and _is_person(clause.subject) else "what"
    return "who" if _is_person(clause.object) and not _is_number(clause.object[0]) else "what"


def _when(clause: Clause) -> str:
    """The question words of an object that is a time; empty for any other object."""
    first, last = clause.object[0].lower(), clause.object[-1].lower()
    link = tuple(word.lower() for word in clause.link)
    if link[-1:] == ("in",) and first.isdigit() and len(clause.object) == 1:
        return "what year"
    if link[-1:] == ("at",) and _CLOCK.fullmatch(first):
        return "what time"
    if link in (("in",), ("on",)) and clause.object[0] in MONTHS:
        return "when"
    if last in TIMES and _is_number(first) and link in _LASTING and (link or clause.verb[-1].lower() in _LAST):
        return "how long"
    return "how often" if first == "every" and {last, f"{last}s"} & TIMES and not link else ""


def _is_number(word: str) -> bool:
    return word.lower() in NUMBER_WORDS or word.isdigit()


def _is_person(phrase: Words) -> bool:
    """Whether a noun phrase is a person's: by its title, or by its head, *the keeper of the bridge*."""
    if phrase[0].lower() in TITLES and phrase[-1][0].isupper():
        return True
    head = next((n for n, word in enumerate(phrase) if n and word.lower() in PREPOSITIONS), len(phrase)) - 1
    return phrase[head].lower() in PERSONS


def _says_what_is(clause: Clause) -> bool:
    return clause.verb[-1].lower() in BE | {"be", "been", "become", "becomes", "became"}


def _names_role(clause: Clause) -> bool:
    """Whether a name is said to have a role: *Ann Lee is the engineer*."""
    named = clause.subject[0][0].isupper() and clause.subject[0].lower() not in DETERMINERS
    return named and _says_what_is(clause) and not clause.link and _is_person(clause.object)


def _is_relative(rest: Words) -> bool:
    return bool(rest) and rest[0].lower() in RELATIVE


def _bare(phrase: Words) -> str:
    """A phrase as an answer: without its article."""
    return join(phrase[1:] if phrase[0].lower() in DETERMINERS and len(phrase) > 1 else phrase)


def _either(article: Words) -> list[str]:
    """An article before a gap must not betray the answer's first letter."""
    return ["a/an" if word.lower() in ("a", "an") else word for word in article]


def _lowered(phrase: Words, corpus: Frequencies) -> Words:
    """A phrase as it stands inside a sentence: its first word small, unless it is a name."""
    word = phrase[0]
    is_name = corpus.is_name(word)
    if not corpus.stands_inside(word):  # *Spare motors*, *Bicycles*; but *Rome*
        is_name = not (phrase[1:2] and phrase[1].islower()) and not is_plural(phrase)
    common = word.lower() in DETERMINERS or (word[0].isupper() and word[1:].islower() and not is_name)
    return (word.lower(), *phrase[1:]) if common else phrase


def _question(parts: Sequence[str]) -> str:
    text = join([part for part in parts if part])
    return f"{text[0].upper()}{text[1:]}?"


def _sentence(parts: Sequence[str]) -> str:
    text = join(parts)
    return f"{text[0].upper()}{text[1:]}."
