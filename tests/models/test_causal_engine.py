"""The engine on a model made on the spot: packed scores are the plain ones, answers end, bad repos are told."""

from __future__ import annotations

import math
import shutil

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tiny import END, PAD, load_engine, save_model

from solo_hub.core.errors import ModelError
from solo_hub.core.plugins import Engine, Prompt
from solo_hub.models.packing import Tree

torch = pytest.importorskip("torch", reason="the extra 'train' is not installed")

PROMPT = Prompt("Question: Which animal sleeps all winter?\nAnswer:")
OPTIONS = [" the bear", " rain", " the bear of the north", " fog and hail"]
SAME = 1e-3  # nats; float32, another order of additions


@pytest.fixture(scope="module")
def shared(tiny_model):
    """One engine for tests that change nothing."""
    return load_engine(tiny_model)


def by_hand(engine, prompt, continuation):
    """Log-probability of a continuation, token by token, from the whole model's logits."""
    head, (branch,) = engine.encode(prompt, [continuation])
    ids = torch.tensor([[*head, *branch]])
    with torch.inference_mode():
        log_p = torch.log_softmax(engine.model(input_ids=ids).logits[0].float(), dim=-1)
    return sum(log_p[len(head) - 1 + step, token].item() for step, token in enumerate(branch))


def test_it_is_an_engine(shared):
    assert isinstance(shared, Engine)
    assert shared.identity == "tests/tiny@0 transformers cpu float32"
    assert shared.context_length == 256
    assert shared.score([], []) == []
    assert shared.generate([], 5) == []
    assert shared.count_tokens([]) == []


def test_scores_are_sums_of_log_probabilities(shared):
    (scores,) = shared.score([PROMPT], [OPTIONS])
    assert scores == pytest.approx([by_hand(shared, PROMPT, option) for option in OPTIONS], abs=SAME)
    assert shared.packs()  # the tiny Llama is scored packed: the comparison above is of two ways


def test_every_question_has_its_own_options(shared):
    prompts = [PROMPT, Prompt("Answer:"), Prompt(PROMPT.text * 5), PROMPT]
    options = [OPTIONS, OPTIONS[:2], OPTIONS[1:], OPTIONS[::-1]]
    scores = shared.score(prompts, options)
    for prompt, some, found in zip(prompts, options, scores, strict=True):
        assert found == pytest.approx([by_hand(shared, prompt, option) for option in some], abs=SAME)
    assert scores[3] == pytest.approx(scores[0][::-1], abs=SAME)


sequences = st.lists(st.integers(3, 359), min_size=1, max_size=10).map(tuple)
trees = st.builds(Tree, sequences, st.lists(sequences, min_size=1, max_size=4).map(tuple))


@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow])
@given(some=st.lists(trees, min_size=1, max_size=5))
def test_packed_scores_are_the_plain_ones(shared, some):
    packed = shared._score_trees(some, packed=True)
    plain = shared._score_trees(some, packed=False)
    assert np.max(np.abs(packed - plain)) < SAME


def test_more_rows_than_fit_into_one_pass(shared):
    some = [Tree(tuple(range(3, 150 + i)), ((5,), (6, 7))) for i in range(20)]
    assert np.max(np.abs(shared._score_trees(some, packed=True) - shared._score_trees(some, packed=False))) < SAME


def test_a_model_with_a_sliding_window_is_scored_as_it_is(tmp_path, tiny_model):
    """A window shorter than the prompt: the shared layout would let tokens look further back than the model does."""
    from transformers import MistralConfig, MistralForCausalLM

    folder = shutil.copytree(tiny_model, tmp_path / "mistral")
    torch.manual_seed(0)
    config = MistralConfig(
        vocab_size=360, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=256, sliding_window=128, initializer_range=0.25,
        bos_token_id=None, eos_token_id=0, pad_token_id=2,
    )  # fmt: skip
    MistralForCausalLM(config).save_pretrained(folder)
    engine = load_engine(folder)
    long, short = Prompt(" rain" * 180), Prompt(" rain fog")
    for prompts in ([short], [short, long], [long]):
        scores = engine.score(prompts, [OPTIONS] * len(prompts))
        for prompt, found in zip(prompts, scores, strict=True):
            assert found == pytest.approx([by_hand(engine, prompt, option) for option in OPTIONS], abs=SAME)
    assert engine.packs()  # within the window sharing is right, and used


