"""What the engines behind servers are asked."""

from __future__ import annotations

from solo_hub.core.plugins import Prompt

PROMPTS = [Prompt(f"Question: What makes river {i} rise?\nAnswer:") for i in range(5)]
OPTIONS = [[" melting snow", " the bear", " fog"]] * 4 + [[" rain"]]
