"""Prompts of embedding models: prefixes for queries and for documents.

Many embedders were trained with them and are much worse without. Repos define them in
`config_sentence_transformers.json` (Qwen3-Embedding and others); E5 models only document them, and are recognised by
name.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path

from solo_hub.core.parsing import read_object

FILE = "config_sentence_transformers.json"
MARK = " prompts "
"""Stands in the identity of vectors that were made with prompts."""
DOCUMENT_NAMES = ("document", "passage", "corpus")
"""Names of the documents' prompt, in the order in which sentence-transformers looks for them."""
_E5 = re.compile(r"(?:.*[-_])?e5-(?:small|base|large)(?!.*instruct).*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class EmbedderPrompts:
    """Prefixes of texts to be embedded.

    Attributes:
        query: Prefix of queries.
        document: Prefix of documents.
        query_name: Name of the query prompt in the repo, or None.
        document_name: Name of the document prompt in the repo, or None.
        overall: The repo's default prefix for all texts, which earlier versions used.
        by_name: Whether they were inferred from the model's name.
    """

    query: str = ""
    document: str = ""
    query_name: str | None = None
    document_name: str | None = None
    overall: str = ""
    by_name: bool = False

    @classmethod
    def read(cls, folder: Path, identity: str) -> EmbedderPrompts:
        """Read the prompts of a model.

        Args:
            folder: Folder with the model's configuration.
            identity: Repo and commit.
        """
        config = read_object(folder / FILE)
        section = config.get("prompts")
        prompts = {k: v for k, v in section.items() if isinstance(v, str) and v} if isinstance(section, dict) else {}
        overall = prompts.get(str(config.get("default_prompt_name")), "")
        query = "query" if "query" in prompts else None
        document = next((name for name in DOCUMENT_NAMES if name in prompts), None)
        if query or document:
            return cls(prompts.get(query or "", ""), prompts.get(document or "", ""), query, document, overall)
        if _E5.fullmatch(identity.partition("@")[0].rpartition("/")[2]):
            return cls("query: ", "passage: ", overall=overall, by_name=True)
        # a single prompt applies to everything
        return cls(overall, overall, overall=overall)

    def prompt_for(self, kind: str) -> tuple[str, str | None]:
        """Text and name of the prompt for a kind of text: `query` or `document`."""
        return (self.query, self.query_name) if kind == "query" else (self.document, self.document_name)

    def identity(self, model: str) -> str:
        """Identity of document vectors with these prompts: the model's own if they change nothing."""
        if self.document == self.overall and self.query == self.overall:
            return model
        digest = hashlib.sha256(json.dumps([self.query, self.document]).encode()).hexdigest()[:8]
        return f"{model}{MARK}{digest}"

    def __str__(self) -> str:
        """A description for reports; empty if there are none."""
        if not (self.query or self.document):
            return ""
        source = "from the model's name; its repo defines none" if self.by_name else "from its repo"
        return f"{self.query!r} before queries, {self.document!r} before documents, {source}"
