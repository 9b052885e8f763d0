"""`merge`: the records of several streams as one."""

from __future__ import annotations

from rayflow.operators.base import Operator


class MergeOperator(Operator):
    """Passes every batch on, from whichever stream it came; each stream keeps its own order."""
