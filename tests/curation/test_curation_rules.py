"""English sentences to clauses, and clauses to questions; every example worked by hand."""

from __future__ import annotations

import pytest

from solo_hub.core.records import Document
from solo_hub.curation.clauses import parse
from solo_hub.curation.cloze import Cloze, is_worth_asking
from solo_hub.curation.curating import curate
from solo_hub.curation.forms import Asked, ask, ask_with_gap
from solo_hub.curation.frequencies import MOST_WORDS, Frequencies, _prune

# enough for the corpus to tell nouns from verbs: *waves*, *plants* and *water* stand after articles here
TEXT = "The waves of the sea wet the plants by the water in a rock of the planet, and the cows see it."
NOUNS = [Document(str(n), TEXT) for n in range(8)]


@pytest.fixture(scope="module")
def corpus():
    return Frequencies.count(NOUNS)


def parts(sentence, corpus):
    clause = parse(sentence, corpus)
    if clause is None:
        return None
    return tuple(" ".join(part) for part in (clause.subject, clause.verb, clause.link, clause.object, clause.rest))


@pytest.mark.parametrize(
    ("sentence", "expected"),
    [
        ("A pulley is used for lifting objects.", ("A pulley", "is used", "for lifting", "objects", "")),
        ("A spider has eight legs.", ("A spider", "has", "", "eight legs", "")),
        ("Fog is a kind of stratus cloud on the ground.", ("Fog", "is", "a kind of", "stratus cloud", "on the ground")),
        ("Animals that eat plants are herbivores.", ("Animals that eat plants", "are", "", "herbivores", "")),
        ("Light waves travel as transverse waves.", ("Light waves", "travel", "as", "transverse waves", "")),
        ("Plant growth is dependent on photosynthesis.", ("Plant growth", "is", "dependent on", "photosynthesis", "")),
        ("Viruses also cause problems.", ("Viruses", "also cause", "", "problems", "")),
        ("In winter, bears sleep in caves.", ("bears", "sleep", "in", "caves", "in winter")),
        ("Fire can be used to cook food.", ("Fire", "can be used to cook", "", "food", "")),
        ("Warts are caused by a virus, which enters the skin.", ("Warts", "are caused", "by", "a virus", "")),
        ("Milk contains fat, minerals and protein.", ("Milk", "contains", "", "fat , minerals and protein", "")),
    ],
)
def test_a_sentence_is_cut_at_its_borders(sentence, expected, corpus):
    assert parts(sentence, corpus) == expected


@pytest.mark.parametrize(
    "sentence",
    [
        "It is used for lifting objects.",  # what is it?
        "You can lift objects with a pulley.",  # speech
        "And yes, the sound is horrible",  # goes on from somewhere
        "Visit www.example.org for more objects.",
        "Is a pulley used for lifting objects?",
        "Metamorphic studies of the rocks near the border of the country",  # *studies* is no verb here
        "Ice.",
        "boats travel relatively fast",  # an adverb is no object
    ],
)
def test_what_the_rules_are_not_sure_of_is_left_alone(sentence, corpus):
    assert parse(sentence, corpus) is None


@pytest.mark.parametrize(
    ("sentence", "expected"),
    [
        (
            "A pulley is used for lifting objects.",
            {
                ("fronted", "What is a pulley used for lifting?", "objects"),
                ("end", "A pulley is used for lifting what?", "objects"),
                ("gap", "A pulley is used for lifting ____.", "objects"),
                ("subject", "What is used for lifting objects?", "pulley"),
                ("gap-subject", "A/an ____ is used for lifting objects.", "pulley"),
            },
        ),
        (
            "Cows produce milk in summer.",
            {
                ("fronted", "What do cows produce in summer?", "milk"),
                ("end", "Cows produce what in summer?", "milk"),
                ("end", "Cows produce milk in what?", "summer"),
                ("gap", "Cows produce ____ in summer.", "milk"),
                ("subject", "What produces milk in summer?", "Cows"),
                ("gap-subject", "____ produce milk in summer.", "Cows"),
            },
        ),
        (
            "A spider has eight legs.",
            {
                ("count", "How many legs does a spider have?", "eight"),
                ("fronted", "What does a spider have?", "eight legs"),
                ("end", "A spider has what?", "eight legs"),
                ("gap", "A spider has ____.", "eight legs"),
                ("subject", "What has eight legs?", "spider"),
                ("gap-subject", "A/an ____ has eight legs.", "spider"),
            },
        ),
    ],
)
def test_a_fact_is_asked_in_several_forms(sentence, expected, corpus):
    assert {(a.form, a.text, a.answer) for a in ask(parse(sentence, corpus), corpus)} == expected


def test_persons_are_asked_for_with_who_and_conditions_stay_in_front(corpus):
    asked = ask(parse("Biologists study plants.", corpus), corpus)
    assert Asked("subject", "Who studies plants?", "Biologists") in asked
    asked = ask(parse("If heat is added to ice, then the ice becomes water.", corpus), corpus)
    assert Asked("end", "If heat is added to ice, then the ice becomes what?", "water") in asked
    assert {each.form for each in asked} == {"end", "gap"}


