"""How a finished run is printed: a table, what it means, and where it was published."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from solo_hub.core.console import Console


def print_result(console: Console, document: Mapping[str, Any]) -> None:
    """Print the table base / teacher / student, the tests, and the published repos; or the one JSON document."""
    from solo_hub.evaluation.report.format import metric_value
    from solo_hub.evaluation.report.terminal import summary_table, verdict_lines

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
    for line in verdict_lines(document):
        console.line(line)
    labels = document.get("labels") or {}
    accuracy = labels.get("accuracy")
    if accuracy:
        console.line(
            f"pseudo-labels: {labels['n']:,}; accuracy, for analysis only: {metric_value('accuracy', accuracy)}"
        )
    published = document.get("published")
    if published:
        console.line()
        for kind, entry in published.items():
            if "repo_id" in entry:
                console.line(f"published {kind}: {entry['repo_id']} {entry['tag']} at commit {entry['commit']}")
            else:
                console.line(f"{kind}: {entry['title']}")
            console.line(f"  {entry['url']}")
