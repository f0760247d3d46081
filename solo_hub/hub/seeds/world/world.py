"""Build an invented world from a seed, and write it as two dataset repos.

The world is a set of two-step chains: an entity belongs to a group (fact 1), the group has a property (fact 2), and a
question asks for the entity's property. Training and validation ask about the same chains in different words, so that
validation measures knowledge that moved into the weights, and not the memory of a sentence.

Three balances keep a model that knows nothing at chance (1/8), whatever it prefers: within every phrasing each answer
is right equally often, stands as a wrong option equally often, and the right option's positions are spread evenly.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from solo_hub.core.errors import RunError, UsageError
from solo_hub.hub.seeds.world.lore import KINDS, Kind
from solo_hub.hub.seeds.world.names import invent, resemble

OPTIONS = 8
LABELS = tuple("ABCDEFGH")
QUESTIONS_REPO = "solo-hub/invented-world"
CORPUS_REPO = "solo-hub/invented-world-corpus"

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Chain:
    """Two facts and what follows from them.

    Attributes:
        id: Stable within the world, e.g. `beast-07`.
        kind: What is said and asked about it.
        entity: The thing asked about.
        bridge: The group it belongs to, named by both facts.
        cue: The word the question shares with fact 2.
        answer: What the question asks for.
    """

    id: str
    kind: Kind
    entity: str
    bridge: str
    cue: str
    answer: str

    def say(self, template: str) -> str:
        """Fill a sentence or question of the chain's kind; it starts with a capital."""
        text = template.format(e=self.entity, b=self.bridge, c=self.cue, a=self.answer)
        return text[0].upper() + text[1:]

    @property
    def fact1(self) -> str:
        """Entity -> bridge."""
        return self.say(self.kind.fact1)

    @property
    def fact2(self) -> str:
        """Bridge -> answer."""
        return self.say(self.kind.fact2)


@dataclass(frozen=True, slots=True)
class World:
    """An invented world.

    Attributes:
        seed: What it was built from.
        chains: What is true in it and asked about.
        train_rows: Unlabelled questions in QASC's columns: `answerKey` and the facts are empty.
        validation_rows: Questions in QASC's columns, with answers and facts.
        corpus_rows: Sentences (`id`, `text`, `source`): the chains' facts, and others that answer nothing.
    """

    seed: int
    chains: tuple[Chain, ...]
    train_rows: tuple[Row, ...]
    validation_rows: tuple[Row, ...]
    corpus_rows: tuple[Row, ...]


def build_world(
    seed: int,
    *,
    kinds: int = 4,
    bridges: int = 10,
    entities_per_bridge: int = 2,
    training_phrasings: int = 5,
    validation_phrasings: int = 3,
    trivia: int = 2,
    near_names: float = 0.25,
) -> World:
    """Build a world; equal arguments give equal worlds, another seed other names and other facts.

    Args:
        seed: Seed of everything.
        kinds: Kinds of things (beasts, plants, instruments, places).
        bridges: Groups of each kind, each with its own answer; at least the 8 options of a question.
        entities_per_bridge: Entities that share a group, and so its fact 2.
        training_phrasings: Unlabelled questions a chain.
        validation_phrasings: Held-out questions a chain, in other words.
        trivia: Sentences about each entity, and about each group, that answer nothing.
        near_names: Share of entities, 0..1, with a namesake in the corpus that starts alike and belongs elsewhere.

    Raises:
        UsageError: A size that the lore cannot fill.
    """
    _check("kinds", kinds, 1, len(KINDS))
    lore = KINDS[:kinds]
    cues = min(len(kind.cues) for kind in lore)
    _check("bridges", bridges, OPTIONS, cues)
    _check("entities_per_bridge", entities_per_bridge, 1, 8)
    _check("training_phrasings", training_phrasings, 1, min(len(kind.training) for kind in lore))
    _check("validation_phrasings", validation_phrasings, 1, min(len(kind.validation) for kind in lore))
    _check("trivia", trivia, 0, min(len(pool) for kind in lore for pool in (kind.about_entity, kind.about_bridge)))
    _check("near_names", near_names, 0, 1)

    rng = random.Random(f"invented world {seed}")  # noqa: S311 - a reproducible world, not a secret
    names = invent(rng, kinds * bridges * (1 + entities_per_bridge))
    answers = invent(rng, kinds * bridges, last=("",), avoid=names)
    chains: list[Chain] = []
    for kind in lore:
        groups = list(zip(_take(names, bridges), rng.sample(kind.cues, bridges), _take(answers, bridges), strict=True))
        entities = _take(names, bridges * entities_per_bridge)
        members = [(entity, *groups[i % bridges]) for i, entity in enumerate(entities)]
        rng.shuffle(members)  # so that the number in an id says nothing about the answer
        for number, (entity, bridge, cue, answer) in enumerate(members):
            name = entity.capitalize() if kind.proper else entity
            chains.append(Chain(f"{kind.name}-{number:02}", kind, name, bridge, cue, answer))

    asked: set[tuple[str, ...]] = set()
    train = _ask(rng, chains, "t", training_phrasings, asked)
    validation = _ask(rng, chains, "v", validation_phrasings, asked)
    return World(
        seed=seed,
        chains=tuple(chains),
        train_rows=tuple(_hide(row) for row in train),
        validation_rows=tuple(validation),
        corpus_rows=tuple(_corpus(rng, chains, trivia, near_names)),
    )


