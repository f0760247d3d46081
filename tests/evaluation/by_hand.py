"""A small evaluation worked by hand: six questions, three arms."""

from __future__ import annotations

from solo_hub.core.records import Prediction

OPTIONS = ("rain", "snow", "sun", "wind")
RIGHT = (0, 1, 2, 3, 0, 1)
CHOSEN = {
    "base": (0, 0, 0, 0, 0, 0),  # 2 of 6 right: questions 0 and 4
    "teacher": (0, 1, 2, 3, 1, 0),  # 4 of 6: 0, 1, 2, 3
    "student": (0, 1, 2, 0, 0, 2),  # 4 of 6: 0, 1, 2, 4
}


def prediction(arm: str, number: int, option: int | None, text: str | None = None) -> Prediction:
    written = text if text is not None else ("" if option is None else OPTIONS[option])
    passages = ("p1", "p2") if arm == "teacher" else ()
    return Prediction(f"q{number}", arm, option, None, written, passages, 0.1 * (number + 1))
