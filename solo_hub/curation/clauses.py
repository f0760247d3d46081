"""An English sentence to its main clause: subject, verb, object, and what is left.

No tagger: closed word classes, agreement in number between subject and verb, and what the corpus itself tells about
words that are noun and verb (`frequencies`). A sentence the rules are not sure of gives no clause: better no question
than a broken one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from solo_hub.curation.english import (
    ADVERBS,
    AUXILIARIES,
    BE,
    CARRIERS,
    CONJUNCTIONS,
    DETERMINERS,
    DO,
    EITHER_NUMBER,
    HAVE,
    MODALS,
    PARTICIPLES,
    PAST,
    PREPOSITIONS,
    PRONOUNS,
    RELATIVE,
    SPEAKERS,
    SUBORDINATORS,
    is_plural,
)
from solo_hub.curation.frequencies import Frequencies
from solo_hub.curation.phrases import LONGEST_OBJECT, carrier, ends_phrase, is_list, is_noun_like, noun_phrase

Words = tuple[str, ...]

SHORTEST, LONGEST = 3, 32  # words of a sentence that is read
LONGEST_SUBJECT = 8
MOST_CAPITALS = 3  # words of a subject that begin with one

_TOKEN = re.compile(
    r"\d+(?:[.,:]\d+)*%?|[A-Z]\w* & [A-Z]\w*|°[CF]\b|(?<=\d )[A-Za-z]{1,4}/[A-Za-z]{1,4}[\u00b2\u00b3]?"
    r"|[^\W\d_]+\d[^\W_]*|[^\W\d_]{2,}(?:\.[a-z]{2,})+"  # 22:00, Marks & Sons, °C, 9 l/min, CO2, Node.js
    r"|[^\W\d_]+(?:[-'\u2019][^\W_]+)*|[^\w\s]|\w+"
)
_BRACKETS = re.compile(r"\s*[(\[][^)\]]*[)\]]")
_PLAIN = re.compile(r"https?:|www\.|[@\u00a9|<>{}=?!*\"\u201c\u201d]|\.\s|\d\d\d\d\d|^\W*\d+[.)]\s")
_IS = BE | {"是"}  # Chinese clauses are composed by the same rules
_FILLERS = frozenset({"however", "finally", "indeed", "yes", "sure", "second", "first", "secondly", "firstly"})
_CLASSES = (("一種",), ("一种",), ("一個",), ("一个",))
_MARKS = frozenset(",;:.-\u2013\u2014/")
_PARTICLES = frozenset({"up", "out", "down", "off", "away", "together", "back", "apart"})
_NO_SUBJECT = (
    PRONOUNS | SUBORDINATORS | CONJUNCTIONS | AUXILIARIES | PREPOSITIONS | RELATIVE | {"to", "how", "why", "not", "let"}
)
_NO_SUBJECT = (_NO_SUBJECT - {"all", "many", "most", "some", "each", "no"}) | {"then", "please", "click", "see", "only"}
_COPULAS = BE | {"be", "been", "become", "becomes", "became", "remain", "remains", "stay", "stays", "seem", "seems"}
_POINTING = re.compile(r"\b(?:it|they|that|he|she|there|what|who|let|here)['\u2019]", re.IGNORECASE)
_BEFORE_GERUNDS = frozenset({"for", "by", "of", "in", "from", "without", "through"})
_BEFORE_INFINITIVES = frozenset(
    {"used", "needed", "required", "designed", "known", "able", "help", "helps", "tend", "need"}
)
_NOT_BEFORE_VERBS = DETERMINERS | PREPOSITIONS | AUXILIARIES | {"to"}
_OWNERS = ("'s", "\u2019s")
_NOT_AFTER_VERBS = _MARKS | AUXILIARIES | CONJUNCTIONS
_NO_END = ADVERBS | DETERMINERS | PREPOSITIONS | CONJUNCTIONS | RELATIVE | _MARKS


@dataclass(frozen=True, slots=True)
class Clause:
    """One main clause; every part holds words as they stand in the sentence.

    Attributes:
        lead: A condition in front: *if heat is added, then*; kept in front of every question.
        subject: Noun phrase before the verb.
        verb: The verb with auxiliaries, adverbs and infinitives: *can be used to block*.
        link: What stands between verb and object: *a kind of*, *in*, *for lifting*.
        object: Noun phrase (or adjective) that is asked for.
        rest: What follows the object.
        named: Whether the object is a noun phrase, as far as can be told, and not an adjective.
    """

    lead: Words
    subject: Words
    verb: Words
    link: Words
    object: Words
    rest: Words
    named: bool = True

    @property
    def is_definition(self) -> bool:
        """Whether it says what the subject is: *fog is (a kind of) stratus cloud*."""
        of_kind = self.link[-1:] == ("of",) and self.link[-2:-1] != () and self.link[-2] in CARRIERS
        of_kind = of_kind or self.link in ((), *_CLASSES)
        return len(self.verb) == 1 and self.verb[0].lower() in _IS and of_kind and self.named


def tokenize(text: str) -> list[str]:
    """Words, numbers and marks of a text.

    >>> tokenize("Water boils at 99.5 degrees, isn't it?")
    ['Water', 'boils', 'at', '99.5', 'degrees', ',', "isn't", 'it', '?']
    >>> tokenize("Hall & Reed open at 22:00; fault E17 is 38 °C.")
    ['Hall & Reed', 'open', 'at', '22:00', ';', 'fault', 'E17', 'is', '38', '°C', '.']
    """
    return _TOKEN.findall(text)


def parse(sentence: str, corpus: Frequencies) -> Clause | None:
    """The main clause of a sentence; None where the rules are not sure.

    >>> corpus = Frequencies()
    >>> clause = parse("A corn kernel is a part of a corn plant.", corpus)
    >>> clause.subject, clause.verb, clause.link, clause.object
    (('A', 'corn', 'kernel'), ('is',), ('a', 'part', 'of'), ('a', 'corn', 'plant'))
    """
    tokens = tokenize_plain(sentence)
    if not tokens:
        return None
    lead, tail, tokens = _introduction(tokens)
    if len(tokens) < SHORTEST or tokens[0].lower() in _NO_SUBJECT or not tokens[0][0].isalnum():
        return None
    start = _find_verb(tokens, corpus)
    if start is None or tokens[start][0].isupper() or not _is_subject(tokens[:start], corpus):
        return None
    return _after_subject(tuple(lead), tokens, start, tail, corpus)


def tokenize_plain(sentence: str) -> list[str]:
    """Words and marks of a sentence of plain prose; none where it is no such sentence.

    Speech (*you*, *we*), questions, addresses and tables say nothing that can be asked out of their place.
    """
    if _PLAIN.search(sentence.rstrip(" .")) or _POINTING.search(sentence):
        return []
    tokens = tokenize(_BRACKETS.sub("", sentence).rstrip(" .;,"))
    if not SHORTEST <= len(tokens) <= LONGEST or any(t.lower() in SPEAKERS and t != "US" for t in tokens):
        return []
    return tokens


def _introduction(tokens: list[str]) -> tuple[list[str], list[str], list[str]]:
    """What stands before the clause: a condition (kept in front), a place or time (put behind), or a filler (gone)."""
    first = tokens[0].lower()
    comma = tokens.index(",", 1) if "," in tokens[1:9] else 0
    lead, tail, begin = 0, tokens[:0], 0
    if first in ("if", "when", "as") and "then" in tokens[2:]:
        lead = begin = tokens.index("then", 2) + 1
    elif comma and first in ("if", "when"):
        lead = begin = comma + 1
    elif comma > 1 and first in PREPOSITIONS and not set(map(str.lower, tokens[1:comma])) & PRONOUNS:
        tail, begin = [first, *tokens[1:comma]], comma + 1
    elif comma == 1 and (first.endswith("ly") or first in ADVERBS or first in _FILLERS):
        begin = comma + 1
    return tokens[:lead], tail, tokens[begin:]


def _find_verb(tokens: list[str], corpus: Frequencies) -> int | None:
    """Where the main verb's group begins."""
    relative = False
    for place in range(1, min(len(tokens) - 1, LONGEST_SUBJECT + 6)):
        word = tokens[place].lower()
        earlier = [token for token in tokens[:place] if token.lower() not in ADVERBS]
        before, after = (earlier or tokens)[-1].lower(), tokens[place + 1].lower()
        if word in RELATIVE:
            relative = True
            continue
        if word in ";:\u2013\u2014-" or word in SUBORDINATORS:
            return None
        if not earlier or not _is_verb(word, before, after, earlier, corpus, relative=relative):
            continue
        if relative:  # the verb of *animals that eat plants*; the main verb is still to come
            relative = False
            continue
        while place > 1 and tokens[place - 1].lower() in ADVERBS:  # *viruses also cause*
            place -= 1  # noqa: PLW2901 - the group begins with its adverbs
        return place
    return None


