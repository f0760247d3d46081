"""What the metrics' `evaluate` modules share."""

from collections.abc import Sequence
from typing import Any, ClassVar

import datasets
import evaluate


class Module(evaluate.Metric):
    """An `evaluate` module of predictions and references.

    Attributes:
        description: What is measured.
        inputs: Its arguments, and an example.
        kind: Type of a prediction and of a reference.
        score: Scores aligned predictions and references: an array a metric, or a number.
    """

    description: ClassVar[str]
    inputs: ClassVar[str]
    kind: ClassVar[str] = "string"
    score: ClassVar[Any]

    def _info(self) -> evaluate.MetricInfo:
        features = datasets.Features({name: datasets.Value(self.kind) for name in ("predictions", "references")})
        return evaluate.MetricInfo(
            description=self.description, citation="", inputs_description=self.inputs, features=features
        )

    def _compute(
        self,
        predictions: Sequence[Any],
        references: Sequence[Any],
        per_item: bool = False,  # noqa: FBT001, FBT002 - `evaluate` hands arguments on by name
        **options: Any,
    ) -> dict[str, Any]:
        scores = type(self).score(predictions, references, **options)
        return {name: values.tolist() if per_item else float(values.mean()) for name, values in scores.items()}
