"""Writes a merged model and its tokenizer as one GGUF file, the format of llama.cpp and Ollama.

Matrices are stored in half precision, vectors (norms, biases) in single precision: llama.cpp takes no others for them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from solo_hub.core.errors import DependencyError, ModelError

ROTATES_NEIGHBOURS = {"llama": True, "qwen2": False, "qwen3": False}
"""Architectures that can be written (`model_type`) -> whether GGUF rotates neighbouring rows of a head together."""
_LETTERS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+"
_REST = r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_BYTES = ("ByteLevel", True)
SPLITS = {
    (_BYTES,): "gpt-2",
    (("Digits", True), _BYTES): "smollm",
    (("Split", rf"{_LETTERS}|\p{{N}}|{_REST}"), ("ByteLevel", False)): "qwen2",
    (("Split", rf"{_LETTERS}|\p{{N}}{{1,3}}|{_REST}"), ("ByteLevel", False)): "llama-bpe",
}
"""How a byte-level BPE tokenizer splits text before any merges -> llama.cpp's name for it."""
_DETAIL = {"ByteLevel": "use_regex", "Digits": "individual_digits"}
_NORMAL, _CONTROL, _USER_DEFINED, _UNUSED = 1, 3, 4, 5  # GGUF's types of tokens
_MOSTLY_HALF = 1  # GGUF's file type
_SPECIAL = ("bos", "unk", "pad")


def check(config: Any, tokenizer: Any, identity: str) -> None:
    """Check that a model of this architecture, with this tokenizer, can be written.

    Args:
        config: Its configuration.
        tokenizer: Its tokenizer.
        identity: Repo and commit, for messages.

    Raises:
        DependencyError: The package gguf is not installed.
        ModelError: It cannot be written.
    """
    try:
        import gguf  # noqa: F401
    except ImportError as error:
        raise DependencyError("gguf", extra="offline", purpose="Writing GGUF") from error
    if config.model_type not in ROTATES_NEIGHBOURS:
        raise _unwritable(identity, f"its architecture is {config.model_type}, not {', '.join(ROTATES_NEIGHBOURS)}")
    rope = config.rope_parameters.get("rope_type", "default")
    if rope not in ("default", "llama3"):
        raise _unwritable(identity, f"its positions are scaled by '{rope}'")
    if config.hidden_act != "silu":
        raise _unwritable(identity, f"its activation is {config.hidden_act}, not silu")
    if any("sliding" in kind for kind in getattr(config, "layer_types", None) or ()):
        raise _unwritable(identity, "it has sliding windows")
    _splitting(_backend(tokenizer), identity)