def _is_verb(word: str, before: str, after: str, subject: list[str], corpus: Frequencies, *, relative: bool) -> bool:
    many = is_plural(tuple(subject))
    if word in AUXILIARIES:
        fits = relative or word not in ("is", "has", "was", "does") or "and" in subject or not many
        return fits and before not in AUXILIARIES and before != "to"
    if (
        (before in _NOT_BEFORE_VERBS and not (relative and before in RELATIVE))
        or before in _MARKS
        or before.endswith(_OWNERS)  # *the cart's own software*
        or after in _NOT_AFTER_VERBS
    ):
        return False
    if after == "of" and word not in ("consist", "consists", "die", "dies"):  # *studies of the rocks*
        return False
    if corpus.third_base(word) or corpus.plural_base(word):
        return relative or subject[-1].lower() in EITHER_NUMBER or many == (corpus.third_base(word) is None)
    is_past = word in PAST and word not in PARTICIPLES
    return is_past or (word.endswith("ed") and corpus.past_base(word) is not None and after in DETERMINERS)


def _is_subject(subject: list[str], corpus: Frequencies) -> bool:
    lowered = [word.lower() for word in subject]
    first, alone = lowered[0], len(subject) == 1
    is_no_noun = first in DETERMINERS or first in ADVERBS or corpus.past_base(first) or corpus.is_surely_verb(first)
    return not (
        len(subject) > LONGEST_SUBJECT
        or lowered[-1] in _NO_END
        or first in ("there", "example")
        or set(lowered[1:]) & {"it", "they", "he", "she", "them", "to"}
        or ("," in lowered and "and" not in lowered and "or" not in lowered)
        or (alone and is_no_noun)
        # a heading before the sentence: *Electricity A kWh is*, *Eyes Eyes Eyes are*
        or {"A", "An", "The"} & set(subject[1:])
        or sum(word[0].isupper() for word in subject) > MOST_CAPITALS
        or (len(set(lowered)) < len(lowered) and not {"the", "of", "a"} & set(lowered))
    )


