"""`peek`: calls a function with each value; the records pass unchanged."""

from __future__ import annotations

from typing import Any

from rayflow.api.specs.functions import PeekSpec
from rayflow.core.batch import Batch
from rayflow.operators.function import FunctionOperator
from rayflow.operators.registry import runs


@runs(PeekSpec)
class PeekOperator(FunctionOperator):
    """Passes on every record that the function did not fail on. What it returns is not used."""

    def combine(self, batch: Batch, results: list[Any]) -> Batch:
        return batch
