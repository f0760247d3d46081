"""The static scanner finds nothing that has not been looked at; ruff has all of its rules but B615."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2] / "solo_hub"
ACCEPTED = {
    ("B701", "hub/seeds/world/world.py"): "Markdown of our own words, not HTML",
    ("B701", "evaluation/harness.py"): "YAML of our own, not HTML",
    ("B701", "models/prompts/__init__.py"): "prompts are plain text; the templates are ours, data are values in them",
    ("B701", "publishing/cards.py"): "Markdown: a filter of ours escapes every value",
    ("B704", "evaluation/report/page.py"): "our own files, and text that was escaped before",
    ("B704", "evaluation/report/plots.py"): "numbers of ours; names are escaped",
    ("B704", "evaluation/statistics/side_by_side.py"): "our own style sheet",
    ("B506", "hub/server/cards.py"): "its loader is a SafeLoader",
    ("B506", "core/parsing.py"): "its loader is a SafeLoader",
    ("B608", "hub/server/repos.py"): "column names from a list of ours; values are bound",
    ("B608", "hub/server/routes/listing.py"): "column names from a list of ours; values are bound",
    ("B104", "hub/server/server.py"): "compares with that address in order to avoid it",
    ("B615", "models/loading.py"): "a local folder, downloaded at a commit by the client",
    ("B615", "checks/verification.py"): "a local folder, downloaded at a commit by the client",
}
"""(rule, file) -> why it is right; of medium severity and above."""


@pytest.mark.soak  # `make lint` does nearly the same
def test_nothing_new_is_found():
    pytest.importorskip("bandit", reason="bandit is not installed")
    from bandit.core import config, manager

    scan = manager.BanditManager(config.BanditConfig(), "file")
    scan.discover_files([str(ROOT)], recursive=True)
    assert len(scan.files_list) > 100
    scan.run_tests()
    found = Counter(
        (issue.test_id, Path(issue.fname).relative_to(ROOT).as_posix())
        for issue in scan.get_issue_list(sev_level="MEDIUM", conf_level="LOW")
    )
    assert {place: number for place, number in found.items() if place not in ACCEPTED} == {}
    assert [place for place in ACCEPTED if place not in found] == [], "no longer found: take it off the list"
