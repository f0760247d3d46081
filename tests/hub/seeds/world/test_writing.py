"""The written world: bytes, columns and cards."""

import pyarrow as pa
import pytest
import yaml
from pyarrow import parquet

from solo_hub.core.errors import SoloHubError
from solo_hub.hub.seeds.world.world import build_world, write_world

STRING_LIST = pa.list_(pa.string())
QASC = {
    "id": pa.string(),
    "question": pa.string(),
    "choices": pa.struct([("text", STRING_LIST), ("label", STRING_LIST)]),
    "answerKey": pa.string(),
    "fact1": pa.string(),
    "fact2": pa.string(),
    "combinedfact": pa.string(),
    "formatted_question": pa.string(),
}


@pytest.fixture(scope="module")
def world():
    return build_world(3)


@pytest.fixture(scope="module")
def written(world, tmp_path_factory):
    return write_world(world, tmp_path_factory.mktemp("hub"))


def contents(folder):
    return {path.relative_to(folder): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_layout(written):
    questions, corpus = written
    assert questions.parts[-3:] == ("datasets", "solo-hub", "invented-world")
    assert corpus.parts[-3:] == ("datasets", "solo-hub", "invented-world-corpus")
    assert [str(name) for name in contents(questions)] == [
        "README.md",
        "data/train-00000-of-00001.parquet",
        "data/validation-00000-of-00001.parquet",
    ]
    assert [str(name) for name in contents(corpus)] == ["README.md", "data/train-00000-of-00001.parquet"]


def test_columns_are_those_of_qasc(written):
    for split in ("train", "validation"):
        schema = parquet.read_schema(written[0] / "data" / f"{split}-00000-of-00001.parquet")
        assert schema.names == list(QASC)
        for name, kind in QASC.items():
            assert schema.field(name).type == kind


def test_rows_come_back(world, written):
    questions, corpus = written
    for folder, split, rows in (
        (questions, "train", world.train_rows),
        (questions, "validation", world.validation_rows),
        (corpus, "train", world.corpus_rows),
    ):
        assert parquet.read_table(folder / "data" / f"{split}-00000-of-00001.parquet").to_pylist() == list(rows)


def test_the_training_file_holds_no_answer(written):
    """Not in the columns, and not in the bytes of statistics or metadata either."""
    table = parquet.read_table(written[0] / "data" / "train-00000-of-00001.parquet")
    for column in ("answerKey", "fact1", "fact2", "combinedfact"):
        assert set(table[column].to_pylist()) == {""}


def test_same_seed_same_bytes_other_seed_other_bytes(written, tmp_path):
    questions, corpus = write_world(build_world(3), tmp_path / "again")
    assert contents(questions) == contents(written[0])
    assert contents(corpus) == contents(written[1])
    other, _ = write_world(build_world(4), tmp_path / "other")
    assert contents(other) != contents(written[0])


def test_a_new_world_replaces_the_old(written, tmp_path):
    write_world(build_world(4), tmp_path)
    questions, _ = write_world(build_world(3), tmp_path)
    assert contents(questions) == contents(written[0])


def test_cards_say_what_is_there(world, written):
    for folder in written:
        text = (folder / "README.md").read_text("utf-8")
        _, head, body = text.split("---\n", 2)
        card = yaml.safe_load(head)
        assert card["license"] == "apache-2.0"
        files = {item["split"]: item["path"] for item in card["configs"][0]["data_files"]}
        assert {path for split in files for path in folder.glob(files[split])} == set(folder.glob("data/*"))
        assert card["size_categories"] == ["n<1K"]
        assert "seed 3" in body
        assert "\n\n\n" not in text
        assert text.endswith("\n")
    questions, corpus = ((folder / "README.md").read_text("utf-8") for folder in written)
    assert f"{len(world.train_rows)} questions without answers" in questions
    assert f"{len(world.validation_rows)} questions with answers" in questions
    assert f"{len(world.corpus_rows)} sentences" in corpus


def test_a_place_that_cannot_be_written_is_named(world, tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(SoloHubError, match="Cannot write the world to"):
        write_world(world, blocked)
