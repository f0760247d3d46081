"""A run whose passages are embedded by TEI servers: the same passages as in process, whatever befalls the servers."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from solo_hub import pipeline
from solo_hub.core.errors import ModelError
from solo_hub.knowledge.embedding import SentenceTransformerEmbedder
from solo_hub.knowledge.step import RunKnowledge

pytest.importorskip("text_embeddings_inference_client", reason="the extra 'tei' is not installed")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

spec = importlib.util.spec_from_file_location(
    "tei_server_of_knowledge", Path(__file__).parents[1] / "knowledge" / "tei_server.py"
)
tei = importlib.util.module_from_spec(spec)
spec.loader.exec_module(tei)

TOKEN = "a-bearer-token"


@pytest.fixture
def around_the_model(context, settings):
    """The real embedder of a run, and the commit it is pinned at."""
    plain = context(settings)
    embedder = SentenceTransformerEmbedder(plain.source("embedder"), plain.name_of("embedder"))
    return plain, embedder, plain.resolved.repos["embedder"].commit


@pytest.fixture
def by_servers(context, settings, monkeypatch, tmp_path):
    """A run told to embed by servers; its indexes are kept apart from those made in process."""
    monkeypatch.setenv("OUR_TEI", TOKEN)

    made = []

    def make(*servers, folder=None, **more):
        monkeypatch.setenv("SOLO_HUB_HOME", str(tmp_path / "served-home"))
        urls = [server.url for server in servers]
        options = {"urls": urls, "token_variable": "OUR_TEI", **more}
        settings["knowledge"] |= {"embedder": "tei", "embedder_options": options}
        made.append(context(settings, folder or tmp_path / f"served-{len(made)}"))
        return made[-1]

    yield make
    for run in made:
        run.shared(RunKnowledge).embedder.close()


def passages(run):
    return pipeline.find_passages(run, pipeline.load_questions(run))


def test_servers_find_what_the_model_finds(around_the_model, by_servers):
    """Two replicas that take eight texts and 3 kB at once: both work; 429, 500, 424 and broken lines are overcome."""
    plain, embedder, commit = around_the_model
    limits = {"token": TOKEN, "batch": 8, "payload": 3_000, "commit": commit}
    with tei.TeiServer(embedder, **limits) as first, tei.TeiServer(embedder, **limits) as second:
        for server in (first, second):
            for kind in (tei.OVERLOADED, tei.BROKEN, "dropped", tei.FAILED):
                server.trouble(kind)
        served = by_servers(first, second)
        found = passages(served)
        for server in (first, second):
            assert server.requests, "a replica had nothing to do"
            assert server.troubles == []
            assert max(map(len, server.requests)) <= 8
    expected = passages(plain)
    assert [[p.id for p in r.passages] for r in found] == [[p.id for p in r.passages] for r in expected]
    scores = [[p.score for r in some for p in r.passages] for some in (found, expected)]
    np.testing.assert_allclose(*scores, atol=1e-3)
    written = [path for path in served.run.path.rglob("*") if path.is_file()]
    assert written
    assert not any(TOKEN.encode() in path.read_bytes() for path in written)


def test_a_resumed_run_finds_its_servers_elsewhere(around_the_model, by_servers, monkeypatch, tmp_path):
    """Address, token variable and patience say where, not what: the same run goes on. Another commit is refused."""
    _, embedder, commit = around_the_model
    folder = tmp_path / "moved"
    with tei.TeiServer(embedder, token=TOKEN, commit=commit) as server:
        first = passages(by_servers(server, folder=folder))
    patience = {"attempts": 2, "timeout": 9.0, "concurrency": 1}
    monkeypatch.setenv("THEIR_TEI", TOKEN)
    with tei.TeiServer(embedder, token=TOKEN, commit=commit) as elsewhere:
        moved = by_servers(elsewhere, folder=folder, token_variable="THEIR_TEI", **patience)
        moved.run.file("passages").unlink()
        assert passages(moved) == first
        assert elsewhere.requests
        assert (
            moved.shared(RunKnowledge).embedder.concurrency,
            moved.shared(RunKnowledge).embedder._calls[0].attempts,
        ) == (1, 2)
        assert moved.shared(RunKnowledge).embedder._wires[0].seconds == 9.0
    with tei.TeiServer(embedder, token=TOKEN, commit="f" * 40) as other:
        wrong = by_servers(other, folder=folder)
        wrong.run.file("passages").unlink()
        with pytest.raises(ModelError, match=r"f{40}, not"):
            passages(wrong)


def test_a_server_of_another_commit_or_without_the_token_is_refused(around_the_model, by_servers, monkeypatch):
    _, embedder, commit = around_the_model
    with tei.TeiServer(embedder, token=TOKEN, commit="f" * 40) as other, pytest.raises(ModelError, match=r"f{40}, not"):
        passages(by_servers(other))
    monkeypatch.delenv("OUR_TEI")
    with tei.TeiServer(embedder, token=TOKEN, commit=commit) as locked, pytest.raises(ModelError, match="401"):
        passages(by_servers(locked))
