"""What is worth asking in a sentence of any language, without a grammar: a number, or the rarest words.

How rare a word is, the corpus itself says. A question is made where the language's few words are known (`scripts`), and
a gap in the sentence always. In scripts without blanks between words a sentence is cut at its marks, at characters that
only bind (of, and, in, ...) and at common verbs; what stands between two cuts is a term. Marks are written as escapes,
since many look like those of Latin scripts.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator

from solo_hub.curation.clauses import Clause
from solo_hub.curation.forms import Asked
from solo_hub.curation.frequencies import SMALL, Frequencies, words
from solo_hub.curation.scripts import GAP, UNSPACED, Asking, asking

LEAST_WORDS = 4
LONGEST_REST = 5  # words after a copula
ASKED = 3  # words asked for in one sentence
COMMON = math.log(8)  # idf of a word in every eighth document: it binds, whatever the language

_END = re.compile("[\\s.,;:!\u0964\u0965\u06d4\u061f\u061b?]+$")
_WORD = re.compile('[^\\s.,;:!?()\\[\\]"\u201c\u201d\u00ab\u00bb\u0964\u0965\u06d4\u060c\u061b\u061f\u2026]+')


def ask_anywhere(sentence: str, language: str, corpus: Frequencies) -> list[Asked]:
    """Questions about a sentence of any language, the best first."""
    if language in UNSPACED:
        return ask_unspaced(sentence, language, corpus)
    return list(_ask_spaced(_END.sub("", sentence), asking(language, sentence), corpus))


def _ask_spaced(sentence: str, known: Asking | None, corpus: Frequencies) -> Iterator[Asked]:
    places = [match.span() for match in _WORD.finditer(sentence)]
    if len(places) < LEAST_WORDS:
        return
    found = [sentence[begin:end] for begin, end in places]
    if known:
        yield from _definition(sentence, places, found, known)
    numbers = [n for n, word in enumerate(found) if word.isdigit()]
    for n in dict.fromkeys([*numbers[:1], *_rarest(found, corpus)][:ASKED]):
        begin, end = places[n]
        yield Asked("gap", f"{sentence[:begin]}{GAP}{sentence[end:]}.", found[n])


def _definition(sentence: str, places: list[tuple[int, int]], found: list[str], known: Asking) -> Iterator[Asked]:
    """*X is what?* in a language whose *is* and *what* are known."""
    for n, word in enumerate(found[1:6], 1):
        if word in known.copulas and n + 1 < len(found):
            rest = sentence[places[n + 1][0] :]
            if len(found) - n - 1 <= LONGEST_REST and "," not in rest:
                yield Asked("end", f"{sentence[: places[n][1]]} {known.what}{known.mark}", rest)
            return


def _rarest(found: list[str], corpus: Frequencies) -> list[int]:
    """Places of the words worth asking for, the rarest first."""
    scored = []
    for n, word in enumerate(found):
        stems = words(word)
        if not stems or (len(word) < 3 and word.isascii()):  # noqa: PLR2004 - `de`, `la`
            continue
        idf = corpus.idf(stems[0]) if corpus.documents >= SMALL else COMMON
        if idf >= COMMON:
            scored.append((-idf - len(word) / 10, n))  # in a small corpus all words are rare, and long ones say more
    return [n for _, n in sorted(scored)]


# -- scripts without blanks between words: Chinese by statement, Japanese by topic, others by gap ----------------------

SHORTEST = 6  # characters of a clause that is asked about
LONGEST_TERM, LONGEST_ANSWER = 8, 16  # characters

_STOP = "\u3002"
_MARKS = "\uff0c\u3001,\uff08\uff09()\u300c\u300d\u300e\u300f\u300a\u300b\u201c\u201d"
_CLAUSE = re.compile("[^\u3002\uff01\uff1f\uff1b;\uff1a:\u2014\u2026]+")
_FINAL = re.compile("[\\s\u3002\uff0c\u3001.,;:!\uff1b\uff1a]+$")
_VERBS = (
    "叫做|稱為|称为|位於|位于|屬於|属于|包括|包含|含有|產生|产生|造成|導致|导致|形成|需要|使用|吸收|釋放|释放|提供|保護|保护|吸引|"
    "收藏|轉化為|转化为|變成|变成|發明|发明|發現|发现|影響|影响|生產|生产|出產|出产|來自|来自|產於|产于|生活在|流經|流经|由|是|吃"
)
_PLACING = re.compile("^(?:位於|位于|產於|产于|生活在|流經|流经)$")
_MADE_BY = re.compile(
    "^(?P<noun>.{2,12}?)(?P<by>所?(?:構成|构成|組成|组成|做成|製成|制成|形成|製造|制造|管理|領導|领导|設計|设计|創立|创立|建造)"
    "|[^的]{2}而成)$"
)
_BINDING = (
    "通常|常常|經常|经常|大約|大约|認為|认为|因為|因为|所以|如果|但是|可以|能夠|能够|以及|並且|并且|(?<![通經经])[過过]|更(?![換换新改])|[的了著着在和與与及或而且並并也都就被把將将從从向往對对於于以"
    "為为使讓让這这那其它他她我你們们之很最會会要到給给後后時时不有等但還还又跟若每繞绕帶带]"
)
_AND = ("和", "與", "与", "及")
_CUT = re.compile(f"{_VERBS}|{_BINDING}|[\\s{_MARKS}]")
_KANA_TERM = re.compile("[\u4e00-\u9fff]{2,}|[\u30a1-\u30ff]{2,}")
_DIGITS = "二三四五六七八九十百千萬万億亿兩两"
_NUMBER = re.compile(
    rf"百分之[{_DIGITS}一零\d.]+|(?<![A-Za-z\d])\d+(?:[.,]\d+)*(?![A-Za-z])"
    rf"|[{_DIGITS}一][{_DIGITS}一零〇]+|[{_DIGITS}]"
)
_YEAR = re.compile("(?<![A-Za-z\\d])[12]\\d{3}年")
_MEASURES = "個个隻只條条顆颗種种度年月日天次類类層层倍人名項项元分秒時时公米尺克扇座棵朵腳脚位員员本件張张台部週周歲岁"
_STATEMENT = re.compile(
    f"^(?P<subject>[^{_MARKS}]{{2,12}}?)(?P<modal>會|会|可以|能|主要|通常|常常|大約|大约|又|也)?(?P<verb>(?:{_VERBS})[了於于]?)(?P<object>[^{_MARKS}]{{2,20}})$"
)
_CLASS = re.compile("^一?[種种個个]")
_POINTING = re.compile("^[他她它我你這这那其此因所如但當当不並并也就]")
_INSIDE = re.compile("[在把被對对為为從从將将以於于]")
_TOPIC_JA = re.compile("^(?P<subject>[^\u3001\u3002]{1,15}?)は(?P<object>[^\u3001\u3002は]{2,20}?)(?:です|である|だ)$")
_LONGEST_THAI = 24


def ask_unspaced(sentence: str, language: str, corpus: Frequencies) -> list[Asked]:
    """Questions about a sentence in a script without blanks, the best first."""
    found: list[Asked] = []
    text = _FINAL.sub("", sentence)
    known = asking(language, text)
    for clause in map(str.strip, _CLAUSE.findall(text)):
        if len(clause) >= SHORTEST and not (language == "zh" and _POINTING.match(clause)):
            found += _ask(clause, language, known, corpus)
    return found


def _ask(clause: str, language: str, known: Asking | None, corpus: Frequencies) -> Iterator[Asked]:
    if language == "zh" and (statement := parse_statement(clause)):
        yield from ask_statement(statement)
    elif language == "ja" and known and (match := _TOPIC_JA.match(clause)):
        yield Asked("end", f"{match['subject']}は{known.what}です{known.mark}", match["object"])
    if known:
        yield from _ask_number(clause, language, known)
    terms = sorted(_terms(clause, language), key=lambda place: (-_rarity(clause[slice(*place)], corpus), place))
    for begin, end in terms[:2]:
        yield Asked("gap", f"{clause[:begin]}{GAP}{clause[end:]}{'' if language == 'th' else _STOP}", clause[begin:end])


def _ask_number(clause: str, language: str, known: Asking) -> Iterator[Asked]:
    """*In which year?*, or *how many?* of the first number that counts or measures something."""
    if language == "zh" and (year := _YEAR.search(clause)):
        yield Asked("count", f"{clause[: year.start()]}哪一年{clause[year.end() :]}{known.mark}", year[0])
        return
    for match in _NUMBER.finditer(clause):
        begin, end = match.span()
        is_share = match[0].startswith("百分之")
        if is_share or (end < len(clause) and (match[0].isascii() or len(match[0]) > 1 or clause[end] in _MEASURES)):
            how_many = known.how_many
            if language == "zh" and clause[end : end + 1] in ("月", "號", "号"):
                how_many = "幾" if known.what == "什麼" else "几"
            yield Asked("count", f"{clause[:begin]}{how_many}{clause[end:]}{known.mark}", match[0])
            return


def _terms(clause: str, language: str) -> Iterator[tuple[int, int]]:
    """Places of what may be asked for."""
    if language == "zh":
        begin = 0
        for cut in [*_CUT.finditer(clause), None]:
            if cut and cut[0] in _AND and cut.start() == begin:
                continue  # *and* joins what stands before it: here it begins a name
            end = cut.start() if cut else len(clause)
            if 2 <= end - begin <= LONGEST_TERM and end - begin < len(clause) - 3:  # noqa: PLR2004 - something is left
                yield begin, end
            begin = cut.end() if cut else end
        return
    longest = _LONGEST_THAI if language == "th" else LONGEST_TERM
    for match in re.finditer(r"\S+", clause) if language == "th" else _KANA_TERM.finditer(clause):
        if len(match[0]) <= longest and len(match[0]) < len(clause) - 3:
            yield match.span()


def _rarity(term: str, corpus: Frequencies) -> float:
    """Mean idf of a term's pairs of characters."""
    found = words(term)
    return sum(map(corpus.idf, found)) / len(found) if found else 0.0


