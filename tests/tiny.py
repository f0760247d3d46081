"""A model small enough to be made on the spot, and engines without a model: what tests need instead of downloads."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from solo_hub.core.plugins import Generation, Prompt

END, START, PAD = "<|im_end|>", "<|im_start|>", "<|pad|>"
CHAT = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
WORDS = (
    "Question: What makes the river rise in spring? Answer: melting snow. "
    "Question: Which animal sleeps all winter? Answer: the bear. rain fog hail sun wind frost heat "
    "A. B. C. D. E. F. G. H. The bear of the north sleeps in caves near the river. "
)


def save_model(folder: Path, *, seed: int = 0, tokens: int = 360, **changes) -> Path:
    """Write a random Llama (2 layers, width 32) with a byte-level BPE tokenizer of a few hundred tokens.

    The weights are larger than usual at the start of training, so that the answers differ by whole nats.

    Args:
        folder: Where it goes.
        seed: Seed of the weights.
        tokens: How many tokens the tokenizer has, at most.
        changes: Other values for `LlamaConfig`.
    """
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    torch.set_num_threads(1)
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=tokens, special_tokens=[END, START, PAD], initial_alphabet=alphabet, show_progress=False
    )
    bpe.train_from_iterator([WORDS] * 4, trainer)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=bpe, eos_token=END, pad_token=PAD)
    tokenizer.chat_template = CHAT
    tokenizer.save_pretrained(folder)
    settings = {
        "vocab_size": len(tokenizer),
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 256,
        "initializer_range": 0.25,
        "bos_token_id": None,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = LlamaForCausalLM(LlamaConfig(**{**settings, **changes}))
    model.save_pretrained(folder)
    return folder


def save_encoder(folder: Path) -> Path:
    """Write a random BERT (1 layer, width 16, no dropout) that reads words: those of the list, others as unknown."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    words = ["[PAD]", "[UNK]", "the", "river", "bear", "sleeps", "in", "north"]
    tokenizer = Tokenizer(models.WordLevel({word: n for n, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]").save_pretrained(folder)
    size = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 1, "num_attention_heads": 2}
    dropout = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        config = BertConfig(vocab_size=len(words), max_position_embeddings=16, initializer_range=0.5, **size, **dropout)
        BertModel(config).save_pretrained(folder)
    return folder


def load_engine(folder: Path, **settings):
    """The model as an engine, in float32 on the CPU."""
    import torch

    from solo_hub.models.causal import CausalEngine

    torch.set_num_threads(1)
    return CausalEngine(folder, "tests/tiny@0", **{"device": "cpu", "dtype": "float32", **settings})


@dataclass
class FakeEngine:
    """An engine whose scores are a function of prompt and answer; a token is a word.

    Attributes:
        judge: Log-probability of an answer after a prompt; None for an engine that does not tell.
        says: What it writes to a prompt.
        calls: Prompts of every call of `score`, in order.
    """

    judge: Callable[[str, str], float] | None = None
    says: Callable[[str], str] = lambda prompt: "nothing"
    context_length: int = 1000
    log_probability: float | None = None
    identity: str = "fake"
    calls: list[list[str]] = field(default_factory=list)

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        return [len(text.split()) for text in texts]

    def score(self, prompts: Sequence[Prompt], continuations: Sequence[Sequence[str]]) -> list[list[float] | None]:
        self.calls.append([prompt.text for prompt in prompts])
        if self.judge is None:
            return [None] * len(prompts)
        return [[self.judge(p.text, c) for c in some] for p, some in zip(prompts, continuations, strict=True)]

    def generate(self, prompts: Sequence[Prompt], max_new_tokens: int) -> list[Generation]:
        written = [self.says(prompt.text).split()[:max_new_tokens] for prompt in prompts]
        return [Generation(" ".join(w), len(w), self.log_probability, len(w) < max_new_tokens) for w in written]


def shares_words(prompt: str, answer: str) -> float:
    """A judge that reads: the more words of the answer stand in the prompt, the likelier it is."""
    words = set(answer.casefold().split())
    return math.log(0.1 + sum(word in prompt.casefold() for word in words) / max(len(words), 1))


def move_adapter(engine: Any, value: float) -> None:
    """Fill the second matrices of a fresh LoRA adapter, which are zeros: now it changes the answers."""
    for name, weight in engine.model.named_parameters():
        if "lora_B" in name:
            weight.data.fill_(value)


def weights(folder: Path) -> dict[str, Any]:
    """The arrays of an adapter that was trained into a folder, by their names."""
    from safetensors.numpy import load_file

    return load_file(folder / "adapter" / "adapter_model.safetensors")
