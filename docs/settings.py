"""Write docs/settings.md from the code: `python docs/settings.py`. A test fails while the page is out of date."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic.fields import FieldInfo

from solo_hub.core.config import Config
from solo_hub.core.settings import Section

PAGE = Path(__file__).with_name("settings.md")
HEAD = """# Settings

Every setting with its default. Set them in a configuration file, by section, or on the command line by `--set
SECTION.NAME=VALUE`. `solo-hub distill --help` prints the same list. Fractions are 0..1; `-` means empty.

This page is made by `python docs/settings.py`.
"""


def page() -> str:
    """The whole page."""
    fields = Config.model_fields
    plain = {name: field for name, field in fields.items() if not isinstance(field.default, Section)}
    lines = [HEAD, "## The run", "", *_table("", plain)]
    for name, field in fields.items():
        if isinstance(field.default, Section):
            about = " ".join((type(field.default).__doc__ or "").split())
            lines += ["", f"## {name}", "", about, "", *_table(f"{name}.", type(field.default).model_fields)]
    return "\n".join(lines) + "\n"


def _table(prefix: str, fields: dict[str, FieldInfo]) -> Iterator[str]:
    yield "| setting | default | meaning |"
    yield "|---|---|---|"
    for name, field in fields.items():
        meaning = " ".join((field.description or "").split()).replace("|", "\\|")
        yield f"| `{prefix}{name}` | {_default(field.get_default(call_default_factory=True))} | {meaning} |"


def _default(value: Any) -> str:
    """As it is written in YAML."""
    if value is None or value in ((), {}):
        return "-"
    return f"`{value}`" if isinstance(value, str) else f"`{json.dumps(value)}`"


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
