"""Adds a sink after a place in the graph; used by streams, tables and late records."""

from __future__ import annotations

from typing import Any

from rayflow.api.flow import Flow
from rayflow.api.functions import check_function
from rayflow.api.on_error import check_on_error, stop
from rayflow.api.serdes import serde_of
from rayflow.api.specs.outputs import SinkSpec
from rayflow.api.topics import topic_ref


def add_sink(
    flow: Flow,
    topic: Any,
    *,
    key: Any = None,
    value: Any = None,
    timestamp: Any = None,
    headers: Any = None,
    on_error: Any = stop,
    name: str | None = None,
    kind: str = "sink",
) -> None:
    """Write the records at this place to a topic. Raises InvalidJob."""
    if timestamp is not None:
        check_function(timestamp, "to(timestamp=)", "value")
    if headers is not None:
        check_function(headers, "to(headers=)", "value", gives="")
    spec = SinkSpec(
        topic_ref(topic),
        flow.key if key is None else serde_of(key, "key="),
        flow.value if value is None else serde_of(value, "value="),
        timestamp,
        headers,
        check_on_error(on_error),
    )
    flow.add(kind, spec, name=name)
