"""A base's small files: decoding settings, tokenizers that do not fit, and what answers depend on."""

from __future__ import annotations

import json

import pytest
from tiny import END, load_engine, save_model
from transformers import AutoTokenizer

from solo_hub.core.errors import ModelError
from solo_hub.core.plugins import Prompt
from solo_hub.core.records import Example, PseudoLabel, Question
from solo_hub.models.base_files import SAMPLING, BaseFiles, prefix_tokens
from solo_hub.models.prompts import PromptBuilder
from solo_hub.student.objectives.material import TrainingData, encode

PROMPTS = [Prompt(f"Question: What makes river {i} rise?\nAnswer:") for i in range(3)]
# as Qwen2.5-Instruct and others have it, and more of the kind
LOUD = {
    "repetition_penalty": 5.0, "temperature": 0.1, "top_p": 0.2, "top_k": 2, "do_sample": True,
    "no_repeat_ngram_size": 1, "suppress_tokens": [70, 71, 72, 260, 261], "begin_suppress_tokens": [80],
    "bad_words_ids": [[90]], "min_length": 200, "num_beams": 3, "forced_eos_token_id": 0, "max_length": 5,
}  # fmt: skip


@pytest.fixture
def folder(tmp_path):
    return save_model(tmp_path)


def loud(folder, **settings):
    """Let the repo ask for decoding of its own."""
    path = folder / "generation_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **(settings or LOUD)}))
    return folder


def retokenise(folder, **changes):
    """Another tokenizer: `before` and `behind` stand around plain text, as ids of tokens; `tokens` are added."""
    from tokenizers.processors import TemplateProcessing

    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.add_tokens(list(changes.get("tokens", ())))
    ids = {str(tokenizer.convert_ids_to_tokens(i)): i for i in (changes.get("before"), changes.get("behind")) if i}
    before, behind = (
        tokenizer.convert_ids_to_tokens(i) if i else "" for i in (changes.get("before"), changes.get("behind"))
    )
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single=f"{before} $A {behind}".strip(), special_tokens=list(ids.items())
    )
    if "template" in changes:
        tokenizer.chat_template = changes["template"]
    tokenizer.save_pretrained(folder)
    return folder


def test_the_repos_decoding_settings_change_nothing_that_is_written(folder):
    plain = load_engine(folder)
    expected = plain.generate(PROMPTS, 12), [plain.sample(PROMPTS, 12, seed=seed) for seed in (1, 2)]
    engine = load_engine(loud(folder))
    assert engine.generate(PROMPTS, 12) == expected[0]
    assert [engine.sample(PROMPTS, 12, seed=seed) for seed in (1, 2)] == expected[1]
    engine.reload()
    assert engine.generate(PROMPTS, 12) == expected[0]


def test_the_probability_of_written_text_is_the_models_own(folder):
    engine = load_engine(loud(folder))
    (written,) = engine.generate(PROMPTS[:1], 1)
    (scores,) = engine.score(PROMPTS[:1], [[engine.tokenizer.decode([i]) for i in range(3, 200)]])
    assert written.log_probability >= max(scores) - 1e-3


def test_settings_that_are_not_followed_are_named(folder):
    files = BaseFiles(folder, "tests/tiny@0")
    assert (files.decoding(), files.decoding(SAMPLING), files.notes("plain")) == ({}, {}, [])
    loud(folder, repetition_penalty=1.05, top_p=0.8, top_k=20, temperature=0.7)
    files = BaseFiles(folder, "tests/tiny@0")
    assert files.decoding() == {"repetition_penalty": 1.05}
    shown = "repetition_penalty=1.05, temperature=0.7, top_k=20, top_p=0.8"
    assert files.notes("plain") == [f"decoding settings of the base are ignored ({shown}): decoding is greedy"]
    loud(folder, repetition_penalty=1.0, top_p=1.0, top_k=0, temperature=1.0)
    assert BaseFiles(folder, "tests/tiny@0").notes("plain") == []


def test_only_what_was_changed_is_part_of_a_labels_key(folder):
    """Labels made before any of this was looked at stay good where nothing of it concerns them."""
    files = BaseFiles(folder, "tests/tiny@0")
    assert [files.key(prompt, written=written) for prompt in ("plain", "chat") for written in (True, False)] == [[]] * 4
    loud(folder, top_p=0.8, temperature=0.7)  # greedy text knows neither
    assert BaseFiles(folder, "tests/tiny@0").key("plain", written=True) == []
    files = BaseFiles(loud(folder, repetition_penalty=1.05), "tests/tiny@0")
    assert files.key("plain", written=True) == ["decoding plain"]
    assert files.key("plain", written=False) == []  # the score of a given text knows no penalty


def test_a_base_that_fits_is_not_refused(folder):
    for prompt in ("plain", "chat"):
        BaseFiles(folder, "tests/tiny@0").check(prompt)


def test_a_tokenizer_that_ends_plain_prompts_is_refused(folder):
    files = BaseFiles(retokenise(folder, before=1, behind=2), "tests/tiny@0")
    assert files.appended == ["<|pad|>"]
    with pytest.raises(ModelError, match=r"appends '<\|pad\|>' to plain text") as refused:
        files.check("plain")
    assert "teacher.prompt=chat" in refused.value.hint
    files.check("chat")  # the template writes what belongs around a turn


def test_special_tokens_before_a_text_are_no_fault(folder):
    files = BaseFiles(retokenise(folder, before=1), "tests/tiny@0")
    assert (files.appended, prefix_tokens(files.tokenizer)) == ([], [1])
    files.check("plain")


def test_more_tokens_than_rows_are_refused(folder):
    rows = BaseFiles(folder, "tests/tiny@0").rows
    retokenise(folder, tokens=["[NEW]", "[NEWER]"])
    expected = rf"has more tokens \({rows + 2}\) than the model has embeddings \({rows}\): there is none for '\[NEW\]'"
    with pytest.raises(ModelError, match=expected):
        BaseFiles(folder, "tests/tiny@0").check("plain")
    with pytest.raises(ModelError, match=expected):
        load_engine(folder)


def test_no_end_token_is_refused(folder):
    for name in ("config.json", "generation_config.json", "tokenizer_config.json"):
        path = folder / name
        path.write_text(json.dumps({k: v for k, v in json.loads(path.read_text()).items() if not k.startswith("eos")}))
    files = BaseFiles(folder, "tests/tiny@0")
    with pytest.raises(ModelError, match="no end-of-turn token"):
        files.check("plain")
    files.check("chat")  # its template writes one


def test_a_document_of_another_kind_is_no_configuration(folder):
    (folder / "generation_config.json").write_text("[1]")
    assert BaseFiles(folder, "tests/tiny@0").generation == {}


@pytest.mark.parametrize("chats", [True, False])
def test_the_student_is_taught_the_right_end(tmp_path, chats):
    engine = load_engine(save_model(tmp_path, eos_token_id=[2, 0]))
    question = Question("q", "Which?", ("rain", "fog"))
    label = PseudoLabel("q", 0, None, "rain", None, (), 0, "text", "k")
    examples = [Example(question, label)]
    (tree,) = encode(TrainingData(engine, PromptBuilder(engine.chat if chats else None), examples, "text"))
    last = engine.tokenizer.convert_ids_to_tokens(tree.branches[0][-1])
    assert last == (END if chats else "<|pad|>")
