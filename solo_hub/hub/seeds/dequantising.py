"""Converts a Llama model in a GGUF file to a folder that transformers loads: safetensors, configuration, tokenizer.

transformers can read GGUF itself, but takes several times as long, needs torch, loses the tokenizer's digit splitting,
and returns a model that is marked as quantized and cannot be saved. This needs only numpy.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

# GGUF's names of a block's tensors, and those of the Llama implementation in transformers.
_BLOCK = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
_OUTSIDE = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}
_CONTROL = 3  # GGUF's token type of special tokens


def convert_llama(file: Path, folder: Path) -> None:
    """Write `model.safetensors` (bfloat16), configuration and tokenizer of a GGUF file into a folder.

    Raises:
        ValueError: The file is not a Llama model with a byte-level BPE tokenizer.
    """
    from gguf import GGUFReader

    reader = GGUFReader(file)
    facts = {name: field.contents() for name, field in reader.fields.items()}
    kinds = facts["general.architecture"], facts["tokenizer.ggml.model"], facts["tokenizer.ggml.pre"]
    if kinds != ("llama", "gpt2", "smollm"):
        raise ValueError(f"{file.name} holds {kinds}, not a Llama model with SmolLM's tokenizer")
    weights = {name: to_bfloat16(weight) for name, weight in _weights(reader, heads=_heads(facts))}
    write_bfloat16(folder / "model.safetensors", weights)
    _write_json(folder / "config.json", _config(facts, tied="lm_head.weight" not in weights))
    tokens = {f"{name}_token_id": int(facts[f"tokenizer.ggml.{gguf}_token_id"]) for name, gguf in _SPECIAL.items()}
    _write_json(folder / "generation_config.json", {k: v for k, v in tokens.items() if not k.startswith("unk")})
    _write_tokenizer(folder, facts)


_SPECIAL = {"bos": "bos", "eos": "eos", "pad": "padding", "unk": "unknown"}


def _heads(facts: dict[str, Any]) -> dict[str, int]:
    return {"attn_q": int(facts["llama.attention.head_count"]), "attn_k": int(facts["llama.attention.head_count_kv"])}


def _weights(reader: Any, heads: dict[str, int]) -> Iterator[tuple[str, npt.NDArray[np.float32]]]:
    """Tensors in single precision under their names in transformers."""
    from gguf.quants import dequantize

    for tensor in reader.tensors:
        stem = tensor.name.removesuffix(".weight")
        weight = dequantize(tensor.data, tensor.tensor_type)
        if stem in _OUTSIDE:
            yield f"{_OUTSIDE[stem]}.weight", weight
            continue
        _, number, name = stem.split(".")
        if name in heads:
            weight = unpermute(weight, heads[name])
        yield f"model.layers.{number}.{_BLOCK[name]}.weight", weight


def unpermute(weight: npt.NDArray[np.float32], heads: int) -> npt.NDArray[np.float32]:
    """Restore transformers' row order of a query or key projection.

    GGUF rotates neighbouring rows (0, 1), (2, 3), ... of a head together, transformers (0, n/2), (1, n/2 + 1), ...:

    >>> unpermute(np.array([[0.0], [1.0], [2.0], [3.0]], dtype=np.float32), heads=1).ravel().tolist()
    [0.0, 2.0, 1.0, 3.0]

    Args:
        weight: `(rows, inputs)`.
        heads: Number of heads.
    """
    rows, inputs = weight.shape
    pairs = weight.reshape(heads, rows // heads // 2, 2, inputs)
    return pairs.swapaxes(1, 2).reshape(rows, inputs)


def to_bfloat16(values: npt.NDArray[np.float32]) -> npt.NDArray[np.uint16]:
    """Round to the nearest bfloat16, ties to even; returned as its 16 bits, for finite values.

    >>> hex(to_bfloat16(np.array([1.0], dtype=np.float32))[0])
    '0x3f80'
    """
    bits = np.ascontiguousarray(values, dtype=np.float32).view(np.uint32)
    even = (bits >> 16) & 1
    return ((bits + 0x7FFF + even) >> 16).astype(np.uint16)


def write_bfloat16(file: Path, tensors: Mapping[str, npt.NDArray[np.uint16]]) -> None:
    """Write bfloat16 tensors, given as their 16 bits, as safetensors: header length, JSON header, the bytes in order.

    numpy has no bfloat16, so the library's numpy writer cannot; source: the format's description in its README.
    """
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, tensor in sorted(tensors.items()):
        start, end = end, end + tensor.nbytes
        header[name] = {"dtype": "BF16", "shape": list(tensor.shape), "data_offsets": [start, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # the data starts aligned
    with file.open("wb") as handle:
        handle.write(len(text).to_bytes(8, "little") + text)
        for _, tensor in sorted(tensors.items()):
            handle.write(np.ascontiguousarray(tensor, dtype="<u2").tobytes())


def _config(facts: dict[str, Any], *, tied: bool) -> dict[str, Any]:
    width, heads = int(facts["llama.embedding_length"]), int(facts["llama.attention.head_count"])
    epsilon = np.float32(facts["llama.attention.layer_norm_rms_epsilon"])
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "attention_bias": False,
        "attention_dropout": 0.0,
        "bos_token_id": int(facts["tokenizer.ggml.bos_token_id"]),
        "eos_token_id": int(facts["tokenizer.ggml.eos_token_id"]),
        "pad_token_id": int(facts["tokenizer.ggml.padding_token_id"]),
        "head_dim": width // heads,
        "hidden_act": "silu",
        "hidden_size": width,
        "initializer_range": 1 / 24,
        "intermediate_size": int(facts["llama.feed_forward_length"]),
        "max_position_embeddings": int(facts["llama.context_length"]),
        "mlp_bias": False,
        "num_attention_heads": heads,
        "num_hidden_layers": int(facts["llama.block_count"]),
        "num_key_value_heads": int(facts["llama.attention.head_count_kv"]),
        # The shortest decimal that is this single-precision number: 1e-05, not 9.999999747378752e-06.
        "rms_norm_eps": float(str(epsilon)),
        "rope_theta": float(facts["llama.rope.freq_base"]),
        "tie_word_embeddings": tied,
        "dtype": "bfloat16",
        "use_cache": True,
        "vocab_size": int(facts["llama.vocab_size"]),
    }


def _write_tokenizer(folder: Path, facts: dict[str, Any]) -> None:
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

    tokens = facts["tokenizer.ggml.tokens"]
    merges = [tuple(merge.split(" ")) for merge in facts["tokenizer.ggml.merges"]]
    tokenizer = Tokenizer(models.BPE({token: place for place, token in enumerate(tokens)}, merges))
    # `pre = smollm` means that numbers are split into digits before any merges.
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    kinds = facts["tokenizer.ggml.token_type"]
    special = [token for token, kind in zip(tokens, kinds, strict=True) if kind == _CONTROL]
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in special])
    tokenizer.save(str(folder / "tokenizer.json"))
    names = {f"{name}_token": tokens[facts[f"tokenizer.ggml.{gguf}_token_id"]] for name, gguf in _SPECIAL.items()}
    _write_json(
        folder / "tokenizer_config.json",
        {
            **names,
            "clean_up_tokenization_spaces": False,
            "model_max_length": int(facts["llama.context_length"]),
            # This class uses tokenizer.json as it is; GPT2's would rebuild it without digit splitting.
            "tokenizer_class": "PreTrainedTokenizerFast",
        },
    )
    (folder / "chat_template.jinja").write_text(facts["tokenizer.chat_template"], "utf-8", newline="\n")


def _write_json(path: Path, document: dict[str, Any]) -> None:
    path.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n", "utf-8", newline="\n")
