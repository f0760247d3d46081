"""What two runs must agree in, however they were disturbed; and the configurations that such runs begin with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml
from small_hub import rows

EXACT = ("1-questions.jsonl", "2-passages.jsonl", "3-labels.jsonl", "4-selected.jsonl", "4-dropped.jsonl")
"""Files whose bytes may not depend on what happened on the way."""
MEASURED = {"created", "cost", "peak_memory_bytes"}
"""Keys of the report whose values depend on the machine, as do those that name seconds."""


def write_config(path: Path, settings: dict[str, Any], **publish: Any) -> Path:
    """Write settings where a command reads them, with other names to publish under."""
    changed = {**settings, "publish": {**settings.get("publish", {}), **publish}}
    path.write_text(yaml.safe_dump(changed), "utf-8")
    return path


def outcome(run: Path) -> dict[str, Any]:
    """All of a finished run that must not depend on how it was interrupted."""
    return {
        **{name: (run / name).read_bytes() for name in EXACT},
        "predictions": [timeless(row) for row in rows(run / "6-predictions.jsonl")],
        "report": timeless(json.loads((run / "6-report.json").read_text("utf-8"))),
    }


def timeless(value: Any) -> Any:
    """Without the keys that hold what a clock, or the machine, said."""
    if isinstance(value, dict):
        return {key: timeless(item) for key, item in value.items() if key not in MEASURED and "second" not in key}
    return [timeless(item) for item in value] if isinstance(value, list) else value


def differences(a: Any, b: Any, place: str = "") -> list[str]:
    """Where two documents differ."""
    if isinstance(a, dict) and isinstance(b, dict):
        keys = [*a, *(key for key in b if key not in a)]
        return [found for key in keys for found in differences(a.get(key), b.get(key), f"{place}.{key}")]
    if isinstance(a, list) and isinstance(b, list) and len(a) == len(b):
        pairs = enumerate(zip(a, b, strict=True))
        return [found for i, pair in pairs for found in differences(*pair, f"{place}[{i}]")]
    return [] if a == b else [f"{place}: {str(a)[:120]} | {str(b)[:120]}"]
