"""`map`: value -> value."""

from __future__ import annotations

from typing import Any

from rayflow.api.specs.functions import MapSpec
from rayflow.core.batch import Batch
from rayflow.operators.function import FunctionOperator
from rayflow.operators.registry import runs


@runs(MapSpec)
class MapOperator(FunctionOperator):
    """Replaces each value by the function's result; key, timestamp and headers stay."""

    def combine(self, batch: Batch, results: list[Any]) -> Batch:
        return batch.with_values(results)
