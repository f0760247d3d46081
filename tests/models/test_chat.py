"""Chat templates in the manner of well-known families: what they print besides the message surprises nobody."""

from __future__ import annotations

import datetime as dt

import pytest
from tiny import CHAT, END, PAD, START, load_engine, save_model
from transformers import AutoTokenizer

from solo_hub.core.errors import ModelError
from solo_hub.models.chat import ChatFormat

MONDAY, TUESDAY = dt.date(2026, 11, 30), dt.date(2026, 12, 1)
TURNS = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
# Llama 3.2 prints the date where it knows none, Granite always
DATED = {
    "llama": "{% if not date_string is defined %}{% set date_string = strftime_now('%d %b %Y') %}{% endif %}"
    "Today: {{ date_string }}\n" + CHAT,
    "granite": "Today's Date: {{ strftime_now('%B %d, %Y') }}.\n" + CHAT,
}
SWITCHED = (  # Qwen3: an empty thought when thinking is turned off
    TURNS + "{% if add_generation_prompt %}<|im_start|>assistant\n"
    "{% if enable_thinking is defined and enable_thinking is false %}<think>\n\n</think>\n\n{% endif %}{% endif %}"
)
OPENS = TURNS + "{% if add_generation_prompt %}<|im_start|>assistant\n<think>\n{% endif %}"
SHOWS_EMPTY_THOUGHT = (  # opens a block, and writes an answer of its own behind an empty one
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{% if m.role == 'assistant' %}<think>\n\n</think>\n\n{% endif %}"
    "{{ m.content }}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n<think>\n{% endif %}"
)
CHANNELS = (  # an answer is written into a channel that the generation prompt does not name
    "{% for m in messages %}<|im_start|>{{ m.role }}{% if m.role == 'assistant' %}<|channel|>final{% endif %}"
    "<|message|>{{ m.content }}<|im_end|>{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant{% endif %}"
)


@pytest.fixture
def chat(tiny_model):
    def make(template, day=MONDAY):
        tokenizer = AutoTokenizer.from_pretrained(tiny_model)
        tokenizer.chat_template = template
        return ChatFormat(tokenizer, "tests/tiny@0", day)

    return make


@pytest.mark.parametrize("family", DATED)
def test_a_template_with_todays_date_gets_the_day_of_the_run(chat, family):
    monday, tuesday = (chat(DATED[family], day) for day in (MONDAY, TUESDAY))
    assert monday.is_dated
    assert "30" in monday.prompt("Who?").text.splitlines()[0]
    assert monday.prompt("Who?") == chat(DATED[family]).prompt("Who?") != tuesday.prompt("Who?")
    assert monday.key
    assert monday.key != tuesday.key


def test_the_stopped_clock_spells_dates_as_the_running_one_does(chat):
    formats = ["%d %b %Y", "%B %d, %Y", "%Y-%m-%d", "%A", "%-d/%-m/%y", "%e. %h", "%F %H:%M", "%j", "day %d%%"[:-2]]
    template = "\n{% for m in messages %}{{ strftime_now(m.content) }}|{% endfor %}{{ strftime_now is defined }}"
    noon = dt.datetime(2026, 11, 30, 12, tzinfo=dt.UTC)
    turns = [{"role": "assistant", "content": format_} for format_ in formats]
    assert chat(template).fill(turns) == "\n" + "".join(f"{noon.strftime(f)}|" for f in formats) + "True"


def test_without_a_day_it_is_today(chat):
    assert str(dt.datetime.now().astimezone().year) in chat(DATED["llama"], None).prompt("Who?").text


def test_a_template_that_brings_nothing_of_the_kind_is_filled_as_ever(chat, tiny_model):
    plain = AutoTokenizer.from_pretrained(tiny_model)
    turns = [{"role": "user", "content": "Who?"}]
    expected = plain.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
    made = chat(CHAT)
    assert made.prompt("Who?").text == expected
    assert (made.key, made.is_dated, made.variables, made.opens_thinking) == ("", False, {}, False)


def test_thinking_is_turned_off_where_the_template_knows_how(chat):
    made = chat(SWITCHED)
    assert made.variables == {"enable_thinking": False}
    assert made.prompt("Who?").text.endswith("assistant\n<think>\n\n</think>\n\n")
    assert made.key


def test_a_thinking_block_that_cannot_be_closed_is_refused(chat):
    for tag in ("<think>", "<thinking>", "[THINK]", "<|begin_of_thought|>", "<seed:think>", "<|START_THINKING|>"):
        with pytest.raises(ModelError, match="opens a thinking block before every answer") as refused:
            chat(OPENS.replace("<think>", tag)).prompt("Who?")
        assert "teacher.prompt=plain" in refused.value.hint
        closed = tag.replace("<", "</") if "_" not in tag else tag.replace("begin", "end").replace("START", "END")
        closed = closed.replace("[", "[/")
        assert not chat(OPENS.replace("<think>", f"{tag}{closed}")).opens_thinking
    words = "Is <think> a tag?"
    assert chat(CHAT).prompt(words).text.count(words) == 1  # what somebody asks is not a block


@pytest.mark.parametrize(
    ("template", "end"),
    [(SHOWS_EMPTY_THOUGHT, "<think>\n\n</think>\n\n"), (CHANNELS, "assistant<|channel|>final<|message|>")],
)
def test_an_answer_begins_where_the_template_itself_begins_one(chat, template, end):
    made = chat(template)
    assert made.prompt("Who?").text.endswith(end)
    assert not made.opens_thinking
    assert made.key


@pytest.mark.parametrize(
    ("written", "token"),
    [(f"{END}\n", END), (f" {PAD}", PAD), (f"{START}{END}", START), ("\nUser:", None), ("", None)],
)
def test_the_end_of_a_turn_is_what_the_template_writes_behind_one(chat, written, token):
    made = chat(CHAT.replace(f"{END}\n", written))
    expected = None if token is None else made.tokenizer.convert_tokens_to_ids(token)
    assert made.end_token == expected


def test_a_template_that_leaves_out_the_answer_tells_no_end(chat):
    made = chat("{{ '<|im_start|>' }}{{ messages[0].content }}")
    assert (made.ending, made.end_token, made.opens_thinking) == ("", None, False)
    assert made.prompt("Who?").text == f"{START}Who?"


def test_of_several_ends_the_templates_own_is_taught_in_a_chat(tmp_path):
    """As Gemma and Llama 3 have it: the document's end stands first in the list."""
    engine = load_engine(save_model(tmp_path, eos_token_id=[2, 1, 0]))
    assert engine.ends(chat=True) == (0, 2, 1)
    assert engine.ends(chat=False) == (2, 1, 0)
    engine.tokenizer.eos_token = engine.own_generation.eos_token_id = None
    assert engine.ends(chat=True) == (0,)
    with pytest.raises(ModelError, match="no end-of-turn token"):
        engine.ends(chat=False)


def test_writing_stops_at_the_templates_own_end(tmp_path):
    import torch

    engine = load_engine(save_model(tmp_path, eos_token_id=2, tie_word_embeddings=False))
    with torch.no_grad():
        engine.model.lm_head.weight.zero_()  # every token is as likely: the first, which is the end, is taken
    assert not engine.generate([engine.chat("Who?")], 4)[0].finished or engine.ends(chat=True)[0] == 0
    assert engine.generate([engine.chat("Who?")], 4)[0].tokens <= 2


def test_no_template(chat):
    made = chat(None)
    assert not made.has_template
    with pytest.raises(ModelError, match="has no chat template"):
        made.prompt("Who?")
