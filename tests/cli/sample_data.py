"""An invented town: tokens of the Hub of these tests, questions and facts."""

from __future__ import annotations

WRITE, READ, OTHER = "hf_clitestWRITEtoken", "hf_clitestREADtoken", "hf_clitestOTHERtoken"
ROWS = [
    {"id": f"{split}{i}", "question": f"What does the {thing} {split}?", "options": ["noon", "rain"], "answer": 0}
    for split in ("show", "tell")
    for i, thing in enumerate(("clock", "bell", "flag", "lamp"))
]  # fmt: skip
FACTS = [
    {"id": f"f{i}", "text": f"The {thing} of Orlo shows noon."} for i, thing in enumerate(("clock", "bell", "flag"))
]
