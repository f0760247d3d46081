"""Read by every Python process the tests start, through PYTHONPATH: the guard holds there too."""

import guard

guard.install()
