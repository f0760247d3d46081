"""Chains of two facts: how well a pair of documents, taken together, says a question with its answer.

A two-fact question is made by composing: *fact one* and *fact two* share words (the link), the link drops out, and
what is left of both is the question and its answer (Khot et al., "QASC: A Dataset for Question Answering via
Sentence Composition", AAAI 2020, section 3). Read backwards: in a good chain every word of the question and the
answer stands in one of the facts, and every word of a fact stands in the question, the answer or the other fact.
That is what `score_chains` measures, with rare words counting more. The weights are set by hand; nothing is fitted
to answers or gold facts.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from solo_hub.core.config import PluginOptions
from solo_hub.core.plugins import Floats

Mask = npt.NDArray[np.bool_]
Integers = npt.NDArray[np.int64]


class Weights(PluginOptions):
    """What a chain is judged by; each part but the first is 0..1 before its weight.

    Attributes:
        coverage: Share of the claim's words (question and option) found in the chain.
        precision: Share of the chain's words found in the claim or in the chain's other fact.
        link: Words outside the claim that the two facts share, up to `link_enough`.
        meaning: Cosine between the claim's vector and the chain's (the facts' vectors summed).
        link_enough: Summed idf of shared words from which more of them mean nothing; about one rare word or two common.
        sharpness: How quickly a chain's probability falls with its score.
    """

    coverage: float = 2.0
    precision: float = 1.0
    link: float = 0.5
    meaning: float = 1.0
    link_enough: float = 6.0
    sharpness: float = 12.0


DEFAULT_WEIGHTS = Weights()


@dataclass(frozen=True, slots=True)
class Pool:
    """The candidate facts of one question, P of them, over the W words they hold.

    Attributes:
        holds: `(P, W)` 1 where a fact holds a word.
        idf: `(W,)` how rare each word is.
        vectors: `(P, dimension)` the facts' unit vectors.
    """

    holds: Floats
    idf: Floats
    vectors: Floats


@dataclass(frozen=True, slots=True)
class Claims:
    """What could be true: the question with each of its options, O of them.

    Attributes:
        words: `(O, W)` whether a claim holds a word of the pool.
        totals: `(O,)` summed idf of all words of a claim, those outside the pool too.
        vectors: `(O, dimension)` the claims' unit vectors.
    """

    words: Mask
    totals: Floats
    vectors: Floats


def score_chains(pool: Pool, claims: Claims, weights: Weights = DEFAULT_WEIGHTS) -> Floats:
    """Score every pair of facts for every claim.

    With c the claim's words, f and g the words of two facts, and |.| the summed idf of a set of words:

        coverage  = |c & (f | g)| / |c|
        precision = (|f & (c | g)| + |g & (c | f)|) / (|f| + |g|)
        link      = min(|f & g - c|, enough) / enough
        meaning   = cos(v_c, v_f + v_g)

    Returns:
        `(O, P, P)`, symmetric; the diagonal (a fact with itself) is minus infinity.
    """
    shared = (pool.holds * pool.idf) @ pool.holds.T  # |f & g|
    size = np.diag(shared)
    sizes = np.maximum(size[:, None] + size[None], 1e-6)
    # |v_f + v_g| = sqrt(2 + 2 cos(v_f, v_g)) for unit vectors; opposite ones have no direction together.
    lengths = np.sqrt(np.maximum(2 + 2 * (pool.vectors @ pool.vectors.T), 1e-6))
    near = claims.vectors @ pool.vectors.T
    scores = np.empty((len(claims.words), len(size), len(size)), dtype=np.float32)
    for number, (words, total, cosine) in enumerate(zip(claims.words, claims.totals, near, strict=True)):
        inside = pool.holds[:, words]
        both = (inside * pool.idf[words]) @ inside.T  # |f & g & c|
        own = np.diag(both)
        either = own[:, None] + own[None]
        link = shared - both
        scores[number] = (
            weights.coverage * (either - both) / max(float(total), 1e-6)
            + weights.precision * (2 * link + either) / sizes
            + weights.link * np.minimum(link, weights.link_enough) / weights.link_enough
            + weights.meaning * (cosine[:, None] + cosine[None]) / lengths
        )
    diagonal = np.arange(len(size))
    scores[:, diagonal, diagonal] = -np.inf
    return scores


def chain_probabilities(scores: Floats, sharpness: float, keep: int = 400) -> Floats:
    """Probability that a pair of facts is the chain behind the question, whatever its answer.

    A softmax over all pairs and claims, summed over claims; the `keep` likeliest pairs share it all.

    Args:
        scores: `(O, P, P)` as of `score_chains`.
        sharpness: Factor on the scores.
        keep: How many pairs are kept.

    Returns:
        `(P, P)`, symmetric, zeros on the diagonal; the upper triangle sums to 1 (all zeros for fewer than two facts).
    """
    size = scores.shape[1]
    first, second = np.triu_indices(size, 1)
    result = np.zeros((size, size), dtype=np.float32)
    if not len(first):
        return result
    flat = scores[:, first, second]
    mass = np.exp(sharpness * (flat - flat.max())).sum(axis=0)
    if keep < len(mass):
        kept = np.argpartition(-mass, keep - 1)[:keep]
        first, second, mass = first[kept], second[kept], mass[kept]
    result[first, second] = mass / mass.sum()
    return result + result.T


def option_support(scores: Floats, sharpness: float) -> tuple[float, ...]:
    """How probable each claim is by the chains behind it alone: a softmax over all pairs and claims, summed over pairs.

    No language model has a say in it, and nothing is fitted: a claim with a better chain of facts is more probable.

    Args:
        scores: `(O, P, P)` as of `score_chains`.
        sharpness: Factor on the scores.

    Returns:
        Natural-log probabilities of the O claims; all the same where there are fewer than two facts.
    """
    claims, size, _ = scores.shape
    first, second = np.triu_indices(size, 1)
    if not len(first):
        return (-math.log(claims),) * claims
    flat = sharpness * scores[:, first, second].astype(np.float64)
    mass = np.log(np.exp(flat - flat.max()).sum(axis=1) + np.finfo(np.float64).tiny)
    return tuple(float(value) for value in mass - np.logaddexp.reduce(mass))


def choose_facts(chains: Floats, count: int) -> list[int]:
    """Choose facts so that the true chain is among them with the highest probability.

    Greedy: in each round the fact, or the pair of facts, that adds most probability of a whole chain per fact added.

    Args:
        chains: `(P, P)` as of `chain_probabilities`.
        count: How many facts; fewer where there are fewer.

    Returns:
        Positions, in the order chosen; when no whole chain is left to gain, those in the likeliest chains.
    """
    size = len(chains)
    count = min(count, size)
    alone = chains.sum(axis=1)
    chosen: list[int] = []
    free = np.ones(size, dtype=bool)
    gain = np.zeros(size, dtype=np.float32)  # what a fact adds through chains with those chosen
    while len(chosen) < count:
        single = np.where(free, gain, -1.0)
        best = int(single.argmax())
        added = [best] if single[best] > 0 else [int(np.where(free, alone, -1.0).argmax())]
        if len(chosen) + 2 <= count:
            pairs = np.where(free[:, None] & free[None], chains + gain[:, None] + gain[None], -1.0)
            one, other = np.unravel_index(int(pairs.argmax()), pairs.shape)
            if one != other and pairs[one, other] / 2 > single[best]:
                # The fact that is in more likely chains goes first.
                added = sorted((int(one), int(other)), key=lambda fact: -alone[fact])
        for fact in added:
            chosen.append(fact)
            free[fact] = False
            gain += chains[fact]
    return chosen


def pool_of(
    contents: Sequence[npt.NDArray[np.int32]], idf: Floats, vectors: Floats
) -> tuple[Pool, npt.NDArray[np.int32]]:
    """The pool of some documents, and the ids of its words (ascending).

    Args:
        contents: The distinct words of each document.
        idf: `(words,)` of the whole corpus.
        vectors: `(P, dimension)` the documents' vectors.
    """
    used, columns = np.unique(np.concatenate([np.zeros(0, dtype=np.int32), *contents]), return_inverse=True)
    holds = np.zeros((len(contents), len(used)), dtype=np.float32)
    holds[np.repeat(np.arange(len(contents)), [len(words) for words in contents]), columns] = 1
    return Pool(holds, np.asarray(idf[used], dtype=np.float32), vectors), used.astype(np.int32)


def claims_of(
    claims: Sequence[npt.NDArray[np.int32]], used: npt.NDArray[np.int32], idf: Floats, vectors: Floats
) -> Claims:
    """Claims over a pool's words.

    Args:
        claims: The known words of each claim.
        used: Ids of the pool's words.
        idf: `(words,)` of the whole corpus.
        vectors: `(O, dimension)` the claims' vectors.
    """
    words = np.array([np.isin(used, claim) for claim in claims], dtype=bool).reshape(len(claims), len(used))
    totals = np.array([idf[claim].sum() for claim in claims], dtype=np.float32)
    return Claims(words, totals, vectors)