def parse_statement(sentence: str) -> Clause | None:
    """A Chinese sentence that is one statement, as a clause whose parts hold one string each; None where it is not.

    >>> statement = parse_statement("咖啡因是一種興奮劑")
    >>> statement.subject, statement.verb, statement.link, statement.object
    (('咖啡因',), ('是',), ('一種',), ('興奮劑',))
    """
    match = _STATEMENT.match(_FINAL.sub("", sentence))
    if not match or _POINTING.match(match["subject"]) or _INSIDE.search(match["subject"]):
        return None
    kind = _CLASS.match(match["object"])
    link = (kind[0],) if kind else ()
    rest: tuple[str, ...] = ()
    found = match["object"][kind.end() :] if kind else match["object"]
    if match["verb"] == "由":
        made = _MADE_BY.match(found)
        if made is None:
            return None
        found, rest = made["noun"], (made["by"],)
    if not 1 < len(found) <= LONGEST_ANSWER or found.endswith(("的", "了")):
        return None
    return Clause((), (match["subject"],), (f"{match['modal'] or ''}{match['verb']}",), link, (found,), rest)


def ask_statement(clause: Clause) -> list[Asked]:
    """*X is what?* and *what is Y?* of a Chinese clause."""
    parts = (clause.subject, clause.verb, clause.link, clause.object, clause.rest)
    subject, verb, link, found, rest = ("".join(part) for part in parts)
    known = asking("zh", subject + verb + found)
    if known is None:
        return []
    what = known.what
    if _PLACING.match(verb):
        what = "哪裡" if what == "什麼" else "哪里"
    elif _NUMBER.match(found) and "的" not in found:
        what = known.how_many
    asked = [Asked("end", f"{subject}{verb}{what}{rest}{known.mark}", found)]
    if len(subject) <= LONGEST_TERM:
        asked.append(Asked("subject", f"{known.what}{verb}{link}{found}{rest}{known.mark}", subject))
    return asked
