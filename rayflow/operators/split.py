"""`split`: sends each record to the first branch whose predicate holds."""

from __future__ import annotations

from rayflow.api.specs.routing import SplitSpec
from rayflow.core.batch import Batch
from rayflow.core.outputs import OUT, Input, Output
from rayflow.operators.base import Operator, OperatorContext, Outputs
from rayflow.operators.failing import Failures
from rayflow.operators.registry import runs


@runs(SplitSpec)
class SplitOperator(Operator):
    """Asks the branches in order, column at a time; what no branch takes goes to OUT."""

    def __init__(self, spec: SplitSpec) -> None:
        self.spec = spec

    def open(self, context: OperatorContext) -> None:
        super().open(context)
        self.failures = Failures(context, self.spec.on_error)

    def process(self, batch: Batch, input: Input) -> Outputs:
        outputs: list[tuple[Output, Batch]] = []
        for name, predicate in self.spec.branches:
            results, rest, dead = self.failures.apply(predicate, batch.values, batch)
            outputs += dead
            outputs.append((name, rest.select(results)))
            batch = rest.select([not taken for taken in results])
        outputs.append((OUT, batch))
        return outputs
