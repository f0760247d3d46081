"""A plugin whose package forgot to say what it needs."""

import a_package_nobody_has  # noqa: F401


class Needy:
    """Never made."""
