"""What operators over one user function share: call it for the column of values, then make a batch of the results."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

from rayflow.api.specs.functions import FunctionSpec
from rayflow.core.batch import Batch
from rayflow.core.outputs import OUT, Input
from rayflow.operators.base import Operator, OperatorContext, Outputs
from rayflow.operators.failing import Failures


class FunctionOperator(Operator):
    """Runs `spec.fn` over the values of each batch, once per record."""

    def __init__(self, spec: FunctionSpec) -> None:
        self.spec = spec

    def open(self, context: OperatorContext) -> None:
        super().open(context)
        self.failures = Failures(context, self.spec.on_error)

    def process(self, batch: Batch, input: Input) -> Outputs:
        results, kept, dead = self.failures.apply(self.spec.fn, batch.values, batch)
        return (*dead, (OUT, self.combine(kept, results)))

    @abstractmethod
    def combine(self, batch: Batch, results: list[Any]) -> Batch:
        """The batch to emit; `results` has the function's result for each record of `batch`."""
