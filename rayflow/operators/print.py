"""`print`: writes each record to standard output, and passes it on unchanged."""

from __future__ import annotations

import sys

from rayflow.api.specs.outputs import PrintSpec
from rayflow.core.batch import Batch
from rayflow.core.outputs import OUT, Input
from rayflow.core.printable import printable
from rayflow.operators.base import Operator, Outputs
from rayflow.operators.registry import runs


@runs(PrintSpec)
class PrintOperator(Operator):
    """Prints one line per record: the label, the key (unless it is None) and the value, as `repr` shows them."""

    def __init__(self, spec: PrintSpec) -> None:
        self.start = f"{spec.text}: " if spec.text else ""

    def process(self, batch: Batch, input: Input) -> Outputs:
        start = self.start
        text = "".join(
            f"{start}{value!r}\n" if key is None else f"{start}{key!r} {value!r}\n"
            for key, value in zip(batch.keys, batch.values, strict=True)
        )
        # The `repr` of built-in types is printable; that of the user's own class may not be.
        sys.stdout.write(printable(text, lines=True))
        return ((OUT, batch),)
