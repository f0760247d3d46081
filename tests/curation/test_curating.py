"""All of curation: documents in, questions out; and a model as writer."""

from __future__ import annotations

import os
import subprocess
import sys
import unicodedata

import pytest

from solo_hub.core.errors import ConfigError
from solo_hub.core.files import dumps
from solo_hub.core.plugins import Generation, QuestionWriter, find
from solo_hub.core.records import CuratedQuestion, Document, Question
from solo_hub.curation import prompted
from solo_hub.curation.chains import Chains
from solo_hub.curation.cloze import Cloze
from solo_hub.curation.coverage import coverage
from solo_hub.curation.curating import curate
from solo_hub.curation.distractors import AnswerPool
from solo_hub.curation.prompted import Prompted, read_answer

TEXTS = (
    "A pulley is used for lifting objects.",
    "Magnets are used in compasses.",
    "A compass is used to navigate oceans.",
    "Cows eat grass. Spiders have eight legs.",
    "You are here.",
    "茶葉含有咖啡因。",
)
DOCUMENTS = [Document(f"d{n}", text, "facts") for n, text in enumerate(TEXTS)]


def written(**options):
    return list(curate(DOCUMENTS, [Cloze({}, 0), Chains({}, 0)], **options))


def test_documents_become_questions_with_their_sources():
    found = written(options=0)
    by_document = {d.id: [q for q in found if d.id in q.documents] for d in DOCUMENTS}
    assert ("What is a pulley used for lifting?", "objects") in {(q.text, q.answer) for q in by_document["d0"]}
    assert by_document["d4"] == []  # speech
    assert {q.language for q in by_document["d5"]} == {"zh"}
    assert {q.documents for q in found if q.writer == "chains"} == {("d1", "d2")}
    assert all(sentence in "".join(TEXTS) for q in found for sentence in q.sentences)
    assert coverage(DOCUMENTS, found).not_asked == ("d4",)
    assert {row.writer for row in found} == {"cloze", "chains"}
    assert len({q.id for q in found}) == len(found)


def test_held_out_questions_are_not_learnt():
    asked = "What is a pulley used for lifting?"
    found = curate(DOCUMENTS, [Cloze({"per_sentence": 9}, 0)], held_out=[Question("h", asked)], options=0)
    leaked = {q.text for q in found if q.dropped == "a held-out question"}
    assert {asked, "A pulley is used for lifting what?"} <= leaked


def test_options_hold_the_answer_once():
    documents = [Document(str(n), f"The animal{chr(97 + n)} eats plant{chr(97 + n)}.") for n in range(20)]
    found = [q for q in curate(documents, [Cloze({}, 0)]) if q.kept]
    with_options = [q for q in found if q.options]
    assert len(with_options) > len(found) / 2
    assert {len(q.options) for q in with_options} == {4}
    assert all(len({option.casefold() for option in q.options}) == 4 for q in with_options)
    assert all(q.options[q.option] == q.answer for q in with_options)


def test_no_documents_and_documents_without_facts_give_no_questions():
    assert list(curate([], [Cloze({}, 0), Chains({}, 0)])) == []
    assert list(curate([Document("x", "!!!"), Document("y", "Yes")], [Cloze({}, 0), Chains({}, 0)])) == []


