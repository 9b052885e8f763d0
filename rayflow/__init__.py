"""rayflow: distributed, stateful stream processing for Kafka, in Python.

    import rayflow as rf

Everything that a job file needs is here; `tests/public` freezes these names.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rayflow.api.aggregations import Aggregation, collect, count, distinct, first, last, max, mean, min, sum
from rayflow.api.branches import Branches
from rayflow.api.event_time import bounded, monotonic, no_watermark
from rayflow.api.job import Job
from rayflow.api.keyed import KeyedStream
from rayflow.api.on_error import dead_letter, skip, stop
from rayflow.api.process import Context, ProcessFunction
from rayflow.api.state import ListState, MapState, ValueState, value
from rayflow.api.state import list_ as list
from rayflow.api.state import map_ as map
from rayflow.api.stream import Stream
from rayflow.api.table import Table
from rayflow.api.topics import csv, embedded, jsonl, kafka
from rayflow.api.windowed import WindowedStream
from rayflow.api.windows import hopping, tumbling
from rayflow.core.errors import RayflowError
from rayflow.core.failures import FailedRecord
from rayflow.core.parameters import setting
from rayflow.serde import auto, float64, int32, int64, json, msgpack, text
from rayflow.serde.base import Serde
from rayflow.serde.record import Record
from rayflow.version import __version__

if TYPE_CHECKING:
    from rayflow import testing as testing

__all__ = [
    "Aggregation",
    "Branches",
    "Context",
    "FailedRecord",
    "Job",
    "KeyedStream",
    "ListState",
    "MapState",
    "ProcessFunction",
    "RayflowError",
    "Record",
    "Serde",
    "Stream",
    "Table",
    "ValueState",
    "WindowedStream",
    "__version__",
    "auto",
    "bounded",
    "collect",
    "count",
    "csv",
    "dead_letter",
    "distinct",
    "embedded",
    "first",
    "float64",
    "hopping",
    "int32",
    "int64",
    "json",
    "jsonl",
    "kafka",
    "last",
    "list",
    "map",
    "max",
    "mean",
    "min",
    "monotonic",
    "msgpack",
    "no_watermark",
    "setting",
    "skip",
    "stop",
    "sum",
    "testing",
    "text",
    "tumbling",
    "value",
]


def __getattr__(name: str) -> Any:
    """`rf.testing` is imported when it is first used: a job that runs does not need it."""
    if name == "testing":
        import importlib

        return importlib.import_module("rayflow.testing")
    raise AttributeError(f"module 'rayflow' has no attribute {name!r}")
