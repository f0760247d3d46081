"""Tokens and folders that several tests of the door use."""

from __future__ import annotations

from pathlib import Path

WRITE, READ, OTHER = "hf_" + "w" * 30, "hf_" + "r" * 30, "hf_" + "o" * 30
CARD = "---\nlicense: mit\n---\n# Card\n"


def fill(folder: Path, files: dict[str, str | bytes]) -> Path:
    """Write files into a folder, making it."""
    for path, content in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder
