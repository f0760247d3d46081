"""The methods that benchmarks/selection.py compares: selector and its options, by the name in the table.

The option `counts` names the method whose number of kept samples is taken over, step by step.
"""

from __future__ import annotations

import re
from typing import Any

from solo_hub.selection.cckd_l import CckdL
from solo_hub.selection.cckd_t_reg import CckdTReg
from solo_hub.selection.confidence import Confidence
from solo_hub.selection.entropy_score import EntropyScore
from solo_hub.selection.freematch import FreeMatch
from solo_hub.selection.llkd import Llkd, LlkdW
from solo_hub.selection.no_ds import NoDs
from solo_hub.selection.random_step import RandomStep
from solo_hub.selection.softmatch import SoftMatch
from solo_hub.selection.unixkd import UnixKd

DEFAULT = 0.5  # momentum, as `LLKD` without options has it

FASTER = (0.5, 0.9, 0.99)  # momenta that move within a training of a few hundred steps, as 0.999 does not

METHODS: dict[str, tuple[Any, dict[str, Any]]] = {
    "LLKD": (Llkd, {}),
    "LLKD_w": (LlkdW, {}),
    "No_DS": (NoDs, {}),
    "Random (LLKD's count)": (RandomStep, {"counts": "LLKD"}),
    "FreeMatch": (FreeMatch, {}),
    "SoftMatch": (SoftMatch, {}),
    "CCKD_L": (CckdL, {}),
    "CCKD_T+Reg": (CckdTReg, {}),
    "Entropy Score": (EntropyScore, {"share": 0.5}),
    "Confidence": (Confidence, {"share": 0.5}),
    "UNIXKD": (UnixKd, {"share": 0.5}),
}
READINGS: dict[str, tuple[Any, dict[str, Any]]] = {
    "LLKD": (Llkd, {}),
    "Random (LLKD's count)": (RandomStep, {"counts": "LLKD"}),
    "No_DS": (NoDs, {}),
    "Entropy Score": (EntropyScore, {"share": 0.5}),
    **{
        f"LLKD m={momentum:g} {'per class' if per_class else 'global'}": (
            Llkd,
            {"momentum": momentum, "per_class": per_class},
        )
        for per_class in (False, True)
        for momentum in (0.0, 0.5, 0.9, 0.99)
        if per_class or momentum != DEFAULT
    },
    "LLKD m=0.9 per class start 1/C": (
        Llkd,
        {"momentum": 0.9, "per_class": True, "start_confidence": "uniform", "start_uncertainty": "uniform"},
    ),
    "LLKD / batch": (Llkd, {"normalise": "batch"}),
    "LLKD_w": (LlkdW, {}),
    "LLKD_w weighted mean": (LlkdW, {"normalise": "weight"}),
    "LLKD_w sum": (LlkdW, {"weight": "sum"}),
    "LLKD 4 x epochs": (Llkd, {"longer": 4}),
    **{f"FreeMatch m={momentum:g}": (FreeMatch, {"momentum": momentum}) for momentum in FASTER},
    **{f"SoftMatch m={momentum:g}": (SoftMatch, {"momentum": momentum}) for momentum in FASTER},
}
"""LLKD as its settings allow it to be read (`longer` multiplies the epochs), and two baselines that follow faster."""


def named(name: str) -> tuple[Any, dict[str, Any]] | None:
    """A method or a reading by its name; None where there is none."""
    of = re.fullmatch(r"Random \(count of (.+)\)", name)
    return (RandomStep, {"counts": of[1]}) if of else {**READINGS, **METHODS}.get(name)
