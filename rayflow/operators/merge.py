"""`merge`: the records of several streams as one."""

from __future__ import annotations

from rayflow.api.specs.routing import MergeSpec
from rayflow.operators.base import Operator
from rayflow.operators.registry import runs


@runs(MergeSpec)
class MergeOperator(Operator):
    """Passes every batch on, from whichever stream it came; each stream keeps its own order."""
