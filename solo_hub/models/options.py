"""Parses which option an answer names, for generated text, files of predictions, and gold columns.

The required cases are in `tests/models/option_cases.py`.
"""

from __future__ import annotations

import functools
import re
import string
import unicodedata
from collections.abc import Iterable, Mapping, Sequence

LETTERS = string.ascii_uppercase
"""Names of the options in every prompt, by position; datasets may have other names (`Question.labels`)."""

# Characters around an answer that do not change it. Not "-", "%" or a leading ".": -5 is not 5, and .5 is not 5.
_BEFORE = " \"'`*_([{“”\u2018\u2019«»„\u201a「『\uff08¿¡"
_AFTER = _BEFORE + ".,;:!?…)]}、。\uff0c\uff01\uff1f\uff1a\uff1b」』\uff09"
_ARTICLE = re.compile(r"(?:an?|the) (?=\S)")
_MARKUP = re.compile(r"\\(?:boxed|text|textbf|mathrm|mathbf)\s*(?=\{)|</?\w+>|[*_`$]+")
_BRACES = str.maketrans("", "", "{}")  # of \boxed{B}

_OPENING = (
    r"^(?:(?:so|thus|hence|therefore|well|ok|okay|sure|yes)\s*[,.:!]?\s+)?"
    r"(?:i\s+(?:think|believe|guess)\s+(?:that\s+)?)?"
)
_KIND = r"(?:final|correct|right|best|most\s+\w+|only)"
_LEAD_IN = re.compile(
    "|".join(
        (
            _OPENING + rf"(?:(?:the|my|your)\s+)?(?:{_KIND}\s+){{0,3}}(?:answer|option|choice|letter)\b"
            r"(?:\s+(?:is|would\s+be|must\s+be|should\s+be)\b)?(?:\s+that\s+it\s+is\b)?\s*[:=]?",
            _OPENING + r"(?:it|this|that)(?:\s+is|['\u2019]s|\s+must\s+be)\b\s*:?",
            r"^i\s*(?:would|['\u2019]d)?\s+(?:choose|pick|select|say|answer|go\s+(?:with|for))\b\s*:?",
            r"^(?:die\s+)?(?:richtige\s+|korrekte\s+)?antwort\b(?:\s+(?:ist|lautet)\b)?\s*:?",
            r"^(?:la\s+)?(?:bonne\s+)?réponse\b(?:\s+(?:correcte|est)\b)*\s*:?",
            r"^(?:la\s+)?respuesta\b(?:\s+(?:correcta|es)\b)*\s*:?",
            r"^(?:la\s+)?risposta\b(?:\s+(?:corretta|giusta|è)(?!\w))*\s*:?",
            r"^(?:a\s+)?resposta\b(?:\s+(?:correta|certa|é)(?!\w))*\s*:?",
            r"^(?:正确|正確)?答案(?:是|为|為|選|选)?\s*:?|^(?:我)?(?:选择|選擇|选|選)\s*:?|^(?:正解|答え)は?\s*:?",
        )
    ),
    re.IGNORECASE,
)
"""Phrases before an answer; full-width colons are already normalised."""
_PRAISE = re.compile(
    rf"\s+is\s+(?:the\s+)?(?:{_KIND}|true)(?:\s+(?:answer|option|choice|one))?\s*[.!]*$", re.IGNORECASE
)
"""Phrases after it: "B is correct."."""
_NAME = r"(?:(?:option|choice|answer|letter)\b\s*)?[(\[]?\s*([^\W_]{1,8})\s*"
_ALONE = re.compile(rf"^{_NAME}[)\]]?\s*[.:,;!)]*$", re.IGNORECASE)
_HEADED = re.compile(
    rf"^{_NAME}([)\]][.:,;]?|[.:,;]|\s+[-\u2013\u2014]|[-\u2013\u2014](?=\s)|(?=\s))\s*(.+)$", re.IGNORECASE | re.DOTALL
)
_REASON = re.compile(r"^(?:because|since|as)\b", re.IGNORECASE)
_PREFIXED = re.compile(r"^\(?([A-Za-z])\s?[).:]\s*(?=\S)")

_NEGATION = re.compile(r"\b(?:not|no|never|neither|nor|except|unlike)\b|n['\u2019]t\b|[不沒没非]", re.IGNORECASE)
_UNSPACED = re.compile("[\u3040-\u30ff\u4e00-\u9fff]")


