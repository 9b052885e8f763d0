"""One line for people on what an operator does."""

from __future__ import annotations

from rayflow.api.aggregations import BuiltIn
from rayflow.api.durations import text_of
from rayflow.api.functions import name_of
from rayflow.api.processing import class_of
from rayflow.api.specs import (
    AggregateSpec,
    FilterSpec,
    FlatMapSpec,
    FoldSpec,
    KeyBySpec,
    LatestSpec,
    MapSpec,
    OperatorSpec,
    PeekSpec,
    PrintSpec,
    ProcessSpec,
    SinkSpec,
    SplitSpec,
    StreamSpec,
    TableSpec,
    WatermarkStrategy,
    Window,
    WindowSpec,
    one_more,
)


def label_of(spec: OperatorSpec) -> str:
    """What the operator does, without its kind; "" when there is nothing to add."""
    match spec:
        case StreamSpec():
            return f"key {spec.key.name}, value {spec.value.name}, {_watermark(spec.watermark)}"
        case MapSpec() | FilterSpec() | FlatMapSpec() | PeekSpec() | KeyBySpec():
            return name_of(spec.fn)
        case PrintSpec():
            return spec.label
        case SplitSpec():
            return ", ".join(branch for branch, _ in spec.branches)
        case ProcessSpec():
            return class_of(spec).__name__
        case TableSpec():
            return _joined(_reducer(spec.reducer), f"each {spec.emit}")
        case LatestSpec():
            return f"newest value, each {spec.emit}"
        case WindowSpec():
            grace = f"grace {text_of(spec.grace)}" if spec.grace else ""
            return _joined(_window(spec.window), grace, _reducer(spec.reducer), spec.emit)
        case SinkSpec():
            return f"{spec.topic}: key {spec.key.name}, value {spec.value.name}"
        case _:
            return ""


def _window(window: Window) -> str:
    if window.size == window.every:
        return f"tumbling {text_of(window.size)}"
    return f"hopping {text_of(window.size)} every {text_of(window.every)}"


def _watermark(strategy: WatermarkStrategy) -> str:
    if strategy.out_of_order is None:
        return "no watermark"
    return f"out of order by {text_of(strategy.out_of_order)}" if strategy.out_of_order else "in order"


def _reducer(reducer: AggregateSpec | FoldSpec) -> str:
    if isinstance(reducer, FoldSpec):
        if reducer.fn is one_more:
            return "count"
        return _joined("reduce" if reducer.initial is None else "fold", name_of(reducer.fn), by=" ")
    return ", ".join(
        f"{name}={aggregation.kind if isinstance(aggregation, BuiltIn) else type(aggregation).__name__}"
        for name, aggregation in reducer.aggregations
    )


def _joined(*parts: str, by: str = ", ") -> str:
    return by.join(part for part in parts if part)
