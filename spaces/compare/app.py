"""The Space that compares base, teacher and student: wiring only, the logic lives in `solo_hub.comparison`."""

from __future__ import annotations

import os

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # nothing but the Hub is contacted
