"""Which language or script a text is in, and the few words by which a rule can ask in it.

Scripts are told by their characters; languages in Latin letters by the commonest function words. What is not known
is asked with a gap in the sentence, which needs no words at all.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

GAP = "____"

_SCRIPTS = (
    ("ja", re.compile(r"[\u3040-\u30ff]")),  # before Chinese: Japanese has characters too
    ("zh", re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff]")),
    ("ko", re.compile(r"[\uac00-\ud7af]")),
    ("th", re.compile(r"[\u0e00-\u0e7f]")),
    ("cyrillic", re.compile(r"[\u0400-\u04ff]")),
    ("arabic", re.compile(r"[\u0600-\u06ff]")),
    ("hebrew", re.compile(r"[\u0590-\u05ff]")),
    ("greek", re.compile(r"[\u0370-\u03ff]")),
    ("devanagari", re.compile(r"[\u0900-\u097f]")),
)
_FUNCTION_WORDS = {
    "en": "the of and is are in to that was for with by from it as on can an what do does did how who which many",
    "de": "der die das und ist sind nicht ein eine von mit auf den im des wird zu dem werden durch",
    "fr": "le la les des est sont et dans une un du qui pour sur par au ne pas plus avec",
    "es": "el la los las es son y en una un del que por para con se no su como al",
    "it": "il la i gli le e di che una un per sono con del della nel da si anche",
    "pt": "o a os as e de que uma um para com do da em dos por no na ao mais",
    "nl": "de het een en van is zijn in op met dat niet voor aan door wordt ook worden",
    "sv": "och att det som en ett av är för med den till inte om har de kan",
    "pl": "i w na z jest nie do to że się są przez od dla oraz jak po",
    "tr": "ve bir bu için ile olarak olan daha çok gibi en da de ise",
}
_SPEAKERS: dict[str, list[str]] = {}
for _name, _words in _FUNCTION_WORDS.items():
    for _word in _words.split():
        _SPEAKERS.setdefault(_word, []).append(_name)
_KNOWN = frozenset(_SPEAKERS)
_WORD = re.compile(r"[^\W\d_]{2,}")  # one letter is a symbol as often as a word
_SIMPLIFIED = re.compile("[为么个这国们会时来对发称产动过开问经进样种电关见]")
UNSPACED = frozenset({"zh", "ja", "th"})
"""Languages written without blanks between words."""


@dataclass(frozen=True, slots=True)
class Asking:
    """How to ask where the answer stood.

    Attributes:
        what: Asks for a thing.
        how_many: Asks for a number.
        mark: Ends a question.
        copulas: Words that say what something is.
    """

    what: str
    how_many: str
    mark: str
    copulas: frozenset[str] = frozenset()


ASKING = {
    "en": Asking("what", "how many", "?", frozenset({"is", "are", "was", "were"})),
    "zh": Asking("\u4ec0\u9ebc", "\u591a\u5c11", "\uff1f"),
    "zh-simplified": Asking("\u4ec0\u4e48", "\u591a\u5c11", "\uff1f"),
    "ja": Asking("\u4f55", "\u3044\u304f\u3064", "\u304b\uff1f"),
    "de": Asking("was", "wie viele", "?", frozenset({"ist", "sind", "war", "waren"})),
    "fr": Asking("quoi", "combien", " ?", frozenset({"est", "sont", "\u00e9tait"})),
    "es": Asking("qu\u00e9", "cu\u00e1ntos", "?", frozenset({"es", "son", "era", "eran"})),
    "it": Asking("che cosa", "quanti", "?", frozenset({"\u00e8", "sono", "era"})),
    "pt": Asking("o qu\u00ea", "quantos", "?", frozenset({"\u00e9", "s\u00e3o", "era"})),
    "nl": Asking("wat", "hoeveel", "?", frozenset({"is", "zijn", "was"})),
}


def language_of(text: str) -> str:
    """A language code, a script's name, or an empty string where neither is clear.

    >>> [language_of(text) for text in ("Ice is cold in the winter.", "水是液體", "Das Eis ist kalt.", "O2")]
    ['en', 'zh', 'de', '']
    """
    if not text.isascii():
        counts = [(len(pattern.findall(text)), name) for name, pattern in _SCRIPTS]
        found = [(count, name) for count, name in counts if count]
        letters = sum(map(str.isalpha, text))
        if found and found[0][1] == "ja" and found[0][0] * 8 >= letters:  # a kana for every few characters
            return "ja"
        most = max((pair for pair in found if pair[1] != "ja"), default=(0, ""), key=lambda pair: pair[0])
        if most[0] * 4 >= letters and most[0]:
            return most[1]
    votes = _votes(text)
    ranked = sorted(votes.items(), key=lambda pair: (-pair[1], pair[0]))
    if not ranked or (len(ranked) > 1 and ranked[0][1] == ranked[1][1]):
        return ""
    return ranked[0][0]


def is_doubtful(language: str, text: str) -> bool:
    """Whether a language other than English rests on a single word: *plants die*, *a phase occurs per week*.

    >>> is_doubtful("de", "Without light, plants die."), is_doubtful("de", "Das Eis ist kalt.")
    (True, False)
    """
    return language != "en" and _votes(text).get(language) == 1


def _votes(text: str) -> dict[str, int]:
    """How many words of each language stand in a text."""
    votes: dict[str, int] = {}
    for word in _KNOWN.intersection(_WORD.findall(text.lower())):
        for name in _SPEAKERS[word]:
            votes[name] = votes.get(name, 0) + 1
    return votes


def asking(language: str, text: str) -> Asking | None:
    """How to ask about a text of this language; None where only a gap will do."""
    if language == "zh" and _SIMPLIFIED.search(text):
        return ASKING["zh-simplified"]
    return ASKING.get(language)
