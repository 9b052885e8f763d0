"""Table: the newest value per key."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from rayflow.api.flow import Flow
from rayflow.api.location import invalid
from rayflow.api.misuse import Misuse, Misused
from rayflow.api.on_error import stop
from rayflow.api.sinks import add_sink
from rayflow.api.specs.table import Emit
from rayflow.core.failures import OnError
from rayflow.core.topics import TopicRef
from rayflow.serde.base import Serde

if TYPE_CHECKING:
    from rayflow.api.keyed import KeyedStream

K = TypeVar("K")
V = TypeVar("V")


class Table(Misuse, Generic[K, V]):
    """A table: the newest value per key, kept in state.

    A table emits changes: with `emit="epoch"` (the default) the newest value of each changed key once per epoch, with
    `emit="record"` every update in input order. A change has the event time of the record that made it; of several in
    an epoch, the newest. A deleted key is a change to None.
    """

    __slots__ = ("_flow",)

    _misused = Misused(
        "is a method of streams, and this is a table",
        "Write .changes() first: the stream of the table's changes",
    )

    def __init__(self, flow: Flow) -> None:
        self._flow = flow

    def __repr__(self) -> str:
        return self._flow.describe("Table")

    def changes(self) -> KeyedStream[K, V]:
        """Return the table's changes as a stream with the table's keys.

        >>> import rayflow as rf
        >>> words = rf.Job("example").stream("words", value=str)
        >>> words.key_by(lambda word: word).count().changes().filter(lambda count: count > 10)
        <KeyedStream words | key_by | count | filter>
        """
        from rayflow.api.keyed import KeyedStream

        return KeyedStream(self._flow.carrying())

    def to(
        self,
        topic: str | TopicRef,
        *,
        key: Serde[Any] | type[Any] | None = None,
        value: Serde[Any] | type[Any] | None = None,
        timestamp: Callable[[V], int] | None = None,
        headers: Callable[[V], list[tuple[str, bytes | None]]] | None = None,
        on_error: OnError = stop,
        name: str | None = None,
    ) -> None:
        """Write the changes to a topic, and a tombstone for a deleted key. Options are those of `Stream.to`.

        >>> import rayflow as rf
        >>> rf.Job("example").stream("words", value=str).key_by(lambda word: word).count().to("counts")
        """
        add_sink(
            self._flow,
            topic,
            key=key,
            value=value,
            timestamp=timestamp,
            headers=headers,
            on_error=on_error,
            name=name,
        )


def check_emit(emit: Any) -> Emit:
    """`emit`, if a table can emit so. Raises InvalidJob."""
    if emit not in ("epoch", "record"):
        raise invalid(f"emit={emit!r} is unknown for a table", 'Use emit="epoch" or emit="record"')
    return emit  # type: ignore[no-any-return]