@settings(max_examples=15, suppress_health_check=[HealthCheck.too_slow])
@given(some=st.lists(st.tuples(st.integers(1, 40), st.integers(1, 4)), min_size=1, max_size=4))
def test_a_prompt_that_is_read_once_gives_the_same(shared, some):
    """Prompts of other lengths beside it, and padding, change nothing."""
    prompts = [Prompt(" rain" * words + " Answer:") for words, _ in some]
    options = [OPTIONS[:count] for _, count in some]
    scores, written = shared.score_and_generate(prompts, options, 6)
    assert shared._resumes([Tree((3, 4), ((5,),))])  # so prompts are not read twice
    for found, alone in zip(scores, shared.score(prompts, options), strict=True):
        assert found == pytest.approx(alone, abs=SAME)
    assert [each.text for each in written] == [each.text for each in shared.generate(prompts, 6)]
    assert shared.score_and_generate([], [], 6) == ([], [])


@pytest.mark.parametrize("wrong", ["fails", "differs"])
def test_a_model_that_cannot_go_on_reads_twice(engine, monkeypatch, wrong):
    right = engine.score([PROMPT], [OPTIONS])

    def score_after(trees, cache, mask):
        if wrong == "fails":
            raise ValueError("this cache cannot be cut")
        return np.zeros(sum(len(tree.branches) for tree in trees))

    monkeypatch.setattr(engine, "_score_after", score_after)
    scores, written = engine.score_and_generate([PROMPT], [OPTIONS], 4)
    assert scores == right
    assert written == engine.generate([PROMPT], 4)


# -- tokens ------------------------------------------------------------------------------------------------------------


def test_an_answer_is_tokenised_as_it_follows_the_prompt(shared):
    head, branches = shared.encode(PROMPT, OPTIONS)
    for option, branch in zip(OPTIONS, branches, strict=True):
        assert shared.tokenizer.decode([*head, *branch]) == PROMPT.text + option
        assert branch == tuple(shared.tokenizer(option, add_special_tokens=False)["input_ids"])


def test_a_merge_across_the_border_leaves_the_prompt_whole(shared):
    """ "...sle" + "eps" is " sleeps" to the tokenizer; the answer is then tokenised by itself."""
    prompt = Prompt("the bear sle")
    assert len(shared.tokenizer("the bear sleeps")["input_ids"]) < sum(shared.count_tokens(["the bear sle", "eps"]))
    head, (branch,) = shared.encode(prompt, ["eps"])
    assert shared.tokenizer.decode(head) == "the bear sle"
    assert shared.tokenizer.decode(branch) == "eps"


def test_an_answer_without_tokens_is_refused(shared):
    with pytest.raises(ModelError, match="The answer '' has no tokens"):
        shared.encode(PROMPT, [" rain", ""])


def test_tokens_are_counted_without_special_ones(shared):
    assert shared.count_tokens(["", " rain", "A."]) == [
        len(shared.tokenizer(text, add_special_tokens=False)["input_ids"]) for text in ("", " rain", "A.")
    ]


def test_a_chat_turn_is_ready_for_the_answer(shared):
    prompt = shared.chat("Why?")
    assert prompt.text == "<|im_start|>user\nWhy?<|im_end|>\n<|im_start|>assistant\n"
    assert not prompt.special_tokens


# -- writing -----------------------------------------------------------------------------------------------------------


class Scripted:
    """Makes the model say given tokens, whatever it is asked."""

    def __init__(self, engine, texts):
        self.ids = [engine.tokenizer(text, add_special_tokens=False)["input_ids"] for text in texts]
        self.engine, self.step = engine, 0
        engine.model.lm_head.register_forward_hook(self)

    def __call__(self, module, inputs, logits):
        for row, ids in enumerate(self.ids):
            logits[row] = 0
            logits[row, :, ids[min(self.step, len(ids) - 1)]] = 9
        self.step += 1
        return logits


