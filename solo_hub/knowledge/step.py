"""The knowledge of a run: its embedder, corpus, index and retriever, each opened when it is first needed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from solo_hub.core.plugins import Embedder, Retriever, find
from solo_hub.core.records import Document, Question, Retrieval
from solo_hub.knowledge import source
from solo_hub.run.context import RunContext
from solo_hub.run.resolved import LocalFile

if TYPE_CHECKING:
    from solo_hub.knowledge.index import KnowledgeIndex
    from solo_hub.knowledge.reading import Summary


class RunKnowledge:
    """What a run looks things up in; one for a run, from `context.shared(RunKnowledge)`.

    Args:
        context: The run.
    """

    def __init__(self, context: RunContext) -> None:
        self._context = context

    @cached_property
    def embedder(self) -> Embedder:
        """The embedder of the knowledge base."""
        return source.make_embedder(
            self._context.config.knowledge,
            lambda: self._context.source("embedder"),
            self._context.name_of("embedder"),
            lambda: self._context.small_files("embedder"),
        )

    @cached_property
    def corpus(self) -> source.Source:
        """What the knowledge base is made of."""
        context = self._context
        own = isinstance(context.pinned("knowledge"), LocalFile)
        settings, policy = context.config.knowledge, context.config.task.unusable_rows
        return source.Source(context.source("knowledge"), settings, context.place("knowledge"), own, policy)

    @cached_property
    def index(self) -> KnowledgeIndex:
        """The index of the knowledge base; built when it is missing, and kept for other runs."""
        return source.open_index(self.corpus, self._context.name_of("knowledge"), self.embedder, self._context.console)

    def existing(self) -> KnowledgeIndex | None:
        """The index if it has been built already."""
        return source.find_index(self.corpus, self._context.name_of("knowledge"), self.embedder)

    def read(self, summary: Summary) -> Iterator[Document]:
        """The documents as the index would have them; `summary` is filled in with what was read and left out."""
        return self.corpus.documents(self.embedder, summary)

    @cached_property
    def retriever(self) -> Retriever:
        """The retriever over the knowledge base."""
        settings = self._context.config.knowledge
        made: Retriever = find("retrievers", settings.retriever)(self.index, self.embedder, settings.retriever_options)
        return made


def retrieve(context: RunContext, questions: Sequence[Question]) -> list[Retrieval]:
    """Passages for each question, in order; none where the teacher sees the question only."""
    limit = context.config.knowledge.passages
    if not questions or not limit:
        return [Retrieval(question.id, ()) for question in questions]
    retriever = context.shared(RunKnowledge).retriever
    with context.console.progress("retrieving", len(questions)) as progress:
        return retriever.retrieve(questions, limit, progress)


def warn_of_empty(context: RunContext, retrieved: Sequence[Retrieval], which: str) -> None:
    """Warn of questions without passages, which are answered from memory."""
    empty = [row.question_id for row in retrieved if not row.passages]
    if empty and context.config.knowledge.passages:
        context.console.warn(
            f"{len(empty):,} of {len(retrieved):,} {which} have no passage (first: '{empty[0]}'): the retriever "
            f"'{context.config.knowledge.retriever}' found none in {context.place('knowledge')}. "
            "Check that it is in the language of the questions."
        )