@pytest.mark.parametrize(
    ("sentence", "expected"),
    [
        ("The chief engineer is Ann Lee.", ("Who is the chief engineer?", "Ann Lee")),
        ("The keeper of the bridge is Ann Lee.", ("Who is Ann Lee?", "keeper of the bridge")),
        ("Captain Ann Lee leads the school.", ("Who leads the school?", "Captain Ann Lee")),
        ("The shift begins at 22:00.", ("What time does the shift begin at?", "22:00")),
        ("The shift lasts nine hours.", ("How long does the shift last?", "nine hours")),
        ("Sailors train for ten weeks at school.", ("How long do sailors train at school?", "ten weeks")),
        ("The bearings are greased every 600 hours.", ("How often are the bearings greased?", "every 600 hours")),
        ("The bearings are greased every month.", ("How often are the bearings greased?", "every month")),
        ("The boat was sold in June 2019 to a school.", ("When was the boat sold to a school?", "June 2019")),
        ("The boat's own bell is called Ann.", ("What is the boat's own bell called?", "Ann")),
        ("Rafts are packed by Hall & Reed every autumn.", ("What are rafts packed by every autumn?", "Hall & Reed")),
        ("The pump moves 42 l/min.", ("What does the pump move?", "42 l/min")),
        ("The crew runs Node.js on the boat.", ("What does the crew run on the boat?", "Node.js")),
        ("The boat runs ferries between Rome, Paris and Bonn.", ("What does the boat run?", "ferries")),
    ],
)
def test_names_times_and_lists_are_asked_for_whole(sentence, expected, corpus):
    asked = {(each.text, each.answer) for each in ask(parse(sentence, corpus), corpus)}
    assert expected in asked
    assert not {answer for _, answer in asked} & {"22", "Hall", "Rome"}


def test_names_keep_their_capital_inside_a_question(corpus):
    known = Frequencies.count([*NOUNS, Document("a", "The birds of Asia fly to Asia."), Document("b", "the cows eat")])
    assert ask(parse("Asia has many mountains.", known), known)[0].text == "What does Asia have?"
    assert ask(parse("Cows eat grass.", known), known)[0].text == "What do cows eat?"


@pytest.mark.parametrize(
    ("text", "answer", "worth"),
    [
        ("What does a spider have?", "eight legs", True),
        ("What do cows need?", "things", False),  # says nothing
        ("What do cows need?", "them", False),
        ("What is a cow?", "cow", False),  # answered by itself
        ("What does a long list of farm animals need?", "one two three four five six seven", False),
    ],
)
def test_what_is_worth_asking(text, answer, worth, corpus):
    assert is_worth_asking(Asked("end", text, answer), corpus, 4.0) is worth


def test_a_sentence_without_a_clause_is_asked_with_one_gap_at_most(corpus):
    assert ask_with_gap("Soon after the storm begin the waves", corpus) == [
        Asked("gap", "Soon after the storm begin the ____.", "waves")
    ]
    assert ask_with_gap("Go there", corpus) == []


def test_counts_are_of_documents_and_forms():
    """Two of three documents hold *rock*: idf = ln(4 / 3)."""
    corpus = Frequencies.count(Document(str(n), text) for n, text in enumerate(["A rock, a rock.", "The rock", "Sun"]))
    assert corpus.idf("rock") == pytest.approx(0.28768, abs=1e-5)
    assert corpus.idf("moon") == pytest.approx(1.38629, abs=1e-5)
    assert corpus.documents == 3
    assert corpus.noun_share("rock") == 0  # three times is not enough to tell


def test_a_table_that_is_full_drops_its_rarest():
    table = {str(n): 1 + (n < 10) for n in range(MOST_WORDS + 1)}
    _prune(table)
    assert list(table) == [str(n) for n in range(10)]


def test_cells_of_a_table_are_asked_for_by_column_and_first_cell():
    """A row follows its headings in a document; that a sentence is a row, two with the same columns tell."""
    text = (
        "Carts: Models: Model: Marlow 20; Melts at: 9 C; Part number: X-2; Safe: yes; Warranty: 2 years. "
        "Model: Marlow 60; Melts at: 31 C; Part number: X-6; Safe: no; Warranty: 3 years. "
        "The waves of the sea wet the plants."
    )
    asked = [(one.text, one.answer) for one in Cloze({}, 0).write([Document("d", text)]) if "Marlow 60" in one.text]
    assert asked == [
        ("Marlow 60, Melts at: ____.", "31 C"),
        ("Marlow 60, Part number: ____.", "X-6"),
        ("Part number of Marlow 60?", "X-6"),
        ("Marlow 60, Warranty: ____.", "3 years"),
        ("Warranty of Marlow 60?", "3 years"),
    ]
    first = next(one for one in curate([Document("d", text)], [Cloze({}, 0)], options=3) if "Part number" in one.text)
    assert {"X-2", "X-6"} < set(first.options)  # the column's other cell comes first
    alone = Document("d", "Note: Marlow 60; Warranty: 3 years. The waves of the sea wet the plants.")
    assert not [one for one in Cloze({}, 0).write([alone]) if one.text.startswith(("Marlow 60, ", "Warranty of"))]