def write(file: Path, model: Any, tokenizer: Any, *, identity: str, name: str, end_token: int) -> None:
    """Write the file.

    Args:
        file: Target, written atomically.
        model: A `transformers` model that passes `check`, in float32 on any device.
        tokenizer: Its tokenizer.
        identity: Repo and commit, for messages.
        name: Name of the model in the file.
        end_token: Id of the token that ends an answer.

    Raises:
        ModelError: It has a tensor that the format does not know, or a weight too large for half precision.
    """
    from gguf import GGUFWriter

    config = model.config
    check(config, tokenizer, identity)
    partial = file.with_name(f".{file.name}.partial")
    writer = GGUFWriter(partial, config.model_type)
    writer.add_name(name)
    writer.add_file_type(_MOSTLY_HALF)
    _add_sizes(writer, config)
    rows = model.get_input_embeddings().num_embeddings
    _add_tokenizer(writer, tokenizer, rows=rows, end_token=end_token, identity=identity)
    for tensor, values in tensors(model, identity):
        writer.add_tensor(tensor, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    partial.replace(file)


def tensors(model: Any, identity: str) -> Iterator[tuple[str, npt.NDArray[Any]]]:
    """A model's tensors under GGUF's names, as the file stores them."""
    from gguf import MODEL_ARCH, get_tensor_name_map

    config = model.config
    names = get_tensor_name_map(MODEL_ARCH[config.model_type.upper()], config.num_hidden_layers)
    heads = {"attn_q": config.num_attention_heads, "attn_k": config.num_key_value_heads}
    factors = _rope_factors(config)
    if factors is not None:
        yield "rope_freqs.weight", factors
    for own, tensor in model.state_dict().items():
        if config.tie_word_embeddings and own == "lm_head.weight":
            continue  # llama.cpp takes the embeddings
        name = names.get_name(own, try_suffixes=(".weight", ".bias"))
        if name is None:
            raise _unwritable(identity, f"the format has no name for its tensor '{own}'")
        values = tensor.detach().float().cpu().numpy()
        part = name.split(".")[-2]
        if part in heads and ROTATES_NEIGHBOURS[config.model_type]:
            values = permute(values, heads[part])
        yield name, values if values.ndim == 1 else _half(values, own, identity)


def permute(weight: npt.NDArray[np.float32], heads: int) -> npt.NDArray[np.float32]:
    """GGUF's row order of a query or key projection of Llama.

    transformers rotates rows (0, n/2), (1, n/2 + 1), ... of a head together, GGUF neighbours (0, 1), (2, 3), ...:

    >>> permute(np.array([0.0, 2.0, 1.0, 3.0], dtype=np.float32), heads=1).tolist()
    [0.0, 1.0, 2.0, 3.0]

    Args:
        weight: `(rows, inputs)`, or a bias, `(rows,)`.
        heads: Number of heads.
    """
    halves = weight.reshape(heads, 2, weight.shape[0] // heads // 2, *weight.shape[1:])
    return halves.swapaxes(1, 2).reshape(weight.shape)


def _half(values: npt.NDArray[np.float32], name: str, identity: str) -> npt.NDArray[np.float16]:
    if np.abs(values).max(initial=0) > np.finfo(np.float16).max:
        raise _unwritable(identity, f"the weights of '{name}' are too large for half precision")
    return values.astype(np.float16)


def _rope_factors(config: Any) -> npt.NDArray[np.float32] | None:
    """By what the angles of each pair of dimensions are divided (Llama 3.1 and later), or None."""
    if config.rope_parameters.get("rope_type", "default") != "llama3":
        return None
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

    scaled, _ = ROPE_INIT_FUNCTIONS["llama3"](config, "cpu")
    size = _head_size(config)
    plain = config.rope_parameters["rope_theta"] ** (-np.arange(0, size, 2, dtype=np.float64) / size)
    return np.asarray(plain / scaled.numpy(), dtype=np.float32)


def _head_size(config: Any) -> int:
    return int(getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads)


def _add_sizes(writer: Any, config: Any) -> None:
    size = _head_size(config)
    writer.add_vocab_size(config.vocab_size)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_key_length(size)
    writer.add_value_length(size)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_rope_dimension_count(size)


def _add_tokenizer(writer: Any, tokenizer: Any, *, rows: int, end_token: int, identity: str) -> None:
    """Vocabulary, merges and special tokens; rows of the embeddings without a token are filled up."""
    backend = _backend(tokenizer)
    tokens = [f"[PAD{row}]" for row in range(rows)]
    types = [_UNUSED] * rows
    for token, place in tokenizer.get_vocab().items():
        tokens[place], types[place] = token, _NORMAL
    for added in backend["added_tokens"]:
        types[added["id"]] = _CONTROL if added["special"] else _USER_DEFINED
    merges = backend["model"]["merges"]
    writer.add_tokenizer_model("gpt2")  # byte-level BPE
    writer.add_tokenizer_pre(_splitting(backend, identity))
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    writer.add_token_merges([merge if isinstance(merge, str) else " ".join(merge) for merge in merges])
    writer.add_eos_token_id(end_token)
    for kind in _SPECIAL:
        token = getattr(tokenizer, f"{kind}_token_id")
        if token is not None:
            getattr(writer, f"add_{kind}_token_id")(token)
    writer.add_add_bos_token(adds_start(tokenizer))
    if isinstance(tokenizer.chat_template, str):
        writer.add_chat_template(tokenizer.chat_template)


def adds_start(tokenizer: Any) -> bool:
    """Whether the tokenizer puts its start token before plain text."""
    return tokenizer.bos_token_id is not None and tokenizer("a")["input_ids"][0] == tokenizer.bos_token_id


def _backend(tokenizer: Any) -> dict[str, Any]:
    """The tokenizer's own description; empty for one that is not of the `tokenizers` library."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    return dict(json.loads(backend.to_str())) if backend is not None else {}


def _splitting(backend: Mapping[str, Any], identity: str) -> str:
    """llama.cpp's name for how text is split before any merges.

    Raises:
        ModelError: llama.cpp would not split it so, or it is not a byte-level BPE tokenizer.
    """
    own = backend.get("pre_tokenizer") or {}
    steps = tuple(_step(step) for step in own.get("pretokenizers", [own] if own else []))
    name = SPLITS.get(steps)
    if name is None or backend["model"]["type"] != "BPE" or backend["model"].get("byte_fallback"):
        raise _unwritable(identity, f"its tokenizer is none of the known ones ({', '.join(SPLITS.values())})")
    return name


def _step(step: Mapping[str, Any]) -> tuple[str, Any]:
    if step["type"] == "Split":
        return "Split", step["pattern"].get("Regex")
    return step["type"], step.get(_DETAIL.get(step["type"], ""))


def _unwritable(identity: str, reason: str) -> ModelError:
    return ModelError(
        f"The model {identity} cannot be written as GGUF: {reason}.",
        hint="Use the merged model of `solo-hub train --merge` and a converter that supports it.",
    )
