"""Loads a base model from a local snapshot, with clear errors for missing or invalid files."""

from __future__ import annotations

import contextlib
import importlib.util
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from solo_hub.core import launch
from solo_hub.core.errors import ConfigError, DependencyError, ModelError, SoloHubError
from solo_hub.core.plugins import Prompt
from solo_hub.core.redaction import first_line_scrubbed
from solo_hub.core.system import share_cores

NF4 = "nf4"
"""4-bit NormalFloat weights (arXiv 2305.14314)."""
_ONE_AT_A_TIME = threading.Lock()
"""transformers changes its model class while it loads: two threads at once (a Space) would leave it changed, and the
heads of models loaded afterwards would not be tied to their embeddings."""


@contextlib.contextmanager
def _blamed_on_files(problem: str, hint: str) -> Iterator[None]:
    """Attribute what the libraries raise to the model's files: an invalid one can make them raise anything."""
    try:
        yield
    except (MemoryError, SoloHubError):
        raise
    except Exception as error:
        raise ModelError(f"The base model {problem}: {first_line_scrubbed(error).rstrip('.')}.", hint=hint) from error


def load_tokenizer(path: Path, identity: str, *, trust_remote_code: bool = False) -> Any:
    """Load the tokenizer.

    Raises:
        ModelError: There is none.
    """
    from transformers import AutoTokenizer

    with _blamed_on_files(
        f"{identity} has no tokenizer that transformers can load",
        "Choose a base model repo with tokenizer files, e.g. HuggingFaceTB/SmolLM2-135M-Instruct.",
    ):
        return AutoTokenizer.from_pretrained(path, trust_remote_code=trust_remote_code)


def load_model(path: Path, identity: str, dtype: Any, *, trust_remote_code: bool = False) -> Any:
    """Load the weights.

    Raises:
        ModelError: The weights are missing, not safetensors or corrupt, or not a complete causal language model.
    """
    from transformers import AutoModelForCausalLM

    _check_format(path, identity)
    with (
        _ONE_AT_A_TIME,
        _blamed_on_files(
            f"{identity} cannot be loaded as a causal language model",
            "Check the repo's config.json and weights, or choose another base.",
        ),
    ):
        model, info = AutoModelForCausalLM.from_pretrained(
            path, dtype=dtype, trust_remote_code=trust_remote_code, use_safetensors=True, output_loading_info=True
        )
    _check_whole(info, identity)
    return model


def load_classifier(
    path: Path, identity: str, dtype: Any, classes: Sequence[str], *, seed: int, trust_remote_code: bool = False
) -> Any:
    """Load an encoder with a new head of one output per class.

    Raises:
        ModelError: There are no safetensors weights, the model does not support a classification head, or its weights
            do not match its configuration.
    """
    import torch
    from transformers import AutoModelForSequenceClassification

    _check_format(path, identity)
    with (
        _ONE_AT_A_TIME,
        _blamed_on_files(
            f"{identity} cannot be loaded as a classifier",
            "Choose an encoder, e.g. sentence-transformers/all-MiniLM-L6-v2.",
        ),
        torch.random.fork_rng(devices=[]),
    ):
        torch.manual_seed(seed)
        model, info = AutoModelForSequenceClassification.from_pretrained(
            path,
            dtype=dtype,
            num_labels=len(classes),
            id2label=dict(enumerate(classes)),
            label2id={name: number for number, name in enumerate(classes)},
            trust_remote_code=trust_remote_code,
            use_safetensors=True,
            ignore_mismatched_sizes=True,  # a head for other classes is replaced
            output_loading_info=True,
        )
    _check_encoder(info, f"{model.base_model_prefix}.", identity)
    return model


def load_quantised(path: Path, identity: str, dtype: Any, device: str, *, trust_remote_code: bool = False) -> Any:
    """Load the weights in 4 bits (NF4 with double quantization), computing in `dtype`.

    QLoRA, Dettmers et al. 2023, arXiv 2305.14314.

    Raises:
        DependencyError: bitsandbytes is not installed.
        ModelError: It is not supported for this model, or on this machine.
    """
    check_quantising()
    _check_format(path, identity)
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    quantised = BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True, bnb_4bit_compute_dtype=dtype
    )
    with (
        _ONE_AT_A_TIME,
        _blamed_on_files(
            f"{identity} cannot be loaded in 4 bits here",
            "Set engine.dtype=auto and student.adapter=lora.",
        ),
    ):
        model, info = AutoModelForCausalLM.from_pretrained(
            path,
            dtype=dtype,
            quantization_config=quantised,
            device_map={"": device},
            trust_remote_code=trust_remote_code,
            use_safetensors=True,
            output_loading_info=True,
        )
    _check_whole(info, identity)
    return model


def check_quantising() -> None:
    """Check that 4-bit quantization is available.

    Raises:
        DependencyError: bitsandbytes is not installed.
    """
    if importlib.util.find_spec("bitsandbytes") is None:
        raise DependencyError("bitsandbytes", extra="qlora", purpose="A base in 4 bits")


def quantisation(config: Any) -> str | None:
    """A model's quantization method according to its configuration, or None."""
    settings = getattr(config, "quantization_config", None)
    if settings is None:
        return None
    row = settings if isinstance(settings, dict) else settings.to_dict()
    if row.get("load_in_4bit") and row.get("bnb_4bit_quant_type") == NF4:
        return NF4
    method = row.get("quant_method") or "quantised"
    return str(getattr(method, "value", method))


