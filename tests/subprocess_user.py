"""Somebody who has never heard of solo-hub: `datasets`, `transformers`, `peft`, and the code that the cards print.

Runs both cards' code exactly as printed, in a process that cannot import solo_hub, and asks the printed `choose` all
held-out questions.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ASK = """
import json, sys
torch.set_num_threads(int(sys.argv[2]))
chosen = [choose(row["text"], row["options"])[0] for row in json.load(open(sys.argv[1]))]
foreign = sorted(name for name in sys.modules if name.split(".")[0] == "solo_hub")
print(json.dumps({"chosen": chosen, "kept": len(kept), "all": len(everything), "foreign": foreign}))
"""
BLOCK = """
import sys
sys.modules["solo_hub"] = None  # an import of it fails
"""


def code_of(card: Path) -> str:
    """All Python of a card, as printed."""
    blocks = re.findall(r"```python\n(.*?)```", card.read_text("utf-8"), re.DOTALL)
    assert blocks
    return "\n".join(blocks)


def try_cards(
    python: Path | str, cards: Sequence[Path], questions: Sequence[Any], endpoint: str, token: str, place: Path
) -> dict[str, Any]:
    """Run the cards' code and the held-out questions.

    Args:
        python: An interpreter with the three libraries.
        cards: The dataset's card and the adapter's.
        questions: Rows with `text` and `options`.
        endpoint: The Hub.
        token: A token that may read there; empty for none.
        place: An empty folder.

    Returns:
        `{chosen, kept, all, foreign}`, the texts of the chosen options first.
    """
    place.mkdir(parents=True, exist_ok=True)
    (place / "questions.json").write_text(json.dumps(list(questions)), "utf-8")
    (place / "card.py").write_text(BLOCK + "\n".join(map(code_of, cards)) + ASK, "utf-8")
    environment = {
        "PATH": "/usr/bin:/bin", "HOME": str(place), "HF_HOME": str(place / "hf"), "HF_ENDPOINT": endpoint,
        "HF_TOKEN": token, "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1")}  # fmt: skip
    line = [str(python), "-W", "ignore", "card.py", "questions.json", environment["OMP_NUM_THREADS"]]
    done = subprocess.run(
        line, cwd=place, env={name: value for name, value in environment.items() if value}, capture_output=True,
        text=True, check=False)  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found
