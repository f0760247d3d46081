"""Plugins: found by name, listed with their problems, ours registered like a stranger's."""

from __future__ import annotations

from importlib import metadata

import pytest
from tiny import FakeEngine

from solo_hub.core import plugins
from solo_hub.core.errors import ConfigError, DependencyError
from solo_hub.core.plugins import Engine, Task, find, listings


@pytest.fixture
def registered(monkeypatch):
    """Register entry points as an installed package would."""
    points = []

    def register(group, name, value):
        points.append(metadata.EntryPoint(name=name, value=value, group=f"solo_hub.{group}"))

    real = metadata.entry_points
    monkeypatch.setattr(plugins, "_entry_points", plugins._entry_points.__wrapped__)  # nothing of before is known
    monkeypatch.setattr(
        plugins.metadata,
        "entry_points",
        lambda *, group: [*real(group=group), *(point for point in points if point.group == group)],
    )
    return register


def test_ours_are_found_by_name():
    for name in ("qasc", "multiple_choice", "open_qa"):
        assert isinstance(find("tasks", name)({}), Task)


def test_the_fake_engine_of_these_tests_is_an_engine():
    assert isinstance(FakeEngine(), Engine)


def test_an_unknown_name_names_the_nearest():
    with pytest.raises(ConfigError, match=r"There is no task 'qasq'\.") as caught:
        find("tasks", "qasq")
    assert caught.value.hint.startswith("Did you mean 'qasc'? Known: ")


def test_a_strangers_plugin_is_found_and_listed(registered):
    registered("tasks", "mine", "solo_hub.tasks.open_qa:OpenQA")
    assert find("tasks", "mine").__name__ == "OpenQA"
    assert "mine" in {row.name for row in listings() if row.group == "tasks"}


def test_a_missing_package_is_named(registered):
    registered("engines", "needy", "no_such_package.module:Engine")
    with pytest.raises(DependencyError, match="The engine 'needy' needs the package 'no_such_package'"):
        find("engines", "needy")


def test_a_broken_plugin_is_listed_with_its_problem(registered):
    registered("engines", "needy", "no_such_package.module:Engine")
    registered("engines", "hollow", "solo_hub.core.errors:NoSuchThing")
    problems = {row.name: row.problem for row in listings() if row.group == "engines"}
    assert problems["needy"].startswith("ModuleNotFoundError")
    assert problems["hollow"].startswith("AttributeError")
    with pytest.raises(ConfigError, match="The engine 'hollow' cannot be used"):
        find("engines", "hollow")


def test_every_plugin_of_ours_loads():
    assert [(row.group, row.name, row.problem) for row in listings() if row.problem] == []
    assert {row.origin for row in listings()} == {"solo-hub"}
