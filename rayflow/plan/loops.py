"""Refuses jobs that read what they have written, without end."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from rayflow.api.graph import Node
from rayflow.api.location import invalid
from rayflow.api.specs.functions import FilterSpec, KeyBySpec, MapSpec, PeekSpec
from rayflow.api.specs.outputs import PrintSpec, SinkSpec
from rayflow.api.specs.routing import GroupByKeySpec, MergeSpec, SplitSpec
from rayflow.api.specs.stream import StreamSpec
from rayflow.core.failures import DeadLetter
from rayflow.core.outputs import LATE, OUT, Output
from rayflow.core.topics import TopicRef

_PASSING = (StreamSpec, KeyBySpec, PeekSpec, PrintSpec, MergeSpec, GroupByKeySpec, SinkSpec)
"""They neither change a value nor leave one out. Any operator that is named nowhere here may do both."""


class _Reached(NamedTuple):
    """An operator that a record reaches: whether its value may have changed, and whether some values are left out."""

    id: str
    changed: bool
    chosen: bool


def check_loops(nodes: Mapping[str, Node]) -> None:
    """Raise InvalidJob if records that a topic receives come back to it without end.

    That is certain if every value comes back, or if the same value does: then what let it pass once lets it pass
    again. A loop that changes values and leaves some out may end (retries with a counter), and is accepted.
    """
    followers: dict[str, list[tuple[Output, Node]]] = defaultdict(list)
    readers: dict[TopicRef, list[tuple[Output, Node]]] = defaultdict(list)
    for node in nodes.values():
        if node.topic is not None:
            readers[node.topic].append((OUT, node))
        for feed in node.inputs:
            followers[feed.operator].append((feed.output, node))
    for topic, streams in readers.items():
        for _, stream in streams:
            letters = stream.spec.on_error
            if isinstance(letters, DeadLetter) and letters.topic == topic:
                raise _endless(topic, stream, "sends its dead letters to")
        reached = _all_from(streams, followers, readers)
        for id, changed, chosen in reached:
            spec = nodes[id].spec
            if isinstance(spec, SinkSpec) and spec.topic == topic and not (changed and chosen):
                raise _endless(topic, nodes[id], "writes to")


def _all_from(
    streams: Iterable[tuple[Output, Node]],
    followers: Mapping[str, list[tuple[Output, Node]]],
    readers: Mapping[TopicRef, list[tuple[Output, Node]]],
) -> set[_Reached]:
    found: set[_Reached] = set()
    waiting = [(node, False, False) for _, node in streams]
    while waiting:
        node, changed, chosen = waiting.pop()
        spec = node.spec
        reached = _Reached(node.id, changed, chosen)
        if reached in found:
            continue
        found.add(reached)
        changes = changed or not isinstance(spec, (*_PASSING, FilterSpec, SplitSpec))
        chooses = chosen or not isinstance(spec, (*_PASSING, MapSpec))
        following = readers.get(spec.topic, []) if isinstance(spec, SinkSpec) else followers.get(node.id, [])
        for output, each in following:  # late records are as they came, and late again
            waiting.append((each, changed if output == LATE else changes, chooses))
    return found


def _endless(topic: TopicRef, node: Node, does: str) -> Exception:
    return invalid(
        f"the job {does} {topic.name!r}, which it reads: each record would come back, in an endless loop",
        "Write to another topic. A loop that may end, as for retries, has a function that changes the value (a count "
        "of the tries) and one that leaves records out (filter, flat_map or process)",
        node.location,
    )
