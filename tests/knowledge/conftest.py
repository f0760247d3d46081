"""What the tests of this folder share."""

from __future__ import annotations

import pytest
from letters import LetterEmbedder, corpus

from solo_hub.knowledge.index import KnowledgeIndex


@pytest.fixture
def embedder():
    return LetterEmbedder()


@pytest.fixture
def index(tmp_path, embedder):
    return KnowledgeIndex.build(corpus(), embedder, tmp_path / "index")
