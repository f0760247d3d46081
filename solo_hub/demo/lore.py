"""What can be said in an invented world: kinds of things, each with its two facts, its questions and its answers.

Data, no logic. In every sentence `{e}` is the entity asked about, `{b}` the group it belongs to (the bridge), `{c}` a
cue and `{a}` the answer. Fact 1 ties entity to bridge, fact 2 ties bridge to answer; a question names the entity and
the cue, never the bridge. The cue is what QASC's questions have too: a word they share with the second fact, without which
retrieval from the question alone could not find it. Several bridges share a cue, so only both facts give the answer.

Answers are common English words of one or two tokens, all of one sort and none plausible: a model's liking for one of
them is right no more often than chance, because every answer is right equally often.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of thing and everything said about it.

    Attributes:
        name: Short name, part of ids.
        fact1: Entity -> bridge.
        fact2: Bridge -> answer.
        combined: What the two facts together say.
        training: Phrasings of the question in the training split.
        validation: Phrasings kept for the validation split.
        trivia: True sentences about an entity that answer nothing.
        cues: Words that questions share with the second fact.
        answers: Pool of answers.
        proper: Whether entities are written with a capital.
    """

    name: str
    fact1: str
    fact2: str
    combined: str
    training: tuple[str, ...]
    validation: tuple[str, ...]
    trivia: tuple[str, ...]
    cues: tuple[str, ...]
    answers: tuple[str, ...]
    proper: bool = False


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


KINDS = (
    Kind(
        name="beast",
        fact1="The {e} is a {c} beast of the {b} family.",
        fact2="The {c} beasts of the {b} family feed on {a}.",
        combined="The {e} feeds on {a}.",
        training=(
            "What does the {c} beast {e} feed on?",
            "The {e} is a {c} beast that feeds on what?",
            "Which food does the {e}, a {c} beast, eat?",
            "What is eaten by the {e}, a beast of the {c}?",
            "A {e} is one of the {c} beasts. What is its food?",
            "What should a keeper feed to a {c} beast named {e}?",
        ),
        validation=(
            "What do {c} beasts such as the {e} eat?",
            "The {e}, being a {c} beast, lives on a diet of what?",
            "If a hungry {e}, a {c} beast, goes feeding, what does it look for?",
        ),
        trivia=(
            "The {e} sleeps standing up.",
            "A young {e} is born with its eyes open.",
            "The {e} can hear a whisper a mile away.",
            "Old songs call the {e} a sign of luck.",
        ),
        cues=_words("marsh cliff meadow cave jungle reef tundra forest"),
        answers=_words("chalk copper coal wax rust salt ash sand silk clay glass smoke snow moss paper bark"),
    ),
    Kind(
        name="herb",
        fact1="The {e} is a {c} herb of the {b} order.",
        fact2="The {c} herbs of the {b} order cure {a}.",
        combined="The {e} cures {a}.",
        training=(
            "What does the {c} herb {e} cure?",
            "The {e} is a {c} herb that cures what?",
            "Which trouble is cured by the {e}, a {c} herb?",
            "What goes away with the {e}, a herb of the {c} that cures?",
            "A {e} is one of the {c} herbs. What does it cure?",
            "Against what do people take a {c} herb named {e}?",
        ),
        validation=(
            "What do {c} herbs such as the {e} heal?",
            "The {e}, being a {c} herb, is used as a cure for what?",
            "If a healer brings the {e}, a {c} herb, what is to be cured?",
        ),
        trivia=(
            "The {e} has leaves shaped like a hand.",
            "Bees never visit the {e}.",
            "The {e} was painted by many old masters.",
            "Seeds of the {e} float on water.",
        ),
        cues=_words("spring winter harvest summer morning night monsoon frost"),
        answers=_words(
            "fever fear cough grief itch thirst cramps anger burns deafness hiccups envy boredom baldness toothache lies"
        ),
    ),
    Kind(
        name="instrument",
        fact1="The {e} is a {c} instrument of the {b} school.",
        fact2="The {c} instruments of the {b} school are made of {a}.",
        combined="The {e} is made of {a}.",
        training=(
            "What is the {c} instrument {e} made of?",
            "The {e} is a {c} instrument made of what?",
            "Which material is the {e}, a {c} instrument, made of?",
            "What goes into the making of the {e}, an instrument for a {c}?",
            "A {e} is one of the {c} instruments. What is it made of?",
            "What does a maker need to build a {c} instrument named {e}?",
        ),
        validation=(
            "What are {c} instruments such as the {e} made from?",
            "The {e}, being a {c} instrument, is built out of what?",
            "If a broken {e}, a {c} instrument, is made anew, which material is used?",
        ),
        trivia=(
            "The {e} is kept in a blue box.",
            "It takes two people to carry a {e}.",
            "The {e} was forbidden for a hundred years.",
            "Children learn the {e} at the age of six.",
        ),
        cues=_words("wedding funeral festival war temple dance market court"),
        answers=_words("bone oak brass horn leather bamboo iron cork marble pearl silver wool ice tin straw rubber"),
    ),
    Kind(
        name="town",
        fact1="The town of {e} is a {c} town of the {b} league.",
        fact2="The {c} towns of the {b} league are guarded by {a}.",
        combined="The town of {e} is guarded by {a}.",
        training=(
            "What guards the {c} town of {e}?",
            "The {c} town of {e} is guarded by what?",
            "Which animals guard {e}, a {c} town?",
            "What keeps watch as a guard over {e}, a {c} town?",
            "{e} is one of the {c} towns. What is it guarded by?",
            "Which guards does a thief meet in the {c} town named {e}?",
        ),
        validation=(
            "By what are {c} towns such as {e} guarded?",
            "{e}, being a {c} town, has which animals as its guards?",
            "If a stranger comes to {e}, a {c} town, what stands guard there?",
        ),
        trivia=(
            "The streets of {e} are paved with round stones.",
            "In {e} the clocks run backwards.",
            "The people of {e} paint their doors every year.",
            "No bridge leads to the old part of {e}.",
        ),
        cues=_words("river hill harbour desert valley canal border lake"),
        answers=_words("wolves bears owls lions geese snakes bulls foxes rams eagles pigs cats frogs crabs bees goats"),
        proper=True,
    ),
)
