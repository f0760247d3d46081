"""A run whose teacher is behind a server that fails now and then: the same labels, or one sentence and resumed."""

from __future__ import annotations

import counters
import pytest
from noise import LIBRARIES_WARN
from openai_server import OpenAIServer
from tiny import load_engine

from solo_hub import pipeline
from solo_hub.core.errors import SoloHubError
from solo_hub.models.calls import Calls

pytestmark = LIBRARIES_WARN
TROUBLES = (
    (429, "slow down", ("retry-after", "0.01")),
    (500, "an error"),
    (502, "bad gateway"),
    (503, "starting", ("retry-after", "0.01")),
    "dropped",
    "reset",
    "truncated",
    "corrupted",
    "page",
    (424, "inference failed"),
    (408, "too slow"),
    "slow",
)
"""Answers that are refused, broken off, no JSON, or do not come."""


def served(settings, server, **engine):
    return {
        **settings,
        "teacher": {**settings["teacher"], "style": "text", "calibrate": False},
        "engine": {"name": "openai", "url": server.url, **engine},
    }


def label(made):
    questions = pipeline.load_questions(made)
    pipeline.label(made, questions, pipeline.find_passages(made, questions))
    return made.run.file("labels").read_bytes()


@pytest.fixture
def server(tiny_model, monkeypatch):
    monkeypatch.setitem(Calls.__init__.__kwdefaults__, "pause", 0.01)
    with OpenAIServer(load_engine(tiny_model)) as made:
        yield made


def test_troubles_that_pass_change_nothing(context, settings, server, tmp_path):
    """One request in three meets a trouble, the teacher's of the evaluation too; what fails is asked again."""
    undisturbed = context(served(settings, server), tmp_path / "undisturbed")
    pipeline.distill(undisturbed)
    asked = len(server.bodies)
    passing = [kind for kind in TROUBLES if kind != "page"]
    server.troubles = [kind for number in range(asked // 3) for kind in (passing[number % len(passing)], None, None)]
    met = sum(kind is not None for kind in server.troubles)
    troubled = context(served(settings, server), tmp_path / "troubled")
    pipeline.distill(troubled)
    assert met >= len(passing)
    assert server.troubles == []
    counters.count("faults", met)
    for name in ("labels", "selected"):
        assert troubled.run.file(name).read_bytes() == undisturbed.run.file(name).read_bytes()


def stopped_and_resumed(context, settings, server, folder, undisturbed, index, kind):
    """A run that tries nothing twice meets one trouble; without it the same run goes on to the same labels."""
    server.troubles = [None] * index + [kind]
    said = None
    try:
        label(context(served(settings, server, attempts=1), folder))
    except SoloHubError as error:
        said = str(error)
    assert said is None or len(said) < 300
    counters.count("faults", not server.troubles)
    server.troubles = []
    assert label(context(served(settings, server, attempts=1), folder)) == undisturbed, (index, kind)
    return said


@pytest.mark.parametrize("kind", ["page", pytest.param((500, "an error"), marks=pytest.mark.soak), "dropped"])
def test_a_trouble_that_stays_stops_and_the_same_run_goes_on(context, settings, server, tmp_path, kind):
    undisturbed = label(context(served(settings, server), tmp_path / "undisturbed"))
    assert stopped_and_resumed(context, settings, server, tmp_path / "run", undisturbed, 9, kind)


@pytest.mark.soak
@pytest.mark.timeout(0)
def test_every_request_to_the_server_meets_a_trouble(context, settings, server, tmp_path):
    undisturbed = label(context(served(settings, server), tmp_path / "undisturbed"))
    asked = len(server.bodies)
    for index in range(asked):
        kind = TROUBLES[index % len(TROUBLES)]
        stopped_and_resumed(context, settings, server, tmp_path / str(index), undisturbed, index, kind)
