"""`key_by`: gives each record the key that a function makes of its value."""

from __future__ import annotations

from typing import Any

from rayflow.api.specs.functions import KeyBySpec
from rayflow.core.batch import Batch
from rayflow.operators.function import FunctionOperator
from rayflow.operators.registry import runs
from rayflow.serde.keys import all_as_equal


@runs(KeyBySpec)
class KeyByOperator(FunctionOperator):
    """Replaces each key by the function's result. The exchange behind it moves records to their partition.

    Keys that Python holds for equal become one: what a row of state is called must not depend on which came first.
    """

    def combine(self, batch: Batch, results: list[Any]) -> Batch:
        return batch.with_keys(all_as_equal(results))
