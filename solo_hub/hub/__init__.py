"""The Hub client: pull at a commit, push in one commit, read tables, seed and start the embedded Hub.

Importing this package does not access the network or import huggingface_hub.
"""

from solo_hub.core.paths import cache_folder, home
from solo_hub.hub.client import HubClient
from solo_hub.hub.connection import Connection
from solo_hub.hub.opening import open_hub
from solo_hub.hub.repos import Pinned, Pushed, RepoType

__all__ = ["Connection", "HubClient", "Pinned", "Pushed", "RepoType", "cache_folder", "home", "open_hub"]
