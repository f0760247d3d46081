"""What is dropped and why; options; coverage; what is held out."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from solo_hub.core.records import CuratedQuestion, Document, Question
from solo_hub.curation import filters
from solo_hub.curation.coverage import Tally, coverage, source_of
from solo_hub.curation.distractors import AnswerPool, kind_of, sample
from solo_hub.curation.filters import HeldOut, SeenHashes, drop
from solo_hub.curation.frequencies import words
from solo_hub.curation.splitting import HELD_OUT, TOO_CLOSE, split


def question(text="What do cows eat?", answer="grass", document="d1", form="fronted", **changes):
    made = CuratedQuestion(
        f"{document}-{form}-{text}",
        text,
        answer,
        (document,),
        "cloze",
        form,
        (f"sentence of {document}",),
        language="en",
    )
    return replace(made, **changes)


def reasons(*questions, held_out=()):
    return [q.dropped for q in drop(questions, [Question(str(n), text) for n, text in enumerate(held_out)])]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({}, None),
        ({"answer": " "}, filters.EMPTY_ANSWER),
        ({"answer": "grass " * 30}, filters.LONG_ANSWER),
        ({"text": "What is?"}, filters.SHORT_QUESTION),
        ({"text": "What do cows eat " * 30}, filters.LONG_QUESTION),
        ({"text": "Was fressen die Kühe und der Hund auf der Wiese?"}, filters.LANGUAGE),
        ({"text": "What do cows eat of the grasses?"}, filters.VISIBLE),  # *grass* and *grasses* have one stem
        ({"dropped": "its writer says so"}, "its writer says so"),
    ],
)
def test_a_question_alone(changes, reason):
    assert reasons(question(**changes)) == [reason]


def test_the_answer_is_looked_for_as_characters_where_there_are_no_words():
    assert reasons(question("茶葉和咖啡因含有什麼\uff1f", "咖啡", language="zh")) == [filters.VISIBLE]
    assert reasons(question("茶葉含有什麼\uff1f", "咖啡因", language="zh")) == [None]


def test_questions_among_themselves():
    """The first is kept; forms of one document are no duplicates of one another."""
    assert reasons(
        question(),
        question("Cows eat what?", form="end"),  # the same fact of the same document in another form
        question("what do  cows eat?", document="d2"),  # the same question again
        question("What do the cows eat?", document="d3"),  # the same content words
        question("What do cows eat?", "hay", "d4"),  # which is right?
        question("What does a cow drink?", "water", "d5"),
    ) == [None, None, filters.REPEATED, filters.DUPLICATE, filters.AMBIGUOUS, None]


def test_held_out_questions_are_recognised_in_other_words():
    """Content words of the held-out question: climate, general, describ, term, temperatur."""
    held_out = ["Climate is generally described in terms of what temperature?"]
    told = reasons(
        question("In terms of what temperature is climate generally described?", "heat"),
        question("Climate is described in general terms of what?", "moisture", "d2"),  # one word less
        question("Climate is generally described in terms of what weather?", "storms", "d3"),  # one word another
        question("Climate zones are described in terms of what weather?", "storms", "d4"),
        held_out=held_out,
    )
    assert told == [filters.LEAKED, filters.LEAKED, filters.LEAKED, None]


def test_short_held_out_questions_must_agree_in_all_words():
    short = HeldOut([Question("1", "What do cows eat?")])
    assert short.holds(frozenset(words("Cows eat what?")))
    assert not short.holds(frozenset(words("What do cows need?")))
    assert not HeldOut([]).holds(frozenset())


def test_seen_hashes_keep_the_first_tag_through_every_doubling():
    seen = SeenHashes()
    keys = [1 + 1024 * n for n in range(5000)]  # all would fall on one place of the first table
    assert [seen.get_or_add(key, key % 97) for key in keys] == [None] * 5000
    assert [seen.get_or_add(key, 1000) for key in keys] == [key % 97 for key in keys]
    assert len(seen) == 5000


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        ("eight", "en number"),
        ("1969", "en year"),
        ("99.5", "en number"),
        ("fog", "en 1"),
        ("social animals", "en 2+ plural"),
        ("Galileo Galilei", "en 2+ name"),
    ],
)
def test_answers_have_kinds(answer, kind):
    assert kind_of(answer, "en") == kind


def pool_of(*answers):
    return AnswerPool(question(f"What is number {n}?", answer=answer) for n, answer in enumerate(answers))


def test_wrong_options_are_of_the_answers_kind_and_never_right():
    pool = pool_of("hay", "Grass", "GRASS", "fog", "rain", "cow", "snow", "eight", "red cells")
    source = "Cows eat grass in the rain."
    made = pool.with_options(question(sentences=(source,)), 4, seed=0)
    assert sorted(made.options) == ["fog", "grass", "hay", "snow"]  # not rain or cow: they stand in the sentence
    assert made.options[made.option] == "grass"
    assert made.question == Question(made.id, made.text, made.options)
    assert pool.with_options(question(sentences=(source,)), 4, seed=0) == made
    assert pool.with_options(question(sentences=(source,)), 6, seed=0).options == ()  # too few fit


def test_a_small_corpus_borrows_of_kinds_that_do_not_show():
    pool = pool_of("hay", "wild mushrooms", "cows", "eight", "Galileo Galilei", "1969")
    made = pool.with_options(
        question("What does blood hold?", answer="red cells", sentences=("Blood holds red cells.",)), 3, seed=0
    )
    assert sorted(made.options) == ["cows", "red cells", "wild mushrooms"]  # plural as well, before all others
    named = pool.with_options(
        question("What can fly?", answer="Bees", form="subject", sentences=("Bees fly.",)), 4, seed=0
    )
    assert {option[0].isupper() for option in named.options} == {True}
    assert "eight" not in {option.lower() for option in named.options}


@pytest.mark.parametrize(
    ("answer", "language", "like"), [("eight", "en", r"[a-z]+"), ("1969", "en", r"\d{4}"), ("\u4e09", "zh", r".")]
)
def test_numbers_are_changed_where_there_are_no_others(answer, language, like):
    made = pool_of("hay").with_options(question(answer=answer, language=language, sentences=("",)), 4, seed=0)
    assert len(set(made.options)) == 4
    assert all(re.fullmatch(like, option) for option in made.options)
    assert made.options[made.option] == answer


def test_a_number_stands_beside_numbers_of_its_unit():
    pool = pool_of("14 euros", "29 euros", "62 euros", "4 months", "9 kg", "75", "12")
    made = pool.with_options(question(answer="14 euros", sentences=("It costs 14 euros.",)), 5, seed=0)
    assert {"14 euros", "29 euros", "62 euros"} < set(made.options)
    assert all(option.endswith(" euros") for option in made.options)  # others are made where there are too few
    made = pool.with_options(question(answer="75", sentences=("It costs 75 euros.",)), 4, seed=0)
    assert "12" in made.options
    assert all(option.isdigit() for option in made.options)
    made = pool_of("2 years", "3 years").with_options(
        question(answer="two years", sentences=("Two years.",)), 4, seed=0
    )
    assert "2 years" not in made.options  # it is right, too


def test_a_number_that_is_subject_and_object_is_one_option():
    answers = ("14 euros", "29 euros", "62 euros")
    asked = [question(f"What is it {n}?", answer, form="subject") for n, answer in enumerate(answers)]
    pool = AnswerPool([*asked, *(replace(one, form="fronted") for one in asked)])
    made = pool.with_options(question(answer="14 euros", sentences=("It costs 14 euros.",)), 3, seed=0)
    assert sorted(made.options) == sorted(answers)


def test_another_right_answer_is_no_wrong_option():
    asked = [question("What is wet?", answer=answer) for answer in ("rain", "fog", "snow", "the sea")]
    pool = AnswerPool([*asked, *(question(f"What is {word}?", answer=word) for word in ("hay", "dust", "sand"))])
    made = pool.with_options(question("What is  wet?", answer="rain", sentences=("Rain is wet.",)), 4, seed=0)
    assert sorted(made.options) == ["dust", "hay", "rain", "sand"]


def test_where_the_answer_stands_tells_nothing():
    pool = pool_of(*(f"word{chr(97 + n)}" for n in range(26)))
    places = [pool.with_options(question(f"What is number {n}?"), 4, 0).option for n in range(400)]
    counts = [places.count(place) for place in range(4)]
    assert min(counts) > 70  # 100 each but for chance: 3.5 standard deviations


def test_a_document_more_changes_few_of_a_sample():
    names = [f"d{n}" for n in range(1000)]
    before, after = sample(names, 100), sample(["new", *names], 100)
    assert len(before) == len(after) == 100
    assert len({place + 1 for place in before} & set(after)) >= 99
    assert sample([], 5) == []


def test_options_stay_where_other_documents_change():
    questions = [question(f"What is number {n}?", answer=f"word{n:x}y") for n in range(300)]
    before, after = AnswerPool(questions), AnswerPool(questions[15:])
    made = [(pool.with_options(q, 4, 0).options for pool in (before, after)) for q in questions[15:]]
    assert sum(one == other for one, other in made) > 0.75 * len(made)  # 0.95 ** 3 = 0.86 hold no removed answer


def test_coverage_counts_documents_by_source_and_lists_the_rest():
    documents = [
        Document("a#1", "...", "a.md, lines 1-3"),
        Document("a#2", "...", "a.md, line 4"),
        Document("b", "...", "worldtree"),
        Document("c", "..."),
    ]
    asked = [question(document="a#2"), question(document="b", dropped="duplicate"), question(documents=("a#2", "c"))]
    made = coverage(documents, asked)
    assert (made.total.documents, made.total.asked, made.total.share) == (4, 2, 0.5)
    assert {s: (c.documents, c.asked) for s, c in made.by_source.items()} == {
        "a.md": (2, 1),
        "worldtree": (1, 0),
        "(no source)": (1, 1),
    }
    assert made.not_asked == ("a#1", "b")


def test_coverage_of_nothing():
    made = coverage([], [])
    assert (made.total.share, made.by_source, made.not_asked) == (1.0, {}, ())


def test_sources_lose_their_place():
    assert source_of(Document("x", "...", "paper.pdf, page 2")) == "paper.pdf"
    assert source_of(Document("x", "...", "table.csv, row 12")) == "table.csv"


def test_a_tally_keeps_both_halves():
    made = Tally()
    for row in (question(), question(form="gap"), question(dropped="dull")):
        made.add(row)
    assert (made.written, made.kept, made.forms) == (3, 2, {"fronted": 1, "gap": 1})
    assert made.dropped == {"dull": 1}


def corpus_questions(count=300):
    found = []
    for n in range(count):
        for form, text in (("fronted", f"What does item{n}x carry?"), ("end", f"Item{n}x carries what?")):
            found.append(question(text, f"load{n}x", f"d{n}", form))
    return found


def test_unseen_documents_are_in_no_learnt_question_and_studied_facts_are():
    questions = corpus_questions()
    made = split(questions, unseen=0.2, studied=0.3, seed=1)
    learnt = {d for q in made.learnt for d in q.documents}
    assert learnt.isdisjoint(d for q in made.unseen for d in q.documents)
    assert {d for q in made.studied for d in q.documents} <= learnt
    assert {q.id for q in made.studied}.isdisjoint(q.id for q in made.learnt)
    assert len(made.learnt) + len(made.unseen) + len(made.studied) == len(questions)
    assert 80 < len(made.unseen) < 160  # 120 but for chance
    assert 40 < len(made.studied) < 100  # 72
    assert split(questions, unseen=0.2, studied=0.3, seed=1) == made
    assert split(questions, unseen=0.2, studied=0.3, seed=2) != made


def test_a_chain_with_one_foot_in_the_held_out_documents_is_dropped():
    questions = corpus_questions(50)
    apart = {d for q in split(questions, unseen=0.5, studied=0).unseen for d in q.documents}
    first, second = min(apart), next(d for d in (f"d{n}" for n in range(50)) if d not in apart)
    chain = question("What does it all carry?", "much", documents=(first, second))
    chain = replace(chain, sentences=(f"sentence of {first}", f"sentence of {second}"))
    made = split([*questions, chain], unseen=0.5, studied=0)
    assert [q.dropped for q in made.dropped] == [HELD_OUT]


def test_what_is_too_close_to_an_unseen_question_is_not_learnt():
    questions = corpus_questions(50)
    apart = split(questions, unseen=0.5, studied=0).unseen[0]
    other = next(q for q in split(questions, unseen=0.5, studied=0).learnt)
    close = replace(other, id="close", text=apart.text)
    made = split([*questions, close], unseen=0.5, studied=0)
    assert [(q.id, q.dropped) for q in made.dropped] == [("close", TOO_CLOSE)]


def test_held_out_parts_have_a_limit():
    made = split(corpus_questions(), unseen=0.5, studied=0.9, most=10)
    assert (len(made.unseen), len(made.studied)) == (10, 10)
    assert {q.dropped for q in made.dropped} == {HELD_OUT}


def test_dropped_questions_stay_dropped_and_nothing_splits_to_nothing():
    made = split([question(dropped="dull")], unseen=0.5, studied=0.5)
    assert (made.learnt, made.unseen, made.studied) == ((), (), ())
    assert [q.dropped for q in made.dropped] == ["dull"]
    assert split([]).learnt == ()