def _after_subject(lead: Words, tokens: list[str], start: int, tail: list[str], corpus: Frequencies) -> Clause | None:
    end = _verb_group(tokens, start, corpus)
    verb = tuple(tokens[start:end])
    link, begin, named = _link(tokens, start, end, corpus)
    stop = noun_phrase(tokens, begin, corpus)
    found = tuple(tokens[begin:stop])
    if not found or len(found) > LONGEST_OBJECT or found[-1].lower() in _NO_END:
        return None
    following = tokens[stop].lower() if stop < len(tokens) else "."
    if found[-1].endswith("ly") or (found[0].endswith("ly") and len(found) == 2):  # noqa: PLR2004 - *relatively fast*
        return None
    if following in DETERMINERS - RELATIVE - {"every"} or following == "-" or is_list(tokens, stop, corpus):
        return None  # an adverb, a second object, a range, a list too long to be asked for
    if verb[-1].lower().startswith(("help", "let", "make")) and any(map(corpus.plural_base, map(str.lower, found[1:]))):
        return None  # *help forests grow*
    if named and corpus.is_surely_adjective(found[-1].lower()):
        return None  # *a layer of smooth | , white tissue*
    rest = _rest(tokens[stop:], corpus)
    return Clause(lead, tuple(tokens[:start]), verb, tuple(link), found, (*rest, *tail), named)


