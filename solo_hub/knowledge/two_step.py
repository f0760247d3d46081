"""Two-step retrieval: a first fact by the question, a second by the words that link it to the answer.

`per_option` looks for the chain behind *question + option* for every option, `two_step` for the one behind the question
alone. No option is known to be right: chains of all options compete, and the passages given are those that most likely
hold a whole chain (`chains`). Three steps:

1. candidates for either fact: nearest by meaning and by BM25 to the question and to each claim;
2. for each claim and each of its first facts, second facts that share a word with the first which the claim lacks, and
   hold a word of the claim which the first lacks (Khot et al. 2020, section 5);
3. every pair of candidates scored, and the passages chosen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from solo_hub.core.config import read_options
from solo_hub.core.plugins import Embedder, Floats, Progress
from solo_hub.core.records import Question, Retrieval
from solo_hub.knowledge.chains import (
    Weights,
    chain_probabilities,
    choose_facts,
    claims_of,
    option_support,
    pool_of,
    score_chains,
)
from solo_hub.knowledge.embedding import embed_queries
from solo_hub.knowledge.index import KnowledgeIndex
from solo_hub.knowledge.ranking import SETTING, SPARE, as_passages, in_blocks

Ids = npt.NDArray[np.int32]
Integers = npt.NDArray[np.int64]

BLOCK = 32  # questions whose claims are embedded and searched at once
LENGTH_DAMPING = 10.0  # summed idf added to a document's own, so that the shortest ones do not win every second step


class TwoStepOptions(Weights):
    """Options of `two_step` and `per_option`: depths, and the weights of chains.

    Attributes:
        question_depth: Candidates by the question alone, by meaning and by words each.
        claim_depth: Candidates by each claim, likewise.
        first_facts: First facts of each claim that a second is looked for.
        second_facts: Second facts of each first.
    """

    question_depth: int = 40
    claim_depth: int = 15
    first_facts: int = 6
    second_facts: int = 6


class TwoStepRetriever:
    """Chains behind the question; its options are not read.

    Args:
        index: The knowledge index.
        embedder: The embedder the index was made with.
        options: See `TwoStepOptions`.
    """

    name: ClassVar[str] = "two_step"
    reads_options: ClassVar[bool] = False

    def __init__(self, index: KnowledgeIndex, embedder: Embedder, options: Mapping[str, Any]) -> None:
        self.options = read_options(TwoStepOptions, options, f"retriever '{self.name}'", SETTING)
        index.check_embedder(embedder)
        self.index = index
        self.embedder = embedder

    def retrieve(
        self, questions: Sequence[Question], passages: int, progress: Progress | None = None
    ) -> list[Retrieval]:
        """Return one retrieval a question, in order, best passage first, at most `passages` each.

        A passage's score is the probability that it belongs to the chain behind the question. Where options are read,
        `option_support` is how probable each of them is by the chains alone.
        """
        return in_blocks(questions, BLOCK, lambda block: self._retrieve_block(block, passages), progress)

    def _claims(self, question: Question) -> list[str]:
        if self.reads_options and question.options:
            return [f"{question.text} {option}" for option in question.options]
        return [question.text]

    def _retrieve_block(self, questions: Sequence[Question], passages: int) -> list[Retrieval]:
        lexicon = self.index.lexicon
        claims = [self._claims(question) for question in questions]
        ends = np.cumsum([0, *map(len, claims)])
        asked = [question.text for question in questions]
        flat = [claim for group in claims for claim in group]
        vectors = embed_queries(self.embedder, [*asked, *flat])
        bags = [lexicon.encode(text) for text in (*asked, *flat)]
        count = len(questions)
        by_question = self._candidates(vectors[:count], bags[:count], self.options.question_depth)
        by_claim = self._candidates(vectors[count:], bags[count:], self.options.claim_depth)
        found = []
        for number, question in enumerate(questions):
            span = slice(ends[number], ends[number + 1])
            own = bags[count:][span]
            second = self._second_facts(own, by_claim[span])
            rows = np.unique(
                np.concatenate([*by_question[number], *(part for pair in by_claim[span] for part in pair), second])
            )
            found.append(self._choose(question, rows, own, vectors[count:][span], passages))
        return found

    def _candidates(self, vectors: Floats, bags: Sequence[Ids], depth: int) -> list[tuple[Integers, Integers]]:
        """For each query the nearest documents by meaning, and by words; best first."""
        near, _ = self.index.search(vectors, depth)
        worded = self.index.lexicon.search(bags, depth)
        return [(rows[rows >= 0], by_words) for rows, (by_words, _) in zip(near, worded, strict=True)]

    def _second_facts(self, claims: Sequence[Ids], candidates: Sequence[tuple[Integers, Integers]]) -> Integers:
        lexicon = self.index.lexicon
        half = max(1, self.options.first_facts // 2)
        links, gaps = [], []
        for claim, (near, worded) in zip(claims, candidates, strict=True):
            for first in dict.fromkeys([*worded[:half].tolist(), *near[:half].tolist()]):
                words = lexicon.words_of(first)
                links.append(np.setdiff1d(words, claim))
                gaps.append(np.setdiff1d(claim, words))
        return lexicon.second_facts(links, gaps, self.options.second_facts, LENGTH_DAMPING)

    def _choose(
        self, question: Question, rows: Integers, bags: Sequence[Ids], vectors: Floats, passages: int
    ) -> Retrieval:
        lexicon = self.index.lexicon
        pool, used = pool_of([lexicon.words_of(int(row)) for row in rows], lexicon.idf, self.index.vectors_of(rows))
        scores = score_chains(pool, claims_of(bags, used, lexicon.idf, vectors), self.options)
        chains = chain_probabilities(scores, self.options.sharpness)
        chosen = choose_facts(chains, passages + SPARE if passages else 0)
        weight = chains.sum(axis=1)
        given = as_passages(self.index.documents, [int(rows[i]) for i in chosen], [float(weight[i]) for i in chosen])
        told = self.reads_options and len(question.options) > 1
        return Retrieval(
            question.id, given[:passages], option_support(scores, self.options.sharpness) if told else None
        )


class PerOptionRetriever(TwoStepRetriever):
    """Chains behind the question with each of its options; without options the same as `two_step`."""

    name: ClassVar[str] = "per_option"
    reads_options: ClassVar[bool] = True
