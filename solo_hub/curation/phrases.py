"""Noun phrases of an English sentence: where they end, and what only looks like one."""

from __future__ import annotations

from solo_hub.curation.english import (
    ADVERBS,
    ARTICLES,
    AUXILIARIES,
    CARRIERS,
    CONJUNCTIONS,
    DETERMINERS,
    NUMBER_WORDS,
    PREPOSITIONS,
    PRONOUNS,
    RELATIVE,
    SUBORDINATORS,
)
from solo_hub.curation.frequencies import Frequencies

LONGEST_OBJECT = 6  # words
LONGEST_JOINED = 4  # words from *and* on
HEAD_SHARE = 0.15  # a word that ends noun phrases more often than this is a noun
NOUN_SHARE = 0.3  # a form in -ing that stands in noun phrases more often than this is one

CALLED = frozenset({"called", "known", "named"})
_ENDS_PHRASE = (
    PREPOSITIONS
    | RELATIVE
    | SUBORDINATORS
    | AUXILIARIES
    | CONJUNCTIONS
    | {"to", "not", "then", "there", "how", "what", "such"}
    | (PRONOUNS - DETERMINERS - {"more", "less", "other", "another", "several", "few", "much", "both"})
)


def carrier(tokens: list[str], place: int) -> int:
    """Where the noun phrase after *a kind of* begins; 0 where there is none."""
    for ahead in range(place, min(place + 4, len(tokens) - 2)):
        if tokens[ahead].lower() in CARRIERS and tokens[ahead + 1].lower() == "of":
            return ahead + 2
    return 0


def is_noun_like(tokens: list[str], place: int, corpus: Frequencies) -> bool:
    """Whether what follows a copula is a noun phrase: an article, a number, a name, or a last word used as a noun."""
    word = tokens[place].lower()
    if word in ARTICLES or word in NUMBER_WORDS or tokens[place][0].isupper() or word[0].isdigit():
        return True
    if word in PREPOSITIONS:
        return True
    stop = noun_phrase(tokens, place, corpus)
    if stop == place:
        return False
    phrase = [token.lower() for token in tokens[place:stop]]
    head = phrase[phrase.index("of") - 1] if "of" in phrase[1:] else phrase[-1]  # *capable | of carrying rabies*
    if head.endswith("ed") and not head.endswith(("eed", "bed", "shed")):
        return False
    if corpus.head_share(head) > HEAD_SHARE:
        return True
    return head.endswith("s") and not head.endswith(("ss", "ous"))


def ends_phrase(tokens: list[str], place: int) -> bool:
    """Whether a noun phrase cannot go on with this word."""
    word = tokens[place].lower()
    return word in _ENDS_PHRASE or not word[0].isalnum()


def noun_phrase(tokens: list[str], start: int, corpus: Frequencies) -> int:
    """Where the noun phrase that begins here ends."""
    place = start
    while place < len(tokens):
        word = tokens[place].lower()
        inside = place > start
        if (word == "of" and inside and tokens[place - 1].lower() not in ADVERBS) or (
            word == "," and inside and place - start < LONGEST_OBJECT - 2 and is_list(tokens, place, corpus)
        ):
            place += 1
        elif word in ("and", "or") and inside and place < len(tokens) - 1:
            joined = _after_joined(tokens, place, corpus)
            if joined == place:
                break
            place = joined
        elif (
            ends_phrase(tokens, place)
            or (inside and word == "every" and tokens[place - 1].lower() != "of")  # *on deck | every Saturday*
            or (inside and _is_participle(tokens, place, corpus))
        ):
            break
        else:
            place += 1
    return place - 1 if place > start and tokens[place - 1].lower() == "of" else place


def _after_joined(tokens: list[str], place: int, corpus: Frequencies) -> int:
    """Where a phrase ends that goes on with *and* here; at the *and* itself where another clause begins there."""
    end = place + 1
    while end < len(tokens) and not ends_phrase(tokens, end) and end - place < LONGEST_JOINED:
        end += 1
    if end == place + 1 or (end < len(tokens) and tokens[end].lower() in AUXILIARIES):
        return place
    joined = [token.lower() for token in tokens[place + 1 : end]]
    return place if any(corpus.plural_base(word) or corpus.third_base(word) for word in joined) else end


def is_list(tokens: list[str], place: int, corpus: Frequencies) -> bool:
    """Whether a comma at this place stands in a list: *fat, minerals, and protein*."""
    ahead = [token.lower() for token in tokens[place + 1 : place + 6]]
    if tokens[place : place + 1] != [","] or ahead[0] in RELATIVE or not {"and", "or"} & set(ahead):
        return False
    return not any(
        word in PREPOSITIONS or word in AUXILIARIES or word in PRONOUNS or corpus.third_base(word) for word in ahead
    )


def _is_participle(tokens: list[str], place: int, corpus: Frequencies) -> bool:
    """Whether a participle after the noun begins a clause of its own: *food | digested by*, *acid | breaking down*."""
    word = tokens[place].lower()
    before = tokens[place - 1].lower()
    if word in CALLED:
        return True
    if before in DETERMINERS or before in ADVERBS or before in CONJUNCTIONS:
        return False
    if word.endswith("ing") and corpus.head_share(before) < HEAD_SHARE and corpus.noun_share(before) > HEAD_SHARE:
        return False  # *proper functioning*
    following = tokens[place + 1].lower() if place + 1 < len(tokens) else "."
    if corpus.past_base(word) and following in PREPOSITIONS | {"to"}:
        return True
    return corpus.gerund_base(word) is not None and following not in ".,;" and corpus.noun_share(word) < NOUN_SHARE
