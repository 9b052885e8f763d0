"""`filter`: keeps the records whose value passes."""

from __future__ import annotations

from typing import Any

from rayflow.api.specs.functions import FilterSpec
from rayflow.core.batch import Batch
from rayflow.operators.function import FunctionOperator
from rayflow.operators.registry import runs


@runs(FilterSpec)
class FilterOperator(FunctionOperator):
    """Keeps the records for which the function's result is true."""

    def combine(self, batch: Batch, results: list[Any]) -> Batch:
        return batch if all(results) else batch.select(results)