def normalise(text: str) -> str:
    """Normalise case, Unicode form, whitespace, and punctuation at the ends.

    >>> normalise("  The  Sun. ")
    'the sun'
    """
    plain = text if text.isascii() else unicodedata.normalize("NFKC", text)
    folded = " ".join(plain.casefold().split())
    # An answer of only punctuation ("+", "?") is left unchanged: nothing would remain.
    return folded.lstrip(_BEFORE).rstrip(_AFTER) or folded


def equals_any(text: str, references: Iterable[str]) -> bool:
    """Whether an answer equals one of several references after normalisation."""
    return any(text == reference or normalise(text) == normalise(reference) for reference in references)


def first_line(text: str) -> str:
    """Return the first non-blank line.

    After it, a model that does not stop continues with an invented question.
    """
    return next(iter(_lines(text)), "")


def find_option(
    text: str, options: Sequence[str], *, labels: Sequence[str] = (), letters_first: bool = False
) -> int | None:
    """Find the option that an answer names.

    In this order: the whole answer, or its first line, is an option's text; it is an option's letter, alone or before
    that option's text, in any common format ("(b)", "b) stone", "**B**"). Then the same without phrases before or after
    it ("The correct answer is B."). Texts are compared verbatim, then without punctuation at the ends, then without
    case, then without an article: options that differ only in case are distinct.

    Args:
        text: The answer.
        options: The options, all different.
        labels: The dataset's names of the options; letters by position when empty. Letters are accepted in addition to
            labels that are not letters.
        letters_first: The prompt listed the options by letter, so a single capital letter is a letter even if an option
            has the same text, and a reason may follow it.

    Returns:
        The option's index; None if the answer names none, or several.
    """
    if not options:
        return None
    names = _names_of(tuple(labels), len(options))
    lines = _lines(text)
    if not lines:
        return None
    line = lines[0]
    if letters_first:
        alone = _ALONE.match(_plain(line))
        if alone and alone[1].isupper() and alone[1] in names:
            return names[alone[1]]
    found = _by_text(text, options)
    if found is None:
        found = _named(line, options, names, reasons=letters_first)
    if found is not None:
        return found if found >= 0 else None
    return _without_lead_in(lines, options, names)


def find_mentioned(text: str, options: Sequence[str], question: str) -> int | None:
    """Find the only option that a sentence mentions, as a model answers that was not shown the options.

    An option within a longer one that is mentioned, and one that the question mentions, do not count. A sentence with a
    negation, or that begins with a label, mentions none.

    >>> options = ("wind", "salt water", "water", "a lamp")
    >>> find_mentioned("The lamp is powered by salt water.", options, "What powers the lamp?")
    1
    >>> find_mentioned("It is not wind.", options, "What powers the lamp?")
    """
    line = first_line(text)
    if _PREFIXED.match(line) or _NEGATION.search(line):
        return None
    said, asked = normalise(line), normalise(question)
    names = [_forms_of_option(option)[3] for option in options]
    found = [place for place, name in enumerate(names) if _mentions(said, name) and not _mentions(asked, name)]
    whole = [place for place in found if not any(_mentions(names[o], names[place]) for o in found if o != place)]
    return whole[0] if len(whole) == 1 else None


def _mentions(text: str, name: str) -> bool:
    """Whether a text contains a name, both normalised, as whole words; of scripts without blanks, its characters."""
    edge = "" if _UNSPACED.search(name) else r"\b"
    return len(name) > 1 and re.search(f"{edge}{re.escape(name)}{edge}", text) is not None


def _without_lead_in(lines: Sequence[str], options: Sequence[str], names: Mapping[str, int]) -> int | None:
    line = _plain(lines[0])
    lead_in = _LEAD_IN.match(line)
    if lead_in and lead_in.end():
        rest = line[lead_in.end() :].strip() or (_plain(lines[1]) if len(lines) > 1 else "")
        second = _LEAD_IN.match(rest)  # "The answer is option B"
        candidates = [rest, rest[second.end() :].strip()] if second else [rest]
    else:
        candidates = []
    praised = _PRAISE.search(line)
    if praised:
        candidates.append(line[: praised.start()])
    for candidate in candidates:
        found = _named(candidate, options, names, reasons=True)
        if found is not None:
            return found if found >= 0 else None
    return None


