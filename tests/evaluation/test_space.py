from __future__ import annotations

import ast

import pytest
import yaml

from solo_hub.core.errors import UsageError
from solo_hub.evaluation.metrics.space import NAMES, fill_space, module_folder

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")


@pytest.mark.parametrize("name", NAMES)
def test_a_space_holds_what_evaluate_loads(tmp_path, name):
    import evaluate

    fill_space(name, tmp_path / name, namespace="me")
    folder = tmp_path / name
    assert {file.name for file in folder.iterdir()} == {"README.md", "app.py", "requirements.txt", f"{name}.py"}
    assert (folder / f"{name}.py").read_bytes() == (module_folder(name) / f"{name}.py").read_bytes()
    _, header, body = (folder / "README.md").read_text("utf-8").split("---\n", 2)
    assert yaml.safe_load(header)["app_file"] == "app.py"
    assert f'evaluate.load("me/{name}")' in body
    ast.parse((folder / "app.py").read_text("utf-8"))
    metric = evaluate.load(str(folder), cache_dir=str(tmp_path / "cache"), module_type="metric")
    assert set(metric.features) == {"predictions", "references"}


def test_every_metric_of_the_package_can_be_a_space():
    folders = {item.parent.name for item in module_folder("rouge").parent.glob("*/__init__.py")}
    assert folders == set(NAMES)


def test_unknown_metric(tmp_path):
    with pytest.raises(UsageError, match="Did you mean 'rouge'"):
        fill_space("rogue", tmp_path, namespace="me")
