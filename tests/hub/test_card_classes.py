"""Class names that a dataset's card gives."""

from __future__ import annotations

import json

import pytest
from hub_helpers import fill

from solo_hub.hub.tables import class_names


def dataset(folder, info, **files):
    card = f"---\n{json.dumps({'dataset_info': info})}\n---\n"
    return fill(folder, {"README.md": card, "train.csv": "text,label\nfog,0\n", **files})


def label(names):
    return {"name": "label", "dtype": {"class_label": {"names": names}}}


@pytest.mark.parametrize(
    ("info", "names"),
    [
        ({"features": [{"name": "text", "dtype": "string"}, label({"0": "sad", "1": "glad"})]}, ("sad", "glad")),
        ({"features": [label({"10": "k", **{str(n): chr(97 + n) for n in range(10)}})]}, tuple("abcdefghijk")),
        ({"features": [label(["sad", "glad"])]}, ("sad", "glad")),
        ([{"config_name": "x", "features": [label(["no"])]}, {"features": [label(["sad", "glad"])]}], ("sad", "glad")),
        ({"features": [{"name": "label", "dtype": "int64"}]}, ()),
        ({"features": [label({"0": "a", "2": "c"})]}, ()),
        ({"features": "none"}, ()),
        ("none", ()),
        (None, ()),
    ],
)
def test_names_of_a_card(tmp_path, info, names):
    assert class_names(dataset(tmp_path, info), split="train", column="label") == names


def test_the_configuration_of_a_split_is_the_one_that_is_read(tmp_path):
    folder = dataset(
        tmp_path,
        [{"config_name": "x", "features": [label(["a", "b"])]}, {"config_name": "y", "features": [label(["c", "d"])]}],
    )
    (folder / "train.csv").rename(folder / "x.csv")
    (folder / "y.csv").write_text("text,label\nfog,0\n")
    files = [{"config_name": name, "data_files": f"{name}.csv"} for name in "xy"]
    card = json.loads((folder / "README.md").read_text().split("\n")[1])
    (folder / "README.md").write_text(f"---\n{json.dumps({**card, 'configs': files})}\n---\n")
    assert class_names(folder, split="x/train", column="label") == ("a", "b")
    assert class_names(folder, split="y/train", column="label") == ("c", "d")


def test_a_file_of_its_own_has_no_card(tmp_path):
    folder = dataset(tmp_path, {"features": [label(["sad", "glad"])]})
    assert class_names(folder / "train.csv", column="label") == ()
