"""The GGUF file holds the model and its tokenizer; transformers reads the same model out of it."""

from __future__ import annotations

import pytest
from tiny import CHAT, WORDS, load_engine, save_model

from solo_hub.core.errors import ModelError
from solo_hub.hub.seeds.dequantising import unpermute
from solo_hub.student import gguf_file

torch = pytest.importorskip("torch", reason="the extra 'train' is not installed")
gguf = pytest.importorskip("gguf", reason="the extra 'offline' is not installed")


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    """Its weights are numbers of half precision, the file's own, and its norms are not all one."""
    engine = load_engine(save_model(tmp_path_factory.mktemp("model"), tie_word_embeddings=True))
    with torch.no_grad():
        for number, weight in enumerate(engine.model.parameters()):
            weight.copy_((weight + 0.01 * number).half())
    return engine


@pytest.fixture(scope="module")
def file(engine, tmp_path_factory):
    file = tmp_path_factory.mktemp("gguf") / "student.gguf"
    gguf_file.write(file, engine.model, engine.tokenizer, identity="tests/tiny@0", name="river", end_token=0)
    assert [path.name for path in file.parent.iterdir()] == ["student.gguf"]
    return file


def test_tensors_and_metadata_are_read_back(engine, file):
    reader = gguf.GGUFReader(file)
    facts = {name: field.contents() for name, field in reader.fields.items()}
    stored = {tensor.name: tensor.data for tensor in reader.tensors}
    weights = engine.model.state_dict()
    assert len(stored) == 2 * 9 + 2  # nine a layer, embeddings, last norm; the head is the embeddings
    key = stored["blk.1.attn_k.weight"]
    assert unpermute(key, 2).tolist() == weights["model.layers.1.self_attn.k_proj.weight"].tolist()
    assert key.tolist() != unpermute(key, 2).tolist()
    assert stored["token_embd.weight"].dtype == "float16"
    assert stored["token_embd.weight"].tolist() == weights["model.embed_tokens.weight"].tolist()
    assert stored["output_norm.weight"].dtype == "float32"
    assert stored["output_norm.weight"].tolist() == weights["model.norm.weight"].tolist()

    tokenizer = engine.tokenizer
    assert (facts["general.name"], facts["llama.block_count"], facts["tokenizer.ggml.eos_token_id"]) == ("river", 2, 0)
    assert facts["tokenizer.ggml.tokens"] == tokenizer.convert_ids_to_tokens(range(len(tokenizer)))
    assert facts["tokenizer.ggml.token_type"][:4] == [3, 3, 3, 1]  # special tokens come first
    assert (facts["tokenizer.ggml.model"], facts["tokenizer.ggml.pre"]) == ("gpt2", "gpt-2")
    assert (facts["tokenizer.chat_template"], facts["tokenizer.ggml.add_bos_token"]) == (CHAT, False)


def test_transformers_reads_the_same_model(engine, file):
    from transformers import AutoModelForCausalLM

    read = AutoModelForCausalLM.from_pretrained(file.parent, gguf_file=file.name, dtype=torch.float32).eval()
    tokens = torch.tensor([engine.tokenizer(WORDS)["input_ids"]])
    with torch.inference_mode():
        torch.testing.assert_close(read(tokens).logits, engine.model(tokens).logits, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"model_type": "gpt2"}, "its architecture is gpt2, not llama, qwen2, qwen3"),
        ({"rope_parameters": {"rope_type": "yarn", "rope_theta": 1e4}}, "its positions are scaled by 'yarn'"),
        ({"hidden_act": "gelu"}, "its activation is gelu"),
        ({"layer_types": ["full_attention", "sliding_attention"]}, "sliding windows"),
    ],
)
def test_a_model_that_cannot_be_written_is_refused(engine, changes, reason):
    from types import SimpleNamespace

    known = {"model_type": "llama", "rope_parameters": {"rope_theta": 1e4}, "hidden_act": "silu"}
    with pytest.raises(ModelError, match=rf"tests/tiny@0 cannot be written as GGUF: .*{reason}"):
        gguf_file.check(SimpleNamespace(**{**known, **changes}), engine.tokenizer, "tests/tiny@0")


def test_a_tokenizer_that_cannot_be_written_is_refused(engine):
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = Tokenizer(models.WordLevel({"rain": 0}, unk_token="rain"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    with pytest.raises(ModelError, match=r"none of the known ones \(gpt-2, smollm, qwen2, llama-bpe\)"):
        gguf_file.check(engine.model.config, PreTrainedTokenizerFast(tokenizer_object=words), "tests/tiny@0")


def test_a_weight_too_large_is_refused(engine, tmp_path):
    with torch.no_grad():
        engine.model.lm_head.weight[0, 0], before = 1e5, engine.model.lm_head.weight[0, 0].item()
    try:
        with pytest.raises(ModelError, match="too large for half precision"):
            list(gguf_file.tensors(engine.model, "tests/tiny@0"))
    finally:
        with torch.no_grad():
            engine.model.lm_head.weight[0, 0] = before


def test_how_qwen_splits_text_is_known():
    from transformers.models.qwen2.tokenization_qwen2 import PRETOKENIZE_REGEX

    assert gguf_file.SPLITS[("Split", PRETOKENIZE_REGEX), ("ByteLevel", False)] == "qwen2"
