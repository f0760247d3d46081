"""Which files make which split: the same answer as `datasets` gives, without running anything of the repo."""

from __future__ import annotations

import pytest
from hub_helpers import fill

from solo_hub.core.errors import InputError
from solo_hub.hub.layouts import splits_of
from solo_hub.hub.tables import read_table


def named(folder):
    return {
        split: [file.relative_to(folder).as_posix() for file in files] for split, files in splits_of(folder).items()
    }


def card(configs):
    return f"---\nlicense: mit\nconfigs:\n{configs}---\n# x\n"


QASC = """- config_name: default
  data_files:
  - {split: train, path: data/train-*}
  - {split: validation, path: [data/validation-*, extra/v.jsonl]}
"""
TWO = """- config_name: main
  data_files: [{split: train, path: main/*.jsonl}]
- config_name: other
  data_dir: other
"""

LAYOUTS = {
    "card": (
        {
            "README.md": card(QASC),
            "data/train-a.jsonl": 1,
            "data/validation-a.jsonl": 2,
            "extra/v.jsonl": 3,
            "extra/w.jsonl": 9,
        },
        None,
        {"train": [1], "validation": [2, 3]},
    ),
    "card, one string": (
        {
            "README.md": card("- config_name: default\n  data_files: '*.jsonl'\n"),
            "a.jsonl": 1,
            "b.jsonl": 2,
            "c/d.jsonl": 9,
        },
        None,
        {"train": [1, 2]},
    ),
    "card, everything below": (
        {
            "README.md": card("- config_name: default\n  data_files: 'd/**'\n"),
            "d/a.jsonl": 1,
            "d/e/b.jsonl": 2,
            "x.jsonl": 9,
        },
        None,
        {"train": [1, 2]},
    ),
    "shards": (
        {
            "data/train-00000-of-00002.jsonl": 1,
            "data/train-00001-of-00002.jsonl": 2,
            "data/held_out-00000-of-00001.jsonl": 3,
        },
        None,
        {"train": [1, 2], "held_out": [3]},
    ),
    "file names": (
        {"my_train_file.jsonl": 1, "dev-1.jsonl": 2, "testing.jsonl": 3},
        None,
        {"train": [1], "validation": [2], "test": [3]},
    ),
    "folder names": (
        {"training/x.jsonl": 1, "val/x.jsonl": 2, "eval/test.jsonl": 3},
        None,
        {"train": [1], "validation": [2], "test": [3]},
    ),
    "no word stands alone": ({"contrained.jsonl": 1, "latest.jsonl": 2}, None, {"train": [1, 2]}),
    "anything": ({"x/a.jsonl": 1, "b.jsonl": 2}, None, {"train": [1, 2]}),
    "two configurations": (
        {"README.md": card(TWO), "main/a.jsonl": 1, "other/test.jsonl": 2},
        ("main", "other"),
        {"main/train": [1], "other/test": [2]},
    ),
    "a default among two": (
        {
            "README.md": card(TWO.replace("main\n", "main\n  default: true\n", 1)),
            "main/a.jsonl": 1,
            "other/test.jsonl": 2,
        },
        ("main", "other"),
        {"train": [1], "main/train": [1], "other/test": [2]},
    ),
}


def build(folder, files):
    return fill(folder, {p: c if isinstance(c, str) else f'{{"n": {c}}}\n' for p, c in files.items()})


@pytest.mark.parametrize("layout", LAYOUTS)
def test_splits(tmp_path, layout):
    files, _, expected = LAYOUTS[layout]
    folder = build(tmp_path / "repo", files)
    found = {split: sorted(row["n"] for _, row in read_table(folder, split=split)) for split in splits_of(folder)}
    assert found == expected


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.filterwarnings("ignore::ResourceWarning")  # datasets leaves files open
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # the same, seen by pytest
def test_datasets_agrees(tmp_path, layout):
    datasets = pytest.importorskip("datasets")
    datasets.disable_progress_bars()
    files, configs, expected = LAYOUTS[layout]
    folder = build(tmp_path / "repo", files)
    theirs = {}
    for config in configs or (None,):
        loaded = datasets.load_dataset(str(folder), config, cache_dir=str(tmp_path / "cache"))
        for split, rows in loaded.items():
            theirs[f"{config}/{split}" if config else str(split)] = sorted(rows["n"])
    assert theirs == {split: rows for split, rows in expected.items() if not configs or "/" in split}


def test_the_hubs_own_parquet_copies(tmp_path):
    one = fill(tmp_path / "one", {"default/train/0000.parquet": "", "default/partial-test/0000.parquet": ""})
    assert named(one) == {"train": ["default/train/0000.parquet"], "test": ["default/partial-test/0000.parquet"]}
    two = fill(tmp_path / "two", {"main/train/0000.parquet": "", "more/train/0000.parquet": ""})
    assert named(two) == {"main/train": ["main/train/0000.parquet"], "more/train": ["more/train/0000.parquet"]}


def test_notes_beside_the_data_are_not_data(tmp_path):
    files = {
        "data.parquet": "",
        "notes.txt": "",
        "dataset_infos.json": "",
        ".hidden/x.parquet": "",
        "requirements.txt": "",
    }
    assert named(fill(tmp_path / "d", files)) == {"train": ["data.parquet"]}


def test_a_folder_without_data_empty(tmp_path):
    with pytest.raises(InputError, match=r"has no data files \(\.parquet"):
        splits_of(fill(tmp_path / "a", {"README.md": "# nothing"}))
    with pytest.raises(InputError, match="scripts are not supported: try the revision refs/convert/parquet"):
        splits_of(fill(tmp_path / "b", {"qasc.py": "raise SystemExit"}))


def test_a_card_that_cannot_be_followed(tmp_path):
    with pytest.raises(InputError, match="not valid YAML"):
        splits_of(fill(tmp_path / "a", {"README.md": "---\na: [\n---\n", "x.csv": "a\n"}))
    with pytest.raises(InputError, match="uses 'sep'"):
        splits_of(
            fill(
                tmp_path / "b", {"README.md": card("- {config_name: x, data_files: x.csv, sep: ';'}\n"), "x.csv": "a\n"}
            )
        )
    with pytest.raises(InputError, match="none of the data files named in the card exist"):
        splits_of(fill(tmp_path / "c", {"README.md": card("- {config_name: x, data_files: y.csv}\n"), "x.csv": "a\n"}))


def test_a_card_cannot_point_out_of_the_folder(tmp_path):
    fill(tmp_path, {"secret.txt": "s"})
    folder = fill(
        tmp_path / "d", {"README.md": card("- {config_name: x, data_files: '../secret.txt'}\n"), "x.csv": "a\n"}
    )
    with pytest.raises(InputError, match="none of the data files"):
        splits_of(folder)