@pytest.mark.parametrize(
    ("says", "text", "finished"),
    [
        (f" the bear{END} rain rain", "the bear", True),
        (" the bear\n rain rain", "the bear", True),
        (" the bear\n", "the bear", True),
        (f"\n\n the bear{END}", "the bear", True),
        (" rain" * 30, ("rain " * 12).strip(), False),
        (f"{END}", "", True),
        ("\n" * 30, "", False),
    ],
)
@pytest.mark.parametrize("beside", [None, " rain" * 30, f" fog{END}"], ids=["alone", "beside long", "beside short"])
def test_writing_ends_with_the_turn_or_the_line(engine, says, text, finished, beside):
    """The same answer whether or not others of the batch take longer."""
    Scripted(engine, [says, beside] if beside else [says])
    written = engine.generate([PROMPT, Prompt("Answer: now")][: 2 if beside else 1], 12)[0]
    assert (written.text, written.finished) == (text, finished)
    assert 1 <= written.tokens <= 12


def test_the_log_probability_of_what_is_written_counts_its_tokens_alone(engine):
    """Every token is said with a logit of 9 beside zeros: log p = 9 - log(e^9 + V - 1)."""
    script = Scripted(engine, [f" the bear{END}", " rain" * 30])
    short, long = engine.generate([PROMPT, Prompt("Answer: now")], 12)
    size = engine.model.config.vocab_size
    one = 9 - math.log(math.exp(9) + size - 1)
    assert short.tokens == len(script.ids[0])
    assert short.log_probability == pytest.approx(short.tokens * one, abs=1e-3)
    assert (long.tokens, long.log_probability) == (12, pytest.approx(12 * one, abs=1e-3))


def test_a_line_that_ends_early_is_not_counted_with_its_padding(engine):
    script = Scripted(engine, [" fog\n", " rain" * 30])
    short, _ = engine.generate([PROMPT, Prompt("Answer: now")], 12)
    assert short.tokens == len(script.ids[0])


def test_what_is_written_is_scored_alike(shared):
    """Its log-probability is what scoring gives the same tokens."""
    prompt = Prompt("Question: rain?\nAnswer:")
    written = shared.generate([prompt], 6)[0]
    ids = shared.tokenizer(prompt.text)["input_ids"]
    with shared._torch.inference_mode():
        total = 0.0
        for _ in range(written.tokens):
            logits = shared.model(shared._torch.tensor([ids])).logits[0, -1].log_softmax(-1)
            total += float(logits.max())
            ids.append(int(logits.argmax()))
    assert written.log_probability == pytest.approx(total, abs=1e-3)


def test_samples_differ_by_seed_alone(shared):
    prompts = [PROMPT, Prompt("Answer:")]
    drawn = [[g.text for g in shared.sample(prompts, 8, seed=seed)] for seed in (1, 1, 2)]
    assert drawn[0] == drawn[1] != drawn[2]
    assert {g.log_probability for g in shared.sample(prompts, 8, seed=1)} == {None}
    assert shared.sample([], 8, seed=1) == []


def test_writing_stops_early(engine):
    script = Scripted(engine, [f" the bear{END}"])
    engine.generate([PROMPT], 100)
    assert script.step < 12


def test_writing_does_not_depend_on_who_else_is_in_the_batch(shared):
    prompts = [PROMPT, Prompt("Answer:"), Prompt(PROMPT.text * 3)]
    together = shared.generate(prompts, 8)
    alone = [shared.generate([prompt], 8)[0] for prompt in prompts]
    assert [(g.text, g.tokens, g.finished) for g in together] == [(g.text, g.tokens, g.finished) for g in alone]
    assert [g.log_probability for g in together] == pytest.approx([g.log_probability for g in alone], abs=1e-3)
    assert together == shared.generate(prompts, 8)


# -- weights -----------------------------------------------------------------------------------------------------------