_CONTRADICTION = -1


def _named(line: str, options: Sequence[str], names: Mapping[str, int], *, reasons: bool) -> int | None:
    """The option that a line names by text or label; `_CONTRADICTION` if it names several."""
    plain = _plain(line)
    for written in (line, plain):
        found = _by_text(written, options)
        if found is not None:
            return found
    alone = _ALONE.match(plain)
    if alone:
        return _place(alone[1], names)
    headed = _HEADED.match(plain)
    place = _place(headed[1], names) if headed else None
    if headed is None or place is None:
        return None
    mark, rest = headed[2], headed[3]
    other = _named(rest, options, names, reasons=False)
    if other is not None:
        return place if other == place else _CONTRADICTION
    clear = headed[1].isupper() or mark[:1] in (")", "]")  # "a, because" may begin with an article
    reason = reasons and clear and (mark or _REASON.match(rest)) and not _names_another(rest, place, names)
    return place if reason else None


def _names_another(text: str, place: int, names: Mapping[str, int]) -> bool:
    """Whether a reason names another label: a single capital letter; "A" and "I" only if they are not words."""
    for found in re.finditer(r"(\b(?:or|and)\s+|[,/&]\s*)?[(\[]?\b([A-Z])\b([)\].:])?", text):
        other = names.get(found[2])
        if other is not None and other != place and (found[2] not in "AI" or found[1] or found[3]):
            return True
    return False


def _place(label: str, names: Mapping[str, int]) -> int | None:
    found = names.get(label)
    return names.get(label.casefold()) if found is None else found


@functools.lru_cache(1 << 12)
def _names_of(labels: tuple[str, ...], count: int) -> dict[str, int]:
    """Label -> index; also case-insensitive if unambiguous, and letters by position if labels are not letters."""
    names = {label: place for place, label in enumerate(labels[:count])}
    if not any(len(label) == 1 and label.isalpha() for label in labels):
        names = {**dict(zip(LETTERS, range(count), strict=False)), **names}
    folded: dict[str, int] = {}
    for label, place in names.items():
        folded[label.casefold()] = place if label.casefold() not in folded else _CONTRADICTION
    return {label: place for label, place in {**folded, **names}.items() if place >= 0}


def _by_text(text: str, options: Sequence[str]) -> int | None:
    """The option with this text; `_CONTRADICTION` if several match equally."""
    written = _forms(text)
    if not written[-1]:
        return None
    for level, form in enumerate(written):
        places = [place for place, option in enumerate(options) if _forms_of_option(option)[level] == form]
        if places:
            return places[0] if len(places) == 1 else _CONTRADICTION
    if all(_own_letter(option, place) for place, option in enumerate(options)):  # ["A) 21", "B) 22"]
        bare = [_PREFIXED.sub("", option) for option in options]
        places = [place for place, option in enumerate(bare) if normalise(option) == written[2]]
        return places[0] if len(places) == 1 else None
    return None


def _own_letter(option: str, place: int) -> bool:
    written = _PREFIXED.match(option)
    return written is not None and place < len(LETTERS) and written[1].upper() == LETTERS[place]


def _forms(text: str) -> tuple[str, str, str, str]:
    """The forms of a text for comparison, strictest first."""
    exact = " ".join((text if text.isascii() else unicodedata.normalize("NFC", text)).split())
    bare = exact.lstrip(_BEFORE).rstrip(_AFTER) or exact
    folded = normalise(text)
    return exact, bare, folded, _ARTICLE.sub("", folded, count=1) if _ARTICLE.match(folded) else folded


_forms_of_option = functools.lru_cache(1 << 16)(_forms)
"""Cached for options, which repeat; answers do not, and may be long."""


def _plain(line: str) -> str:
    """A line without Markdown, tags and TeX, with full-width letters normalised; only for parsing labels."""
    plain = line if line.isascii() else unicodedata.normalize("NFKC", line)
    return _MARKUP.sub("", plain).translate(_BRACES).strip(" \"'“”\u2018\u2019«»「」『』。")


def _lines(text: str) -> list[str]:
    """Non-blank lines with whitespace collapsed, which keeps the patterns fast."""
    return [" ".join(line.split()) for line in text.splitlines() if line.strip()]
