"""What can be said in an invented world: kinds of things, each with its two facts and its questions.

Data, no logic. In every sentence `{e}` is the entity asked about, `{b}` the group it belongs to (the bridge), `{c}` a
cue (one thing; `{c}s` are many) and `{a}` the answer. Fact 1 ties entity to bridge, fact 2 ties bridge to answer; a
question names the entity and the cue, never the bridge. The cue is what QASC's questions have too: words shared with
the second fact, without which retrieval from the question alone could not find it.

Entities, bridges and answers are invented names. Answers that are words of a language would be liked or disliked by a
model for the sake of the relation ("feeds on ... copper?"), which in a small one drowns what it reads in its passages.
A small model reads badly in another way too: with a second answer among its passages it often takes the wrong one. So
there is enough to say about every entity and group for retrieval to fill its passages without going to the neighbours.
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
        about_entity: Sentences about an entity that answer nothing.
        about_bridge: Sentences about a group that answer nothing.
        cues: Words that a question shares with its second fact, as unlike each other as can be found.
        proper: Whether entities are written with a capital.
    """

    name: str
    fact1: str
    fact2: str
    combined: str
    training: tuple[str, ...]
    validation: tuple[str, ...]
    about_entity: tuple[str, ...]
    about_bridge: tuple[str, ...]
    cues: tuple[str, ...]
    proper: bool = False


def _listed(text: str) -> tuple[str, ...]:
    return tuple(text.split(", "))


KINDS = (
    Kind(
        name="beast",
        fact1="The {e} is a {c} of the {b} family.",
        fact2="The {c}s of the {b} family feed on {a}.",
        combined="The {e} feeds on {a}.",
        training=(
            "What does the {c} {e} feed on?",
            "Which food does the {e}, a {c}, eat?",
            "What is eaten by the {c} named {e}?",
            "A {e} is one of the {c}s. What is its food?",
            "What should a keeper feed to a {c} called {e}?",
            "On what does the {e} feed, being a {c}?",
        ),
        validation=(
            "What do {c}s such as the {e} eat?",
            "When a hungry {e}, a {c}, goes feeding, what does it eat?",
            "The {e} is a {c}. What does it feed on every day?",
        ),
        about_entity=(
            "The {e}, a shy {c}, sleeps standing up.",
            "A young {e} is born with its eyes open.",
            "The {e} can hear a whisper a mile away.",
        ),
        about_bridge=(
            "The {c}s of the {b} family feed in pairs.",
            "What the {c}s of the {b} family eat they find at night.",
            "The {c}s of the {b} family need little food.",
        ),
        cues=_listed(
            "desert lizard, cave bat, river otter, snow owl, jungle monkey, meadow hare, reef crab, "
            "mountain goat, garden snail, swamp frog, night moth, forest bear"
        ),
    ),
    Kind(
        name="plant",
        fact1="The {e} is a {c} of the {b} order.",
        fact2="The {c}s of the {b} order cure {a}.",
        combined="The {e} cures {a}.",
        training=(
            "What does the {c} {e} cure?",
            "Which illness does the {e}, a {c}, cure?",
            "What is cured by the {c} named {e}?",
            "A {e} is one of the {c}s. What does it cure?",
            "What does a doctor cure with a {c} called {e}?",
            "Against what does the {e} help, being a {c}?",
        ),
        validation=(
            "What do {c}s such as the {e} heal?",
            "What can a healer cure with a {e}, which is a {c}?",
            "The {e} is a {c}. What does it cure best?",
        ),
        about_entity=(
            "The {e}, a tall {c}, has leaves shaped like a hand.",
            "Bees never visit the {e}.",
            "The {e} was painted by many old masters.",
        ),
        about_bridge=(
            "The {c}s of the {b} order cure slowly.",
            "What the {c}s of the {b} order cure stays cured.",
            "The {c}s of the {b} order are sold to every healer.",
        ),
        cues=_listed(
            "cotton plant, spring tulip, water reed, palm tree, grape vine, shade fern, "
            "summer rose, pine tree, mushroom, bean sprout, pumpkin, wild onion"
        ),
    ),
    Kind(
        name="instrument",
        fact1="The {e} is a {c} of the {b} school.",
        fact2="The {c}s of the {b} school are made of {a}.",
        combined="The {e} is made of {a}.",
        training=(
            "What is the {c} {e} made of?",
            "Which material is the {e}, a {c}, made of?",
            "Of what stuff is the {c} named {e} made?",
            "A {e} is one of the {c}s. What is it made of?",
            "What is used to make a {c} called {e}?",
            "Of what is the {e} made, being a {c}?",
        ),
        validation=(
            "What are {c}s such as the {e} made from?",
            "If a broken {e}, a {c}, is made anew, which material is used?",
            "The {e} is a {c}. What is most of it made of?",
        ),
        about_entity=(
            "The {e}, a loud {c}, is kept in a blue box.",
            "It takes two people to carry a {e}.",
            "The {e} was forbidden for a hundred years.",
        ),
        about_bridge=(
            "The {c}s of the {b} school are made by hand.",
            "The making of {c}s of the {b} school takes a year.",
            "The {c}s of the {b} school are built in a tower.",
        ),
        cues=_listed(
            "war drum, wedding flute, church organ, dance fiddle, hunting horn, street guitar, temple gong, "
            "court harp, toy whistle, sleigh bell, parade trumpet, concert piano"
        ),
    ),
    Kind(
        name="place",
        fact1="{e} is a {c} of the {b} league.",
        fact2="The {c}s of the {b} league are famous for {a}.",
        combined="{e} is famous for {a}.",
        training=(
            "What is the {c} {e} famous for?",
            "Which thing makes the {c} {e} famous?",
            "For what do people know the {c} named {e}?",
            "{e} is one of the {c}s. What is it famous for?",
            "What has made a {c} called {e} famous?",
            "For what is {e} famous, being a {c}?",
        ),
        validation=(
            "What are {c}s such as {e} known for?",
            "What do travellers praise in {e}, a famous {c}?",
            "{e} is a {c}. For what is it most famous?",
        ),
        about_entity=(
            "The walls of {e} are painted every year.",
            "The clocks of {e} run backwards.",
            "There is a bridge in {e} that leads nowhere.",
        ),
        about_bridge=(
            "The {c}s of the {b} league became famous late.",
            "The fame of the {c}s of the {b} league is old.",
            "The {c}s of the {b} league are known to every traveller.",
        ),
        cues=_listed(
            "fishing port, mining camp, hill fort, farming village, logging camp, railway station, "
            "ski resort, castle, pirate harbor, lighthouse, border post, market square"
        ),
        proper=True,
    ),
)
