"""The knowledge of a run: its embedder, corpus, index and retriever, each opened when it is first needed."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from solo_hub.core.plugins import Embedder, Retriever, find
from solo_hub.knowledge import source
from solo_hub.run.context import RunContext

if TYPE_CHECKING:
    from solo_hub.knowledge.index import KnowledgeIndex


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
        own = "file" in context.pinned("knowledge")
        settings, policy = context.config.knowledge, context.config.task.unusable_rows
        return source.Source(context.source("knowledge"), settings, context.place("knowledge"), own, policy)

    @cached_property
    def index(self) -> KnowledgeIndex:
        """The index of the knowledge base; built when it is missing, and kept for other runs."""
        return source.open_index(self.corpus, self._context.name_of("knowledge"), self.embedder, self._context.console)

    @cached_property
    def retriever(self) -> Retriever:
        """The retriever over the knowledge base."""
        settings = self._context.config.knowledge
        made: Retriever = find("retrievers", settings.retriever)(self.index, self.embedder, settings.retriever_options)
        return made
