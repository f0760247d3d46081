"""The texts that an embedding model wants in front of queries and of documents.

Many embedders were trained with them and lose much without. Repos state them in `config_sentence_transformers.json`
(Qwen3-Embedding and others); the E5 models state them on their pages alone, and are known by their names.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FILE = "config_sentence_transformers.json"
MARK = " prompts "
"""Stands in the identity of vectors that were made with prompts."""
DOCUMENT_NAMES = ("document", "passage", "corpus")
"""Names of the documents' prompt, in the order in which sentence-transformers looks for them."""
_E5 = re.compile(r"(?:.*[-_])?e5-(?:small|base|large)(?!.*instruct).*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class EmbedderPrompts:
    """What is put in front of texts before they are embedded.

    Attributes:
        query: In front of a query.
        document: In front of a document.
        query_name: The name by which the repo calls it; None where there is none.
        document_name: Likewise.
        overall: In front of every text, whatever it is, by the repo's default: what was embedded before kinds were
            told apart.
        by_name: Whether they are known by the model's name alone.
    """

    query: str = ""
    document: str = ""
    query_name: str | None = None
    document_name: str | None = None
    overall: str = ""
    by_name: bool = False

    @classmethod
    def read(cls, folder: Path, identity: str) -> EmbedderPrompts:
        """Those of a model.

        Args:
            folder: With the model's configuration.
            identity: Repo and commit.
        """
        try:
            stated: Any = json.loads((folder / FILE).read_text("utf-8"))
        except (OSError, ValueError):
            stated = {}
        stated = stated if isinstance(stated, dict) else {}
        given = stated.get("prompts")
        prompts = {k: v for k, v in given.items() if isinstance(v, str) and v} if isinstance(given, dict) else {}
        overall = prompts.get(str(stated.get("default_prompt_name")), "")
        query = "query" if "query" in prompts else None
        document = next((name for name in DOCUMENT_NAMES if name in prompts), None)
        if query or document:
            return cls(prompts.get(query or "", ""), prompts.get(document or "", ""), query, document, overall)
        if _E5.fullmatch(identity.partition("@")[0].rpartition("/")[2]):
            return cls("query: ", "passage: ", overall=overall, by_name=True)
        # a repo with one prompt for everything means it for everything
        return cls(overall, overall, overall=overall)

    def of(self, kind: str) -> tuple[str, str | None]:
        """Text and name of a kind's prompt: `query` or `document`."""
        return (self.query, self.query_name) if kind == "query" else (self.document, self.document_name)

    def identity(self, model: str) -> str:
        """Identity of vectors of documents made with them: the model's own where they change none."""
        if self.document == self.overall and self.query == self.overall:
            return model
        digest = hashlib.sha256(json.dumps([self.query, self.document]).encode()).hexdigest()[:8]
        return f"{model}{MARK}{digest}"

    def __str__(self) -> str:
        """In words, for reports; empty where there are none."""
        if not (self.query or self.document):
            return ""
        source = "by the model's name; its repo states none" if self.by_name else "by its repo"
        return f"{self.query!r} before queries, {self.document!r} before documents, {source}"