def _check(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise UsageError(f"{name} cannot be {value}.", hint=f"It goes from {low} to {high} here.")


def _take(names: list[str], count: int) -> list[str]:
    """Remove and return the last names."""
    taken = names[-count:]
    del names[-count:]
    return taken


def _ask(
    rng: random.Random, chains: Sequence[Chain], split: str, phrasings: int, asked: set[tuple[str, ...]]
) -> list[Row]:
    """Ask about every chain in each phrasing of a split.

    Args:
        rng: Source of chance.
        chains: What is asked about.
        split: `t` for training, `v` for validation; part of the ids.
        phrasings: Questions a chain.
        asked: Entity and options, in order, of all questions so far; added to, so that no list of options returns.
    """
    questions = []
    for kind in dict.fromkeys(chain.kind for chain in chains):
        members = [chain for chain in chains if chain.kind == kind]
        templates = kind.training if split == "t" else kind.validation
        for number, template in enumerate(templates[:phrasings]):
            others = _wrong_options(rng, members)
            questions += [(chain, number, template, others[chain.answer]) for chain in members]
    rng.shuffle(questions)
    positions = [i % OPTIONS for i in range(len(questions))]
    rng.shuffle(positions)
    rows = []
    for (chain, number, template, wrong), position in zip(questions, positions, strict=True):
        options = _order(rng, chain, wrong, position, asked)
        rows.append(_row(f"{chain.id}-{split}{number}", chain, chain.say(template), options))
    return rows


def _wrong_options(rng: random.Random, members: Sequence[Chain]) -> dict[str, list[str]]:
    """Give each answer seven wrong options so that every answer is a wrong option equally often.

    The answers stand in a circle in random order, and each takes its wrong options from the same seven steps along it.
    """
    circle = sorted({chain.answer for chain in members})
    rng.shuffle(circle)
    steps = rng.sample(range(1, len(circle)), OPTIONS - 1)
    return {answer: [circle[(i + step) % len(circle)] for step in steps] for i, answer in enumerate(circle)}


def _order(
    rng: random.Random, chain: Chain, wrong: Sequence[str], position: int, asked: set[tuple[str, ...]]
) -> list[str]:
    """Put the answer at its position among the wrong options, in an order not yet used for this entity."""
    while True:
        options = rng.sample(wrong, len(wrong))
        options.insert(position, chain.answer)
        key = (chain.id, *options)
        if key not in asked:
            asked.add(key)
            return options


def _row(row_id: str, chain: Chain, question: str, options: list[str]) -> Row:
    listed = " ".join(f"({label}) {option}" for label, option in zip(LABELS, options, strict=True))
    return {
        "id": row_id,
        "question": question,
        "choices": {"text": options, "label": list(LABELS)},
        "answerKey": LABELS[options.index(chain.answer)],
        "fact1": chain.fact1,
        "fact2": chain.fact2,
        "combinedfact": chain.say(chain.kind.combined),
        "formatted_question": f"{question} {listed}",
    }


def _hide(row: Row) -> Row:
    """Take from a row everything that tells its answer."""
    return {**row, "answerKey": "", "fact1": "", "fact2": "", "combinedfact": ""}


def _corpus(rng: random.Random, chains: Sequence[Chain], trivia: int, near_names: float) -> list[Row]:
    """List the chains' facts, each once, and the sentences that answer nothing; shuffled."""
    sentences: list[tuple[str, str]] = []
    names = [chain.entity.lower() for chain in chains] + sorted({chain.bridge for chain in chains})
    for chain in chains:
        sentences += [(chain.fact1, chain.kind.name), (chain.fact2, chain.kind.name)]
        sentences += [
            (chain.say(template), chain.kind.name) for template in rng.sample(chain.kind.about_entity, trivia)
        ]
    for chain in {chain.bridge: chain for chain in chains}.values():
        sentences += [
            (chain.say(template), chain.kind.name) for template in rng.sample(chain.kind.about_bridge, trivia)
        ]
    for chain in rng.sample(chains, round(near_names * len(chains))):
        other = rng.choice([c for c in chains if c.kind == chain.kind and c.bridge != chain.bridge])
        name = resemble(rng, chain.entity.lower(), avoid=names)
        names.append(name)
        name = name.capitalize() if chain.kind.proper else name
        sentences.append((Chain("", chain.kind, name, other.bridge, other.cue, other.answer).fact1, chain.kind.name))
    unique = list(dict.fromkeys(sentences))
    rng.shuffle(unique)
    return [
        {"id": f"s{i:04}", "text": text, "source": f"invented world, {kind}s"} for i, (text, kind) in enumerate(unique)
    ]


def write_world(world: World, folder: Path) -> tuple[Path, Path]:
    """Write a world as two dataset repos, each with its card: `<folder>/datasets/<owner>/<name>/`.

    The same world gives the same bytes under the same version of pyarrow.

    Args:
        world: The world.
        folder: Where the `datasets` folder is or will be; files of an earlier world there are replaced.

    Returns:
        The folders of the questions and of the corpus.

    Raises:
        RunError: The folder cannot be written to.
    """
    try:
        return _write(world, folder / "datasets" / QUESTIONS_REPO, folder / "datasets" / CORPUS_REPO)
    except OSError as error:
        raise RunError(
            f"Cannot write the world to '{folder}': {error.strerror}.", hint="Choose another folder."
        ) from error


def _write(world: World, questions: Path, corpus: Path) -> tuple[Path, Path]:
    _write_parquet(questions, "train", world.train_rows, _question_schema())
    _write_parquet(questions, "validation", world.validation_rows, _question_schema())
    _write_parquet(corpus, "train", world.corpus_rows, _corpus_schema())
    _write_card(
        questions,
        seed=world.seed,
        size=_size(len(world.train_rows) + len(world.validation_rows)),
        facts=len(world.chains),
        train=len(world.train_rows),
        validation=len(world.validation_rows),
        training_phrasings=len(world.train_rows) // len(world.chains),
        validation_phrasings=len(world.validation_rows) // len(world.chains),
    )
    _write_card(corpus, seed=world.seed, size=_size(len(world.corpus_rows)), sentences=len(world.corpus_rows))
    return questions, corpus


def _question_schema() -> Any:
    """QASC's columns and types."""
    import pyarrow as pa

    choices = pa.struct([("text", pa.list_(pa.string())), ("label", pa.list_(pa.string()))])
    before = [("id", pa.string()), ("question", pa.string()), ("choices", choices)]
    after = [(name, pa.string()) for name in ("answerKey", "fact1", "fact2", "combinedfact", "formatted_question")]
    return pa.schema(before + after)


def _corpus_schema() -> Any:
    import pyarrow as pa

    return pa.schema([(name, pa.string()) for name in ("id", "text", "source")])


def _write_parquet(repo: Path, split: str, rows: Sequence[Row], schema: Any) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    path = repo / "data" / f"{split}-00000-of-00001.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(pa.Table.from_pylist(list(rows), schema=schema), path)


def _write_card(repo: Path, **facts: Any) -> None:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    templates = Environment(  # noqa: S701 - Markdown from our own words, not HTML
        loader=PackageLoader("solo_hub.hub.seeds.world", "cards"), undefined=StrictUndefined, keep_trailing_newline=True
    )
    text = templates.get_template(f"{repo.name}.md.jinja").render(facts)
    (repo / "README.md").write_text(text, "utf-8", newline="\n")


def _size(rows: int) -> str:
    """The Hub's size category of a dataset.

    >>> _size(640)
    'n<1K'
    """
    return "n<1K" if rows < 1_000 else "1K<n<10K"  # noqa: PLR2004 - the Hub's own steps
