"""Where the card templates are: the top-level `cards/` of a source tree, `solo_hub/_cards` of an installed package."""

from __future__ import annotations

from pathlib import Path

from solo_hub.core.errors import RunError
from solo_hub.core.paths import PACKAGE


def cards_folder() -> Path:
    """Folder with `dataset.md.jinja` and `adapter.md.jinja`.

    Raises:
        RunError: It is in neither place: the installation is damaged.
    """
    for folder in (PACKAGE / "_cards", PACKAGE.parent / "cards"):
        if (folder / "dataset.md.jinja").is_file():
            return folder
    raise RunError("The card templates are missing from this installation.", hint="Install solo-hub again.")