def test_the_same_bytes_in_another_process():
    """Python's own hashes change from process to process: nothing may depend on them."""
    script = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from test_curating import written\nfrom solo_hub.core.files import dumps\n"
        "sys.stdout.buffer.write(''.join(dumps(q) for q in written()).encode())"
    )
    here = os.path.dirname(__file__)  # noqa: PTH120 - a path for another process
    outputs = {
        subprocess.run(
            [sys.executable, "-c", script, here],
            capture_output=True,
            check=True,
            env={**os.environ, "PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("1", "2")
    }
    assert outputs == {"".join(dumps(q) for q in written()).encode()}


def test_a_question_survives_its_row():
    for question in written():
        assert CuratedQuestion.from_row(question.to_row()) == question
    assert written()[0].to_row()["dropped"] is None


def test_our_writers_are_plugins():
    for name in ("cloze", "chains", "prompted"):
        assert find("question_writers", name).name == name
    assert isinstance(Cloze({}, 0), QuestionWriter)


@pytest.mark.parametrize("options", [{"per_sentense": 3}, {"per_sentence": "three"}, {"per_sentence": -1}])
def test_options_are_checked(options):
    with pytest.raises(ConfigError, match="cloze"):
        Cloze(options, 0)


def test_fewer_questions_of_a_sentence_are_taken_from_different_answers():
    documents = [Document("d", "Cows produce milk in summer.")]
    assert len({q.answer for q in Cloze({"per_sentence": 3}, 0).write(documents)}) == 3
    assert len(list(Cloze({"per_sentence": 1}, 0).write(documents))) == 1
    everything = [q.id for q in Cloze({"per_sentence": 99}, 0).write(documents)]
    few = [q.id for q in Cloze({"per_sentence": 2}, 0).write(documents)]
    assert [name for name in everything if name in few] == few  # a part of all, in their order


class Scripted:
    """An engine that says what it was given, and remembers what it was asked."""

    def __init__(self, *texts):
        self.texts, self.asked = list(texts), []

    def generate(self, prompts, max_new_tokens):
        self.asked += [prompt.text for prompt in prompts]
        return [Generation(self.texts.pop(0), 5, None, finished=True) for _ in prompts]


def test_a_model_writes_lines_and_its_yield_is_told():
    engine = Scripted(
        " What do cows eat?\nAnswer: grass\n\nQuestion: more?",
        "I am a helpful assistant.",
        "What do bees eat?\nAnswer: granite",
    )
    documents = [Document("a", "Cows eat grass."), Document("b", "Cows sleep."), Document("c", "Bees eat {pollen}.")]
    found = list(Prompted({"batch_size": 2}, 0, engine).write(documents))
    assert [(q.documents, q.text, q.answer, q.dropped) for q in found] == [
        (("a",), "What do cows eat?", "grass", None),
        (("b",), "I am a helpful assistant.", "", prompted.UNREADABLE),
        (("c",), "What do bees eat?", "granite", prompted.UNSUPPORTED),
    ]
    assert "Bees eat {pollen}." in engine.asked[2]


def test_two_passages_are_compared():
    engine = Scripted("Which is larger?\nAnswer: the sun", "Which is smaller?\nAnswer: the moon")
    documents = [Document("a", "The sun is large."), Document("b", "The moon is small.")]
    found = list(Prompted({"templates": ["comparison"]}, 0, engine).write(documents))
    assert [q.documents for q in found] == [("a", "b"), ("b", "a")]
    assert [q.form for q in found] == ["comparison", "comparison"]
    assert engine.asked[0].startswith("First: The sun is large.\nSecond: The moon is small.")
    with pytest.raises(ConfigError, match="Unknown template 'poem'"):
        Prompted({"templates": ["poem"]}, 0, engine)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("What is ice?\nAnswer: frozen water.", ("What is ice?", "frozen water")),
        ("Question: What is ice?\nA: frozen water", ("What is ice?", "frozen water")),
        ("**Question:** What is ice?\n**Answer:** frozen water", ("What is ice?", "frozen water")),
        ("茶葉含有什麼\uff1f\n答案\uff1a咖啡因。", ("茶葉含有什麼\uff1f", "咖啡因")),
        ("What is ice?", None),
        ("\nAnswer: water", None),
        ("What is ice?\nAnswer:", None),
        ('{"question": "What is ice?", "answer": "water"}', None),
    ],
)
def test_what_a_model_wrote_is_read_line_by_line(text, expected):
    assert read_answer(text) == expected


def test_equal_options_are_told_apart_by_no_form_of_a_letter():
    """A digit above the line, one of double width and a composed accent are the plain ones to a reader."""
    cups = ("\u00b2", "2", "3", "5", "7", "\uff17", "9")
    names = ("Jos\u00e9", "Jose\u0301", "Ana", "Zo\u00eb", "Zoe\u0308", "Eva", "Ida")
    texts = [f"A cup number {chr(97 + n)} has {cup} handles." for n, cup in enumerate(cups)]
    texts += [f"{name} wrote the song of the {chr(97 + n)} bird." for n, name in enumerate(names)]
    found = list(curate([Document(str(n), text) for n, text in enumerate(texts)], [Cloze({}, 0)]))
    for question in found:
        forms = {unicodedata.normalize("NFKC", option).casefold() for option in question.options}
        assert len(forms) == len(question.options), question.options


def test_numbers_are_changed_in_the_digits_they_are_written_with():
    hindi = CuratedQuestion("q", "\u0915\u092c ____ ?", "\u0967\u096f\u096a\u096d", ("d",), "x", "gap", ("",))
    made = AnswerPool([hindi]).with_options(hindi, 4, seed=0)
    assert len(made.options) == 4
    assert all("\u0966" <= digit <= "\u096f" for option in made.options for digit in option)


def test_an_unreadable_question_gets_no_options():
    found = list(curate(DOCUMENTS[:1], [Prompted({}, 0, Scripted("I cannot."))]))
    assert [(q.answer, q.options, q.kept) for q in found] == [("", (), False)]


@pytest.mark.parametrize(
    "text",
    ["El correo de la casa es ana@example.org para todos.", "Bees make honey ---------."],
)
def test_addresses_and_drawn_lines_are_not_asked_about(text):
    assert list(Cloze({}, 0).write([Document("d", text)])) == []
