from __future__ import annotations

import contextlib
import dataclasses
import io

import pytest
from markdown_it import MarkdownIt
from noise import PEFT_WARNS

from solo_hub.core.plugins import Prompt
from solo_hub.core.records import Question
from solo_hub.models.prompts import PromptBuilder
from solo_hub.publishing import recipe
from solo_hub.publishing.adapter import adapter_licence
from solo_hub.publishing.adapter_card import AdapterVersion, adapter_card
from solo_hub.publishing.documents import PromptExample
from solo_hub.run.resolved import TeacherSetup

pytestmark = PEFT_WARNS

QUESTION = Question("q1", "What does the clock\nof Orlo show?", ("noon", 'the "tide"', "rain"))


BUILDER = PromptBuilder()
CHAT = PromptBuilder(lambda text: Prompt(f"<|user|>\n{text}<|end|>\n<|assistant|>\n", special_tokens=False))


def example_of(question, style, builder=BUILDER):
    """What the pipeline hands over, made by the prompts the run itself uses."""
    asked = builder.ask(question, style)
    return PromptExample(
        question=question,
        prompt=asked.text,
        style=style,
        prior=builder.prior().text if style == "text_minus_prior" else None,
        continuations=tuple(builder.continuations(question, style)),
        special_tokens=asked.special_tokens,
    )


def test_the_general_form_of_a_prompt_without_options():
    found = recipe.make(example_of(QUESTION, "text_minus_prior"))
    assert found.prompt == '"Question: {question}\\nAnswer:"'
    assert (found.prior, found.answer, found.lists_options, found.general) == ('"Answer:"', '" " + option', False, True)


def test_the_general_form_of_a_prompt_that_lists_its_options():
    found = recipe.make(example_of(QUESTION, "letter"))
    assert found.prompt == '"Question: {question}\\n{options}Answer:"'
    assert (found.prior, found.answer, found.lists_options) == (None, '" " + letter', True)


def test_a_prompt_whose_question_cannot_be_found_stays_the_examples_own():
    odd = dataclasses.replace(example_of(QUESTION, "text"), prompt="Guess!")
    found = recipe.make(odd)
    assert (found.prompt, found.general) == ('"Guess!"', False)


def test_free_text_has_nothing_to_choose_from_empty():
    found = recipe.make(PromptExample(Question("q", "Who?"), "Question: Who?\nAnswer:", "generate"))
    assert (found.answer, found.options) == (None, "[]")


@pytest.mark.parametrize("style", ["letter", "text", "text_minus_prior", "generate", "of a plugin"])
def test_every_style_is_explained(style):
    assert recipe.scoring(style).endswith(".")


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    """A folder in which two small repos lie under their Hub ids, as transformers and peft find local ones."""
    torch = pytest.importorskip("torch")
    peft = pytest.importorskip("peft")
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    root = tmp_path_factory.mktemp("hub")
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(vocab={sign: index for index, sign in enumerate([*alphabet, "<end>"])}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<end>").save_pretrained(root / "acme/tiny-instruct")
    torch.manual_seed(0)
    shape = {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
    }
    config = LlamaConfig(vocab_size=257, max_position_embeddings=256, initializer_range=0.2, eos_token_id=256, **shape)
    base = LlamaForCausalLM(config)
    base.save_pretrained(root / "acme/tiny-instruct")
    student = peft.get_peft_model(base, peft.LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM"))
    for name, weight in student.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.3)
    student.save_pretrained(root / "ada/town-tiny-instruct-solo-adapter")
    return root


def run_card(card):
    """Run a card's Python as a reader would: every block after the other in one session."""
    blocks = [token.content for token in MarkdownIt().parse(card) if token.type == "fence" and token.info == "python"]
    session, printed = {}, io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec("\n".join(blocks), session)
    return session, printed.getvalue()


@pytest.mark.parametrize("builder", [BUILDER, CHAT], ids=["plain", "chat"])
@pytest.mark.parametrize("style", ["letter", "text", "text_minus_prior"])
def test_the_printed_code_gives_the_students_own_answer(documents, names, hub, style, builder):
    """The card's code and the engine that evaluated the run must agree to the last digits that matter."""
    from peft import PeftModel

    from solo_hub.models.answering import choose
    from solo_hub.models.causal import CausalEngine

    asked = dataclasses.replace(documents, example=example_of(QUESTION, style, builder))
    card = adapter_card(asked, names, adapter_licence(asked), AdapterVersion("v1", "e" * 40, "v1"))
    with contextlib.chdir(hub):
        session, printed = run_card(card)
    engine = CausalEngine(hub / "acme/tiny-instruct", "acme/tiny-instruct", device="cpu", dtype="float32")
    base, _ = choose(engine, builder, [QUESTION] * 2, [builder.ask(QUESTION, style)] * 2, style)
    engine.model = PeftModel.from_pretrained(engine.model, hub / names.adapter).eval()
    student, _ = choose(engine, builder, [QUESTION] * 2, [builder.ask(QUESTION, style)] * 2, style)
    assert session["answer"] == QUESTION.options[student.option]
    assert session["probabilities"] == pytest.approx(student.probabilities, abs=1e-4)
    assert base.probabilities != pytest.approx(student.probabilities, abs=1e-3)  # the adapter was loaded
    assert printed.startswith(session["answer"])


def test_the_printed_code_writes_free_text(bare, names, hub):
    card = adapter_card(bare, names, adapter_licence(bare), AdapterVersion("v1", "e" * 40, "v1"))
    with contextlib.chdir(hub):
        session, printed = run_card(card)
    assert session["written"].shape[1] > session["inputs"]["input_ids"].shape[1]
    assert printed


@pytest.mark.parametrize(
    "teacher", [None, {"style": "text"}, {"style": "text", "recipe": {"style": "text", "support_weight": 0.0}}]
)
def test_a_teacher_that_is_the_model_alone_needs_no_more_words(teacher):
    assert recipe.combined(teacher and TeacherSetup.read(teacher)) == ""


def test_what_else_a_teacher_is_made_of_is_said():
    said = recipe.combined(TeacherSetup.read({
        "style": "letter",
        "recipe": {"style": "letter", "orders": 4, "support_weight": 1.0},
        "calibration": {"views": "model and retrieval", "agreement": 0.568, "n": 192},
        "examples": [[{"id": name, "text": "Why?"}, "because"] for name in "ab"],
    }))  # fmt: skip
    assert "means over 4 orders" in said
    assert "(weight 1)" in said
    assert "(model and retrieval: 57 % of 192 questions)" in said
    assert "2 examples" in said
