"""Safety checks of untrusted adapters, before peft loads them.

peft follows `adapter_config.json`: it fetches other adapters by name, matches patterns against all module names,
creates matrices of any rank, and some initialisations change the base's own weights.
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
"""Adapter types that only add weights to the base's modules."""
BASE_CHANGING_INITS = ("pissa", "olora", "corda", "loftq")
"""Values of `init_lora_weights` that change the base weights, even with the adapter off."""
MOST_RANK = 1024  # unless the weights have a larger one; published adapters use at most 512
SECONDS = 5.0  # for all patterns on all modules; normally milliseconds
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
    """Check that an adapter only adds weights to the base's modules.

    Args:
        folder: Its folder.
        modules: Names of the base's modules.

    Raises:
        ValueError: It does not; with the reason in a few words.
    """
    config = parse_json((folder / "adapter_config.json").read_bytes())
    if not isinstance(config, Mapping):
        raise ValueError("it is not a JSON object")  # noqa: TRY004 - the file's fault, not the caller's
    kind = str(config.get("peft_type"))
    if kind not in KINDS:
        raise ValueError(f"adapters of type '{kind[:40]}' are not supported; use: {', '.join(sorted(KINDS))}")
    init = config.get("init_lora_weights")
    if isinstance(init, str) and init.lower().startswith(BASE_CHANGING_INITS):
        raise ValueError(
            f"init_lora_weights={init[:40]} changes the base weights; "
            "save it as a plain LoRA adapter (peft's path_initial_model_for_weight_conversion)"
        )
    if kind == "LORA":
        _check_rank(config, folder / "adapter_model.safetensors")
    _check_patterns(config, modules)


def _check_rank(config: Mapping[str, Any], weights: Path) -> None:
    pattern = config.get("rank_pattern")
    ranks = [config.get("r"), *(pattern.values() if isinstance(pattern, Mapping) else ())]
    configured = max((rank for rank in ranks if isinstance(rank, int)), default=0)
    if configured <= MOST_RANK:
        return
    from safetensors import safe_open

    with safe_open(weights, framework="np") as file:
        shapes = [file.get_slice(name).get_shape() for name in file.keys() if ".lora_" in name]  # noqa: SIM118 - no mapping
    largest = max((max(shape) for shape in shapes if shape), default=0)
    if configured > largest:
        raise ValueError(f"its rank is {configured}, but the weights are smaller ({largest})")


def _check_patterns(config: Mapping[str, Any], modules: Sequence[str]) -> None:
    """Try patterns in a process that can be killed: short regular expressions can run for years."""
    patterns = [pattern for pattern in _patterns(config) if any(sign in pattern for sign in "*+{?")]
    if not patterns:
        return
    data = json.dumps([patterns, list(modules)])
    try:
        # -I: nothing in the working folder is imported; peft reports invalid patterns
        subprocess.run(
            [sys.executable, "-I", "-S", "-c", _TRY],
            input=data.encode(),
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
