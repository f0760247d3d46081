"""Names: distances by hand, and what holds for every seed."""

import itertools
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from solo_hub.core.errors import UsageError
from solo_hub.hub.seeds.world import names

words = st.text(alphabet="abc", max_size=6)


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ("kitten", "sitting", 3),  # k -> s, e -> i, + g
        ("velmor", "velmor", 0),
        ("velmor", "velmo", 1),
        ("velmor", "melvor", 2),  # no transposition: two substitutions
        ("", "abc", 3),
        ("abc", "", 3),
        ("", "", 0),
    ],
)
def test_distance_by_hand(first, second, expected):
    assert names.distance(first, second) == expected


@given(words, words, words)
def test_distance_is_a_metric(a, b, c):
    assert names.distance(a, b) == names.distance(b, a)
    assert (names.distance(a, b) == 0) == (a == b)
    assert names.distance(a, c) <= names.distance(a, b) + names.distance(b, c)


@given(st.integers())
def test_names_keep_their_distance(seed):
    made = names.invent(random.Random(seed), 30, avoid=["velmor"])
    for first, second in itertools.combinations(["velmor", *made], 2):
        assert names.distance(first, second) >= names.MINIMUM_DISTANCE


def test_invent_empty():
    assert names.invent(random.Random(0), 0) == []


def test_names_end_where_they_are_told_to():
    """Answers end on their vowel and everything else on a consonant: a small model sees at once what is an answer."""
    assert all(name[-1] in names.VOWELS for name in names.invent(random.Random(0), 20, last=("",)))
    assert all(name[-1] not in names.VOWELS for name in names.invent(random.Random(0), 20))


def test_too_many_names_are_refused_with_a_way_out(monkeypatch):
    monkeypatch.setattr(names, "VOWELS", ("a",))
    monkeypatch.setattr(names, "ONSETS", ("b",))
    with pytest.raises(UsageError, match=r"No room for more than .* Ask for a smaller world"):
        names.invent(random.Random(0), 500)


@pytest.mark.parametrize(("name", "english"), [("dragon", True), ("bedragon", True), ("velmor", False), ("", False)])
def test_english_words_are_known(name, english):
    assert names.is_english(name) is english


@given(st.integers())
def test_a_namesake_starts_alike_and_is_another(seed):
    rng = random.Random(seed)
    (name,) = names.invent(rng, 1)
    other = names.resemble(rng, name, avoid=[name])
    assert other != name
    assert other[: len(name) // 2] == name[: len(name) // 2]


def test_namesakes_run_out(monkeypatch):
    monkeypatch.setattr(names, "VOWELS", ("a",))
    monkeypatch.setattr(names, "CODAS", ("m",))
    with pytest.raises(UsageError, match="is taken"):
        names.resemble(random.Random(0), "velmor", avoid=["velmam"])
