"""Embeds texts with a sentence-transformers model in this process."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from solo_hub.core.errors import ModelError, import_optional
from solo_hub.core.parsing import parse_json
from solo_hub.core.plugins import Embedder, Floats, Progress
from solo_hub.knowledge.embedder_prompts import EmbedderPrompts

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

logger = logging.getLogger(__name__)

SAMPLE = 256  # texts checked for unknown tokens
MANY_UNKNOWN = 0.2  # share of unknown tokens above which vectors are poor


def unit_rows(vectors: Floats, identity: str) -> Floats:
    """Scale rows to length 1.

    Args:
        vectors: `(texts, dimension)`.
        identity: The embedder, for messages.

    Raises:
        ModelError: A row has a non-finite number, or is all zeros.
    """
    vectors = np.asarray(vectors, dtype=np.float32)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    if not np.isfinite(lengths).all() or (lengths == 0).any():
        raise ModelError(
            f"The embedder '{identity}' returned a zero or non-finite vector.",
            hint="Try another model.",
        )
    return np.asarray(vectors / lengths, dtype=np.float32)


def embed_queries(embedder: Embedder, texts: Sequence[str]) -> Floats:
    """Vectors of queries; embedders without `embed_queries` embed them like documents."""
    made: Floats = getattr(embedder, "embed_queries", embedder.embed)(texts)
    return made


class SentenceTransformerEmbedder:
    """A sentence-transformers model, loaded on first use.

    Only safetensors weights are loaded, and no code from the model's folder is run.

    Args:
        path: Folder with the model.
        identity: Model and commit: vectors with the same identity are comparable.
        device: auto, cpu, cuda, mps.
        batch_size: Texts per forward pass.

    Attributes:
        is_searched: Whether passages are found by its vectors; else a poor fit to the texts is not worth a warning.
    """

    is_searched = True

    def __init__(self, path: Path, identity: str, device: str = "auto", batch_size: int = 64) -> None:
        self.path = Path(path)
        self.prompts = EmbedderPrompts.read(self.path, identity)
        self.identity = self.prompts.identity(identity)
        self.device = device
        self.batch_size = batch_size
        self._warned = False

    @property
    def max_tokens(self) -> int:
        """Maximum length of a text in tokens, including special tokens; longer texts are truncated."""
        return int(self._model.max_seq_length or 512)

    def embed(self, texts: Sequence[str], progress: Progress | None = None) -> Floats:
        """Embed documents; returns `(texts, dimension)`, rows of length 1.

        Raises:
            ModelError: The model cannot be loaded, or returns non-finite vectors.
        """
        return self._embed(texts, "document", progress)

    def embed_queries(self, texts: Sequence[str], progress: Progress | None = None) -> Floats:
        """Embed queries, with the model's query prompt; otherwise like `embed`."""
        return self._embed(texts, "query", progress)

    def _embed(self, texts: Sequence[str], kind: str, progress: Progress | None) -> Floats:
        model = self._model
        prompt, _ = self.prompts.prompt_for(kind)
        encode = model.encode_query if kind == "query" else model.encode_document
        if not texts:
            return np.zeros((0, int(model.get_embedding_dimension() or 0)), dtype=np.float32)
        self._warn_of_truncated_texts(texts, prompt)
        self._warn_of_unknown_tokens(texts)
        parts = []
        step = self.batch_size * 16  # each call sorts its texts by length, which reduces padding
        for start in range(0, len(texts), step):
            chunk = list(texts[start : start + step])
            parts.append(
                encode(
                    chunk,
                    prompt=prompt,
                    batch_size=self.batch_size,
                    convert_to_numpy=True,
                    normalize_embeddings=True,
                    show_progress_bar=False,
                )
            )
            if progress:
                progress(len(chunk))
        return unit_rows(np.concatenate(parts), self.identity)

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text, without special tokens."""
        if not texts:
            return []
        ids = self._model.tokenizer(list(texts), add_special_tokens=False, truncation=False, verbose=False)["input_ids"]
        return [len(row) for row in ids]

    def _warn_of_truncated_texts(self, texts: Sequence[str], prompt: str) -> None:
        room = self.max_tokens - 2 - sum(self.count_tokens([prompt] if prompt else []))  # [CLS] and [SEP]
        # A token has at least one character, so shorter texts need not be counted.
        suspects = [text for text in texts if len(text) > room]
        cut = sum(count > room for count in self.count_tokens(suspects))
        if cut:
            logger.warning("%d of %d texts are longer than %d tokens and are truncated.", cut, len(texts), room)

    def _warn_of_unknown_tokens(self, texts: Sequence[str]) -> None:
        """Warn once if many tokens are unknown, as for a script missing from the vocabulary."""
        tokenizer = self._model.tokenizer
        unknown = getattr(tokenizer, "unk_token_id", None)
        if self._warned or unknown is None or not self.is_searched:
            return
        sample = list(texts[:: -(-len(texts) // SAMPLE)])
        ids = tokenizer(sample, add_special_tokens=False, truncation=True, verbose=False)["input_ids"]
        count = sum(map(len, ids))
        share = sum(row.count(unknown) for row in ids) / count if count else 0.0
        if share > MANY_UNKNOWN:
            self._warned = True
            logger.warning(
                "%.0f %% of the tokens of these texts are unknown to the embedder '%s': retrieval by meaning will be "
                "poor. Set knowledge.embedding_model to a model for their language, or knowledge.retriever=bm25.",
                100 * share,
                self.identity,
            )

    @cached_property
    def _model(self) -> SentenceTransformer:
        """The model, loaded on first use."""
        _check_weights(self.path)
        library = import_optional(
            "sentence_transformers",
            package="sentence-transformers",
            extra="knowledge",
            purpose="Embedding in process",
        )
        try:
            model: SentenceTransformer = library.SentenceTransformer(
                str(self.path),
                device=None if self.device == "auto" else self.device,
                local_files_only=True,
                trust_remote_code=False,
                model_kwargs={"use_safetensors": True},
            )
        except Exception as error:  # an invalid model folder can make the library raise anything
            raise ModelError(
                f"Cannot load the embedding model '{self.path}': {error}.",
                hint="Check that it is a sentence-transformers model.",
            ) from error
        return model


def _check_weights(path: Path) -> None:
    """Reject folders with pickled weights.

    Raises:
        ModelError: The folder is missing, or a module has pickled weights and no safetensors.
    """
    if not path.is_dir():
        raise ModelError(
            f"There is no embedding model at '{path}'.", hint="Use a folder or repo of a sentence-transformers model."
        )
    folders = [path]
    modules = path / "modules.json"
    if modules.exists():
        try:
            folders += [path / str(module["path"]) for module in parse_json(modules.read_text("utf-8"))]
        except (ValueError, KeyError, TypeError) as error:
            raise ModelError(
                f"'{modules}' cannot be read: {error}.", hint="Is it a sentence-transformers model?"
            ) from error
    for folder in folders:
        pickles = [*folder.glob("*.bin"), *folder.glob("*.pt"), *folder.glob("*.pkl")]
        if pickles and not any(folder.glob("*.safetensors")):
            raise ModelError(
                f"The weights '{pickles[0].name}' of '{folder}' are pickled, which can run code.",
                hint="Only safetensors are loaded: use a revision of the model that has them.",
            )