def _verb_group(tokens: list[str], start: int, corpus: Frequencies) -> int:
    """Where the verb's group ends."""
    place = start
    while tokens[place].lower() in ADVERBS and place + 1 < len(tokens):
        place += 1
    seen = tokens[place].lower()
    main = seen not in AUXILIARIES
    place += 1
    while place < len(tokens):
        word = tokens[place].lower()
        if word in ADVERBS or word == "not" or (word.endswith("ly") and place + 1 < len(tokens)):
            if main and (seen not in BE or word != "not"):
                break
            place += 1
            continue
        if main or not _continues(seen, word, corpus):
            break
        seen, place = word, place + 1
        main = word not in AUXILIARIES | {"be", "been", "being"}
    while place + 2 < len(tokens) and tokens[place].lower() == "to":
        word = tokens[place + 1].lower()
        if not corpus.is_base(word) and (seen not in _BEFORE_INFINITIVES or ends_phrase(tokens, place + 1)):
            break
        place += 2
    if tokens[place - 1].lower() in ("help", "helps", "helped", "let", "lets") and place + 1 < len(tokens):
        place += corpus.plural_base(tokens[place].lower()) is not None
    if place < len(tokens) - 1 and tokens[place].lower() in _PARTICLES and main:
        place += 1
    return place


def _continues(auxiliary: str, word: str, corpus: Frequencies) -> bool:
    """Whether a word belongs to the auxiliary before it: *is made*, *can be*, *has been*."""
    if auxiliary in MODALS or auxiliary in DO:
        return word in ("be", "have") or word in BE or corpus.is_base(word)
    if auxiliary in HAVE:
        return word == "been" or (word not in DETERMINERS and corpus.past_base(word) is not None and word != "limited")
    if auxiliary in BE or auxiliary in ("be", "been"):
        known = corpus.past_base(word) is not None or corpus.gerund_base(word) is not None
        # *are greased every month*, of a verb that is not listed
        return word == "being" or known or (word.endswith("ed") and word[-3:] != "eed")
    return False


def _link(tokens: list[str], start: int, end: int, corpus: Frequencies) -> tuple[list[str], int, bool]:
    """What stands between verb and object, where the object begins, and whether it is a noun phrase."""
    place, named = end, True
    verbs = [token.lower() for token in tokens[start:end] if token.lower() not in ADVERBS and token[-2:] != "ly"]
    copula = verbs[-1:] != [] and verbs[-1] in _COPULAS
    if copula and place < len(tokens) and not is_noun_like(tokens, place, corpus):
        named = False
        for ahead in range(place + 1, min(place + 4, len(tokens) - 1)):
            word = tokens[ahead].lower()
            if word in PREPOSITIONS and word not in ("than", "as"):  # *dependent on*
                place, named = ahead, True
                break
            if word in _MARKS or word in CONJUNCTIONS or word in RELATIVE or word in DETERMINERS:
                break
    while place < len(tokens) - 1:
        word = tokens[place].lower()
        if word in PREPOSITIONS:
            place += 1
            following = tokens[place].lower()
            if (
                word in _BEFORE_GERUNDS
                and corpus.gerund_base(following)
                and place + 1 < len(tokens)
                and not ends_phrase(tokens, place + 1)
            ):
                place += 1  # *used for lifting*
            continue
        beyond = carrier(tokens, place)
        if not beyond:
            break
        place = beyond
    return tokens[end:place], place, named


def _rest(tokens: list[str], corpus: Frequencies) -> list[str]:
    """What follows the object, cut where another clause begins."""
    if tokens and tokens[0].lower() in CONJUNCTIONS:  # *measured in millibars | or in inches*
        return []
    for place, token in enumerate(tokens):
        word = token.lower()
        if word in _MARKS and (word != "-" or place == 0):
            listed = is_list(tokens, place, corpus)
            tokens = tokens[:place]
            if listed:  # half of *between Rome, Paris and Bonn* would be wrong: all of it goes
                heads = [n for n, t in enumerate(tokens) if t.lower() in PREPOSITIONS - {"of"}]
                tokens = tokens[: heads[-1]] if heads else []
            break
        if word in CONJUNCTIONS and any(
            t.lower() in AUXILIARIES
            or t.lower() in PRONOUNS
            or corpus.third_base(t.lower())
            or corpus.plural_base(t.lower())
            for t in tokens[place + 1 :]
        ):
            tokens = tokens[:place]
            break
    if any(t.lower() in ("it", "he", "she", "this", "these") for t in tokens):
        places = [n for n, t in enumerate(tokens) if t.lower() in PREPOSITIONS | SUBORDINATORS | RELATIVE]
        tokens = tokens[: places[0]] if places else []
    while tokens and tokens[-1].lower() in PREPOSITIONS | DETERMINERS | CONJUNCTIONS | RELATIVE | SUBORDINATORS | {
        "to"
    }:
        tokens = tokens[:-1]
    return tokens
