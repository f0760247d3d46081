"""Names of things that do not exist: pronounceable, far apart from each other, and not English.

A name is two closed syllables, e.g. `velmor`. Distance is what makes a name learnable and findable: a small model and a
sentence embedder both see word pieces, and two names a letter apart look the same to them.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence

from solo_hub.core.errors import UsageError


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


ONSETS = _words("b br d dr f g gr h j k kr l m n p pl r s sk t tr v vr w y z zh")
VOWELS = _words("a e i o u")
INNER_CODAS = _words("l m n r s x k g")
INNER_ONSETS = _words("b d f g j k l m n p r t v w z")
CODAS = _words("b f g k l m n r sh th v x z")
MINIMUM_DISTANCE = 3
"""Fewest single-letter edits between any two names that are asked about."""
_TRIES = 200  # a name; a world of the default size needs 1 to 3

ENGLISH = frozenset(
    _words("""
    bandit banner barren basket batman beaver bedbug better bitter border bottom butler button cabin carbon carrot
    coffin collar cotton dagger damsel dollar dragon fabric falcon felon fever filter finger folder fellow formal forum
    fossil garlic garnet gallon garden goblin goblet gospel habit hammer harbor hidden hobbit human hunger jargon kernel
    kidnap kitten ladder lantern letter linger litter lizard london manner marvel master member merlin metal
    mister model mortal motor muffin muslim mutton napkin normal number pardon partner pelvic person pilgrim pistol
    plasma plankton plunder prefix rabbit ransom random ribbon rotten rubber salmon sandal satan sermon serum signal
    simmer sitcom sudden sultan summer sunlit talon tannin target tartan tavern temper tendon tennis timber tinder
    toxin traffic transit tunnel turban turbot valid vandal vermin vernal vortex vulgar welfare winter wisdom wombat
    zigzag
    """)
)
"""Words in reach of the syllables; a name that holds one is thrown away."""


def distance(first: str, second: str) -> int:
    """Levenshtein distance: the fewest insertions, deletions and substitutions of a letter.

    >>> distance("kitten", "sitting")
    3
    """
    row = list(range(len(second) + 1))
    for i, a in enumerate(first, start=1):
        diagonal, row[0] = row[0], i
        for j, b in enumerate(second, start=1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (a != b))
    return row[-1]


def invent(rng: random.Random, count: int, *, last: Sequence[str] = CODAS, avoid: Iterable[str] = ()) -> list[str]:
    """Make names that keep their distance from each other and from `avoid`.

    Args:
        rng: Source of chance; moved on.
        count: How many.
        last: What a name may end on; an empty string gives names that end on their vowel.
        avoid: Names already taken.

    Raises:
        UsageError: So many names do not fit at this distance.
    """
    taken = list(avoid)
    made: list[str] = []
    for _ in range(count):
        made.append(_try(rng, taken, last))
        taken.append(made[-1])
    return made


def _try(rng: random.Random, taken: Sequence[str], last: Sequence[str]) -> str:
    for _ in range(_TRIES):
        name = "".join(rng.choice(letters) for letters in (ONSETS, VOWELS, INNER_CODAS, INNER_ONSETS, VOWELS, last))
        if not is_english(name) and all(distance(name, other) >= MINIMUM_DISTANCE for other in taken):
            return name
    raise UsageError(f"No room for more than {len(taken)} distinct names.", hint="Ask for a smaller world.")


def resemble(rng: random.Random, name: str, *, avoid: Sequence[str]) -> str:
    """Make a name that starts as `name` does and ends otherwise: a trap for retrieval, asked about by nobody.

    Raises:
        UsageError: Every such name is taken.
    """
    taken = set(avoid)
    for _ in range(_TRIES):
        other = name[: len(name) // 2 + 1] + rng.choice(VOWELS) + rng.choice(CODAS)
        if other not in taken and other != name and not is_english(other):
            return other
    raise UsageError(f"Every name like '{name}' is taken.", hint="Ask for a smaller world.")


def is_english(name: str) -> bool:
    """Whether the name is or holds an English word of the list."""
    return any(word in name for word in ENGLISH)