def context_length(path: Path, identity: str, *, trust_remote_code: bool = False) -> int:
    """Maximum length of prompt plus answer, in tokens, from a snapshot's configuration; no weights are read.

    Raises:
        ModelError: The configuration cannot be read.
    """
    from transformers import AutoConfig

    with _blamed_on_files(
        f"{identity} has no configuration that transformers can read",
        "Check the repo's config.json, or choose another base.",
    ):
        # if not told, transformers would prompt for permission to run the repo's code
        config = AutoConfig.from_pretrained(path, trust_remote_code=trust_remote_code)
        return int(getattr(config.get_text_config(), "max_position_embeddings", 2048))


def encode(
    tokenizer: Any, identity: str, prompt: Prompt, continuations: Sequence[str]
) -> tuple[tuple[int, ...], list[tuple[int, ...]]]:
    """Tokenise a prompt and its continuations.

    Prompt and continuation are tokenised together and split where the prompt's own tokens end, so that the model sees
    the tokens of contiguous text (a SentencePiece tokenizer would otherwise add an extra space).

    Returns:
        The prompt's token ids and one tuple of ids per continuation, never empty.
    """
    texts = [prompt.text, *(prompt.text + continuation for continuation in continuations)]
    encoded = tokenizer(texts, add_special_tokens=prompt.special_tokens)["input_ids"]
    head = tuple(encoded[0])
    branches = []
    for ids, continuation in zip(encoded[1:], continuations, strict=True):
        whole = tuple(ids)
        if whole[: len(head)] == head and len(whole) > len(head):
            branches.append(whole[len(head) :])
        else:  # the tokenizer merged across the boundary: tokenise the continuation separately
            alone = tuple(tokenizer(continuation, add_special_tokens=False)["input_ids"])
            if not alone:
                raise ModelError(
                    f"The answer {continuation!r} has no tokens for {identity}.",
                    hint="Remove empty options from the questions.",
                )
            branches.append(alone)
    return head, branches


def window(config: Any) -> int | None:
    """The smallest attention window of the layers, in tokens; None if all attend to everything."""
    layers = getattr(config, "layer_types", None)
    if layers is not None and not any("sliding" in kind or "chunked" in kind for kind in layers):
        return None
    sliding = getattr(config, "sliding_window", None) if getattr(config, "use_sliding_window", True) else None
    sizes = [size for size in (sliding, getattr(config, "attention_chunk_size", None)) if size]
    return min(sizes, default=None)


def import_torch() -> Any:
    """Import PyTorch, checking that transformers is installed too."""
    try:
        if "torch" not in sys.modules:
            share_cores()
        import torch
        import transformers  # noqa: F401
    except ImportError as error:
        raise DependencyError("torch", extra="train", purpose="Running a model in this process") from error
    return torch


def find_device(name: str) -> str:
    """The device by name; `auto` selects the fastest available, and each process of a launcher has its own GPU.

    Raises:
        ConfigError: A GPU other than the first is named, where the trainer would not find the model.
    """
    torch = import_torch()
    local = launch.local_rank()
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    if name == "cuda" and local is not None:
        return f"cuda:{local}"
    if name.startswith("cuda:") and name != f"cuda:{local or 0}":
        raise ConfigError(
            f"engine.device={name} is not supported: a process uses the first GPU it sees.",
            hint=f"Set engine.device=cuda, and CUDA_VISIBLE_DEVICES={name.removeprefix('cuda:')} in the environment.",
        )
    return name


def find_dtype(name: str, device: str) -> Any:
    """The compute dtype by name; `auto` and `nf4` select bfloat16 if the device supports it, else float32."""
    torch = import_torch()
    if name not in ("auto", NF4):
        return getattr(torch, name)
    if device == "cpu":
        # without AMX or AVX512-BF16 a CPU emulates bfloat16, slower than float32
        fast = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()  # noqa: SLF001 - no public API
        return torch.bfloat16 if fast else torch.float32
    return torch.bfloat16


def find_precision(name: str, device: str) -> str:
    """The name of a precision, with `auto` resolved."""
    return NF4 if name == NF4 else str(find_dtype(name, device)).removeprefix("torch.")


def _check_format(path: Path, identity: str) -> None:
    if not list(path.glob("*.safetensors")):
        raise ModelError(
            f"The base model {identity} has no safetensors weights.",
            hint="Other formats can run code when loaded; choose a repo with *.safetensors files.",
        )


def _check_whole(info: Mapping[str, Any], identity: str) -> None:
    """Check that no weights were missing: transformers would initialise them randomly."""
    missing = sorted(info["missing_keys"])
    if missing:
        raise ModelError(
            f"The base model {identity} is not a causal language model, or is incomplete: "
            f"its files lack '{missing[0]}'" + (f" and {len(missing) - 1} more." if missing[1:] else "."),
            hint="Choose a base whose config.json has an architecture ...ForCausalLM.",
        )


def _check_encoder(info: Mapping[str, Any], prefix: str, identity: str) -> None:
    """Check that only the head is new: transformers initialises missing or mismatched weights randomly.

    A pooler belongs to the head: encoders trained by masked language modelling have none.
    """
    wrong = {name for name, *_ in info["mismatched_keys"]}
    wrong |= {name for name in info["missing_keys"] if "pooler" not in name.split(".")}
    affected = sorted(name for name in wrong if name.startswith(prefix))
    if affected:
        more = f" and {len(affected) - 3} more" if affected[3:] else ""
        raise ModelError(
            f"The weights of the base model {identity} do not match its config.json: "
            f"{', '.join(map(repr, affected[:3]))}{more} would be random.",
            hint="Check the repo's config.json and weights, or choose another base.",
        )