def test_another_precision_and_back(engine):
    exact = np.array(engine.score([PROMPT], [OPTIONS])[0])
    engine.cast("bfloat16")
    assert engine.dtype == torch.bfloat16
    assert engine.identity.endswith("bfloat16")
    rough = np.array(engine.score([PROMPT], [OPTIONS])[0])
    assert 0 < np.max(np.abs(rough - exact)) < 1.0
    engine.cast("float32")
    assert engine.dtype == torch.float32
    assert engine.score([PROMPT], [OPTIONS])[0] == exact.tolist()  # what was rounded is read anew


def test_weights_saved_in_half_precision_and_cast_are_those_a_stranger_loads(tiny_model):
    one, two = load_engine(tiny_model, dtype="bfloat16"), load_engine(tiny_model, dtype="bfloat16")
    one.cast("float32")
    two.cast("float32")
    assert one.score([PROMPT], [OPTIONS]) == two.score([PROMPT], [OPTIONS])


def test_nothing_is_trainable_without_an_adapter(shared):
    assert not any(p.requires_grad for p in shared.model.parameters())
    with shared.adapter(True):
        on = shared.score([PROMPT], [OPTIONS])
    with shared.adapter(False):
        assert shared.score([PROMPT], [OPTIONS]) == on


def without(tiny_model, tmp_path, *patterns):
    return shutil.copytree(tiny_model, tmp_path / "broken", ignore=shutil.ignore_patterns(*patterns))


def test_no_tokenizer(tiny_model, tmp_path):
    with pytest.raises(ModelError, match="tests/tiny@0 has no tokenizer") as caught:
        load_engine(without(tiny_model, tmp_path, "tokenizer*", "special*", "chat*"))
    assert caught.value.hint


def test_no_safetensors(tiny_model, tmp_path):
    folder = without(tiny_model, tmp_path, "*.safetensors")
    (folder / "pytorch_model.bin").write_bytes(b"pickle")
    with pytest.raises(ModelError, match="has no safetensors weights"):
        load_engine(folder)


@pytest.mark.parametrize("content", [b"", b"not safetensors", b"\xff" * 64], ids=["empty", "text", "noise"])
def test_broken_weights(tiny_model, tmp_path, content):
    folder = without(tiny_model, tmp_path)
    (folder / "model.safetensors").write_bytes(content)
    with pytest.raises(ModelError, match="cannot be loaded as a causal language model"):
        load_engine(folder)


def test_no_config(tiny_model, tmp_path):
    with pytest.raises(ModelError, match="tests/tiny@0"):
        load_engine(without(tiny_model, tmp_path, "config.json"))


def test_another_kind_of_model(tiny_model, tmp_path):
    from transformers import BertConfig, BertModel

    folder = without(tiny_model, tmp_path, "*.safetensors", "config.json", "generation_config.json")
    BertModel(
        BertConfig(vocab_size=360, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16)
    ).save_pretrained(folder)
    with pytest.raises(ModelError, match="not a causal language model"):
        load_engine(folder)


def test_no_chat_template(tiny_model, tmp_path):
    engine = load_engine(without(tiny_model, tmp_path, "chat_template*"))
    engine.tokenizer.chat_template = None
    with pytest.raises(ModelError, match="has no chat template") as caught:
        engine.chat("Why?")
    assert "teacher.prompt=plain" in caught.value.hint


def test_no_end_of_turn(engine):
    engine.own_generation.eos_token_id = engine.tokenizer.eos_token = None
    with pytest.raises(ModelError, match="no end-of-turn token"):
        _ = engine.stop_tokens


def test_several_ends_of_turn(engine):
    ids = engine.tokenizer.convert_tokens_to_ids([END, PAD])
    engine.own_generation.eos_token_id = ids
    assert engine.stop_tokens == tuple(ids)


def test_the_models_of_these_tests_are_the_same_every_time(tiny_model, tmp_path):
    again = save_model(tmp_path)
    assert (again / "model.safetensors").read_bytes() == (tiny_model / "model.safetensors").read_bytes()
