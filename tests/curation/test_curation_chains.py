"""Two sentences composed: every kind of composition worked by hand."""

from __future__ import annotations

import pytest

from solo_hub.core.errors import ConfigError
from solo_hub.core.records import Document
from solo_hub.curation.chains import Chains
from solo_hub.curation.clauses import parse
from solo_hub.curation.composing import compose
from solo_hub.curation.frequencies import Frequencies


def said(first, second):
    corpus = Frequencies()
    found = compose(parse(first, corpus), parse(second, corpus), corpus)
    return [(each.kind, " ".join(w for part in _parts(each.clause) for w in part)) for each in found]


def _parts(clause):
    return (clause.subject, clause.verb, clause.link, clause.object, clause.rest)


@pytest.mark.parametrize(
    ("first", "second", "kind", "together"),
    [
        ("Cars are vehicles.", "A vehicle needs fuel.", "inherit", "Cars need fuel"),
        ("A trout is a kind of fish.", "Fish live in water.", "inherit", "A trout lives in water"),
        ("Birds eat trout.", "A trout is a kind of fish.", "general", "Birds eat fish"),
        ("Cars are vehicles.", "Friction stops a vehicle.", "special", "Friction stops Cars"),
        (
            "Lymph is a fluid that leaks out of capillaries.",
            "Lymph contains lymphocytes.",
            "describe",
            "the fluid that leaks out of capillaries contains lymphocytes",
        ),
        (
            "Seat belts prevent injuries to passengers in cars.",
            "Cars are vehicles.",
            "general",
            "Seat belts prevent injuries to passengers in vehicles",
        ),
        ("A stopwatch measures time.", "All times are measured in seconds.", "general", "A stopwatch measures seconds"),
        (
            "Seat belts prevent injuries.",
            "Seat belts save lives.",
            "both",
            "Seat belts prevent injuries and saves lives",  # as *what* asks for it
        ),
        (
            "Magnets are used in compasses.",
            "A compass is used to navigate oceans.",
            "through",
            "Magnets are used in something that is used to navigate oceans",
        ),
    ],
)
def test_two_sentences_say_more_together(first, second, kind, together):
    assert said(first, second) == [(kind, together)]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("Cars are vehicles.", "Cows eat grass."),  # nothing in common
        ("Whales are not fish.", "Fish live in water."),  # what is not so is not passed on
        ("Helping means giving.", "Giving is a kind of action."),  # about words
        ("If cars stop, then drivers need fuel.", "Fuel contains energy."),  # holds under a condition
    ],
)
def test_what_does_not_follow_is_not_said(first, second):
    assert said(first, second) == []


def test_a_question_of_two_documents_names_both_and_shows_neither_alone():
    documents = [
        Document("a", "Magnets are used in compasses."),
        Document("b", "A compass is used to navigate oceans."),
    ]
    found = list(Chains({}, 0).write(documents))
    assert {(q.text, q.answer) for q in found} == {
        ("Magnets are used in something that is used to navigate what?", "oceans"),
        ("What is used in something that is used to navigate oceans?", "Magnets"),
    }
    assert {q.documents for q in found} == {("a", "b")}
    assert {q.sentences for q in found} == {(documents[0].text, documents[1].text)}
    assert all("compass" not in q.text for q in found)


def test_what_two_sentences_say_of_one_thing_asks_for_it_once():
    documents = [Document("a", "Seat belts prevent injuries."), Document("b", "Seat belts save lives.")]
    found = [(q.form, q.text, q.answer, q.documents) for q in Chains({}, 0).write(documents)]
    assert found == [("both-subject", "What prevents injuries and saves lives?", "Seat belts", ("a", "b"))]


def test_terms_that_many_sentences_hold_link_nothing():
    documents = [Document(str(n), f"Item{n} is used in compasses.") for n in range(5)]
    documents.append(Document("last", "A compass is used to navigate oceans."))
    assert list(Chains({"most_holders": 0}, 0).write(documents)) == []
    assert len({q.documents for q in Chains({}, 0).write(documents)}) == 5


def test_a_sentence_is_composed_with_a_few_others_at_most_the_same_on_every_run():
    documents = [Document("x", "Magnets are used in compasses.")]
    documents += [Document(str(n), f"A compass guides sailors to port{n}.") for n in range(20)]
    found = [list(Chains({"per_sentence": 3}, 7).write(documents)) for _ in range(2)]
    assert found[0] == found[1]
    seconds = {}
    for question in found[0]:
        seconds.setdefault(question.documents[0], set()).add(question.documents[1])
    assert len(seconds["x"]) == 3
    assert max(map(len, seconds.values())) == 3
    assert [q.id for q in Chains({"per_sentence": 3}, 8).write(documents)] != [q.id for q in found[0]]


def test_progress_counts_every_document():
    done = []
    documents = [Document("a", "Cars are vehicles."), Document("b", "A vehicle needs fuel."), Document("c", "Hm")]
    list(Chains({}, 0).write(documents, done.append))
    assert sum(done) == 3


@pytest.mark.parametrize("options", [{"per_pear": 1}, {"per_pair": -1}, {"per_pair": "many"}, {"per_pair": True}])
def test_options_are_checked(options):
    with pytest.raises(ConfigError):
        Chains(options, 0)
