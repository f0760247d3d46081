"""How a finished run is printed: a table, what it means, and where it was published."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from solo_hub.core.console import Console


def print_result(console: Console, document: Mapping[str, Any]) -> None:
    """Print the arms' table, the tests, the verdict and the published repos' links; or the one JSON document."""
    from solo_hub.evaluation.report.format import metric_value
    from solo_hub.evaluation.report.terminal import measured_lines, summary_table
    from solo_hub.evaluation.report.verdict import verdict

    console.document(document)
    console.line()
    columns, rows = summary_table(document)
    subject = document.get("subject", document["task"])
    console.table(
        f"{document['run']}: {subject}, {document['n_questions']:,} held-out questions",
        columns,
        rows,
    )
    console.line()
    for line in measured_lines(document):
        console.line(line)
    labels = document.get("labels") or {}
    accuracy = labels.get("accuracy")
    if accuracy:
        console.line(
            f"pseudo-labels: {labels['n']:,}; accuracy, for analysis only: {metric_value('accuracy', accuracy)}"
        )
    if found := verdict(document):  # last, where the eye is: the headline
        console.line()
        console.line(found.sentence)
    for kind, entry in (document.get("published") or {}).items():
        console.line(
            f"{kind}: {entry['repo_id']} {entry['tag']}" if "repo_id" in entry else f"{kind}: {entry['title']}"
        )
        console.line(f"  {entry['url']}")
