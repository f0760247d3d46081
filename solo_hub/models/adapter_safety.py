"""A stranger's adapter, looked at before peft acts on what it says.

peft does what `adapter_config.json` asks for: other adapters are fetched by name, patterns run over the names of all
modules, matrices are made of any rank, and some ways to begin an adapter take a part out of the base's own weights.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from solo_hub.core.parsing import parse_json

KINDS = frozenset(
    {"LORA", "ADALORA", "LOHA", "LOKR", "IA3", "OFT", "BOFT", "VERA", "FOURIERFT", "HRA", "LN_TUNING", "MISS"}
)
"""Kinds of adapters that are weights beside the base's modules, and nothing else."""
BEGINNINGS = ("pissa", "olora", "corda", "loftq")
"""Ways of `init_lora_weights` that leave the base itself another one, also with the adapter off."""
MOST_RANK = 1024  # where the weights have no larger one; those of the literature end at 512
SECONDS = 5.0  # for all patterns on all modules; an honest one takes milliseconds
_PATTERNS = ("target_modules", "exclude_modules", "modules_to_save", "feedforward_modules", "layers_pattern")
_BY_PATTERN = ("rank_pattern", "alpha_pattern")
_TRY = """
import contextlib, json, re, sys
patterns, names = json.load(sys.stdin)
for pattern in patterns:
    for form in ("(?:%s)$", r"(.*\\.)?(%s)$", r"(^|.*\\.)%s($|\\..*)"):
        with contextlib.suppress(re.error):
            for name in names:
                re.match(form % pattern, name)
"""


def check(folder: Path, modules: Sequence[str]) -> None:
    """See that an adapter asks for nothing but its own weights on the base's modules.

    Args:
        folder: Its folder.
        modules: Names of the base's modules.

    Raises:
        ValueError: It does; in a few words.
    """
    config = parse_json((folder / "adapter_config.json").read_bytes())
    if not isinstance(config, Mapping):
        raise ValueError("it is no list of settings")  # noqa: TRY004 - the file's fault, not the caller's
    kind = str(config.get("peft_type"))
    if kind not in KINDS:
        raise ValueError(f"adapters of the kind '{kind[:40]}' are not loaded, those are: {', '.join(sorted(KINDS))}")
    begun = config.get("init_lora_weights")
    if isinstance(begun, str) and begun.lower().startswith(BEGINNINGS):
        raise ValueError(
            f"init_lora_weights={begun[:40]} changes the base itself; "
            "save it as a plain LoRA adapter (peft's path_initial_model_for_weight_conversion)"
        )
    if kind == "LORA":
        _check_rank(config, folder / "adapter_model.safetensors")
    _check_patterns(config, modules)


def _check_rank(config: Mapping[str, Any], weights: Path) -> None:
    pattern = config.get("rank_pattern")
    ranks = [config.get("r"), *(pattern.values() if isinstance(pattern, Mapping) else ())]
    asked = max((rank for rank in ranks if isinstance(rank, int)), default=0)
    if asked <= MOST_RANK:
        return
    from safetensors import safe_open

    with safe_open(weights, framework="np") as file:
        shapes = [file.get_slice(name).get_shape() for name in file.keys() if ".lora_" in name]  # noqa: SIM118 - no mapping
    there = max((max(shape) for shape in shapes if shape), default=0)
    if asked > there:
        raise ValueError(f"it asks for rank {asked}, and the weights have none so large")


def _check_patterns(config: Mapping[str, Any], modules: Sequence[str]) -> None:
    """Try patterns in a process that can be ended: a few characters can take a regular expression years."""
    patterns = [pattern for pattern in _patterns(config) if any(sign in pattern for sign in "*+{?")]
    if not patterns:
        return
    given = json.dumps([patterns, list(modules)])
    try:
        # -I: nothing of the working folder is imported; a pattern that is none is told by peft
        subprocess.run(
            [sys.executable, "-I", "-S", "-c", _TRY],
            input=given.encode(),
            capture_output=True,
            timeout=SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise ValueError(f"a pattern of modules takes longer than {SECONDS:g} s to match") from None


def _patterns(config: Mapping[str, Any]) -> Iterator[str]:
    for name in _PATTERNS:
        value = config.get(name)
        yield from (item for item in (value if isinstance(value, list) else [value]) if isinstance(item, str))
    for name in _BY_PATTERN:
        value = config.get(name)
        yield from value if isinstance(value, Mapping) else ()
