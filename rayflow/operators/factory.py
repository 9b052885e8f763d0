"""From what a job file says of an operator to the operator."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rayflow.api.specs import (
    FilterSpec,
    FlatMapSpec,
    GroupByKeySpec,
    KeyBySpec,
    LatestSpec,
    MapSpec,
    MergeSpec,
    PeekSpec,
    PrintSpec,
    ProcessSpec,
    SinkSpec,
    SplitSpec,
    StreamSpec,
    TableSpec,
    WindowSpec,
)
from rayflow.operators.base import Operator
from rayflow.operators.filter import FilterOperator
from rayflow.operators.flat_map import FlatMapOperator
from rayflow.operators.group_by_key import GroupByKeyOperator
from rayflow.operators.key_by import KeyByOperator
from rayflow.operators.latest import LatestOperator
from rayflow.operators.map import MapOperator
from rayflow.operators.merge import MergeOperator
from rayflow.operators.peek import PeekOperator
from rayflow.operators.print import PrintOperator
from rayflow.operators.process import ProcessOperator
from rayflow.operators.sink import SinkOperator
from rayflow.operators.split import SplitOperator
from rayflow.operators.stream import StreamOperator
from rayflow.operators.table import TableOperator
from rayflow.operators.window import WindowOperator
from rayflow.plan.physical import OperatorPlan

_OPERATORS: dict[type[Any], Callable[[Any], Operator]] = {
    StreamSpec: StreamOperator,
    MapSpec: MapOperator,
    FilterSpec: FilterOperator,
    FlatMapSpec: FlatMapOperator,
    PeekSpec: PeekOperator,
    PrintSpec: PrintOperator,
    KeyBySpec: KeyByOperator,
    GroupByKeySpec: lambda spec: GroupByKeyOperator(),
    MergeSpec: lambda spec: MergeOperator(),
    SplitSpec: SplitOperator,
    ProcessSpec: ProcessOperator,
    TableSpec: TableOperator,
    LatestSpec: LatestOperator,
    WindowSpec: WindowOperator,
    SinkSpec: SinkOperator,
}


def build(operator: OperatorPlan) -> Operator:
    """A new operator from its plan, for one task; it still has to be opened."""
    return _OPERATORS[type(operator.spec)](operator.spec)
