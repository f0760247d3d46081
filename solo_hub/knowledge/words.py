"""Text to words: what BM25 and the two-step retrievers count and compare.

Words are lower-cased runs of letters and digits, cut back to a stem so that *dehydrating* meets *dehydration*. Scripts
written without blanks (Chinese, Japanese, Thai, ...) become pairs of neighbouring characters.
"""

from __future__ import annotations

import re

from solo_hub.knowledge.stemming import stem

_RUN = re.compile(r"[^\W_]+")
_UNSPACED = re.compile(r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff]+")

STOP_WORDS = frozenset(
    """
    a an the and or but nor so if then than that this these those there here of in on at by for from to into onto
    with without as is are was were be been being am do does did done have has had having can could may might will
    would shall should must not no it its they them their he him his she her we us our you your i me my what which
    who whom whose when where why how such some any each other also just very only over out up down about through
    during between both more most many much
    """.split()  # noqa: SIM905 - forty words a line read better than one
)


def words(text: str) -> list[str]:
    """The stems of a text's words, in order, without stop words.

    >>> words("Dehydrating food is used for preserving food.")
    ['dehydr', 'food', 'us', 'preserv', 'food']
    """
    found = []
    for run in _RUN.findall(text.lower()):
        if run.isascii():
            if run not in STOP_WORDS:
                found.append(stem(run))
        else:
            found.extend(_split_unspaced(run))
    return found


def _split_unspaced(run: str) -> list[str]:
    match = _UNSPACED.fullmatch(run)
    if match is None:
        return [run]
    return [run[i : i + 2] for i in range(len(run) - 1)] or [run]
