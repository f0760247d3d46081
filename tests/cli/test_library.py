"""What `import solo_hub` offers: loaded when it is used, settings as the command line takes them."""

from __future__ import annotations

import subprocess
import sys

import pytest
import yaml

import solo_hub
from solo_hub.cli.library import _with_settings
from solo_hub.core.config import read_preset
from solo_hub.core.errors import ConfigError, RunError, UsageError


def test_importing_it_loads_nothing():
    """None of its own modules, no library; and it takes less than 0.1 s, the best of five imports."""
    script = """
import sys, time
before, seconds = set(sys.modules), []
for _ in range(5):
    sys.modules.pop("solo_hub", None)
    started = time.perf_counter()
    import solo_hub
    seconds.append(time.perf_counter() - started)
print(min(seconds), *set(sys.modules) - before)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    seconds, *loaded = done.stdout.split()
    assert {name for name in loaded if name.partition(".")[0] not in sys.stdlib_module_names} == {"solo_hub"}
    assert float(seconds) < 0.1


def test_what_it_offers():
    assert set(solo_hub.__all__) <= set(dir(solo_hub))
    for name in solo_hub.__all__:
        assert getattr(solo_hub, name).__doc__
    with pytest.raises(AttributeError, match="distil'"):
        solo_hub.distil  # noqa: B018


def test_settings_are_given_as_on_the_command_line(tmp_path):
    file = tmp_path / "my.yaml"
    file.write_text(yaml.safe_dump({"name": "mine", "student": {"epochs": 2, "rank": 4}}))
    changes = {"knowledge": tmp_path, "namespace": "me", "student": {"epochs": 5}, "seed": 3}
    read = _with_settings(file, None, changes)
    assert (read.student.epochs, read.student.rank, read.seed) == (5, 4, 3)
    assert (read.knowledge.source, read.publish.namespace) == (str(tmp_path), "me")
    given = {"name": "mine", "student": {"epochs": 2, "rank": 4}}
    assert _with_settings(given, None, changes) == read == _with_settings(solo_hub.Config(**given), None, changes)
    assert given["student"] == {"epochs": 2, "rank": 4}  # what the caller holds stays as it is
    assert _with_settings("demo", None, {}).name == read_preset("demo")["name"]


@pytest.mark.parametrize(
    ("changes", "kind", "said"),
    [
        ({"studnet": {"epochs": 5}}, UsageError, "Did you mean 'student'"),
        ({"student": {"epoch": 5}}, ConfigError, "student.epoch'.*epochs"),
        ({"seed": "none"}, ConfigError, "seed"),
        ({"base": 5}, ConfigError, "base"),
    ],
)
def test_wrong_settings_are_one_sentence(changes, kind, said):
    with pytest.raises(kind, match=said):
        solo_hub.distill({}, **changes)


def test_a_folder_that_is_no_run(tmp_path):
    with pytest.raises(RunError, match="not a run folder"):
        solo_hub.load_run(tmp_path)
    assert list(tmp_path.iterdir()) == []
