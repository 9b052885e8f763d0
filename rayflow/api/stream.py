"""Stream: records that pass through operators."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from rayflow.api.branches import Branches
from rayflow.api.flow import Flow
from rayflow.api.functions import check_function, check_iterable, item_type, returned_type
from rayflow.api.graph import check_identifier
from rayflow.api.location import caller_location, invalid
from rayflow.api.misuse import Misuse, Misused
from rayflow.api.on_error import check_on_error, stop
from rayflow.api.process import ProcessFunction
from rayflow.api.processing import process_spec, result_of_process
from rayflow.api.serdes import merged_serde, serde_of_result
from rayflow.api.sinks import add_sink
from rayflow.api.specs.functions import FilterSpec, FlatMapSpec, KeyBySpec, MapSpec, PeekSpec
from rayflow.api.specs.outputs import PrintSpec
from rayflow.api.specs.routing import GroupByKeySpec, MergeSpec, SplitSpec
from rayflow.api.specs.table import Emit, LatestSpec
from rayflow.core.failures import OnError
from rayflow.core.outputs import DEAD_LETTER, LATE, OUT
from rayflow.core.topics import TopicRef
from rayflow.serde import auto
from rayflow.serde.base import Serde

if TYPE_CHECKING:
    from typing_extensions import Self

    from rayflow.api.keyed import KeyedStream
    from rayflow.api.table import Table

K = TypeVar("K")
V = TypeVar("V")
K2 = TypeVar("K2")
V2 = TypeVar("V2")
R = TypeVar("R")


class Stream(Misuse, Generic[K, V]):
    """A stream of records with keys K and values V. Each method adds an operator and returns its output.

    Functions receive the value. `name=` sets an operator's id, so that its state survives upgrades. `on_error=` says
    what to do with a record for which the function raises. All methods raise InvalidJob, with the line of the job file.
    """

    __slots__ = ("_flow",)

    _misused: ClassVar[Misused | None] = Misused(
        "needs a keyed stream, and this one is not keyed at this point",
        "Put .key_by(fn) before it, or .group_by_key() to keep the topic's own keys",
    )

    def __init__(self, flow: Flow) -> None:
        self._flow = flow

    def __repr__(self) -> str:
        return self._flow.describe(type(self).__name__)

    def map(self, fn: Callable[[V], R], *, on_error: OnError = stop, name: str | None = None) -> Stream[K, R]:
        """Replace each value by `fn(value)`.

        >>> import rayflow as rf
        >>> job = rf.Job("example")
        >>> job.stream("words", value=str).map(lambda word: {"length": len(word)}).to("lengths")
        >>> with rf.testing.Driver(job) as d:
        ...     d.send("words", "hello")
        ...     d.read("lengths")
        [{'length': 5}]
        """
        check_function(fn, "map()", "value")
        value = serde_of_result(returned_type(fn))
        return Stream(self._flow.add("map", MapSpec(fn, check_on_error(on_error)), name=name, value=value))

    def filter(self, fn: Callable[[V], object], *, on_error: OnError = stop, name: str | None = None) -> Self:
        """Keep the records for which `fn(value)` is true.

        >>> import rayflow as rf
        >>> job = rf.Job("example")
        >>> job.stream("words", value=str).filter(lambda word: len(word) > 3).to("long-words")
        >>> with rf.testing.Driver(job) as d:
        ...     d.send_all("words", ["stream", "of", "words"])
        ...     d.read("long-words")
        ['stream', 'words']
        """
        check_function(fn, "filter()", "value")
        return type(self)(self._flow.add("filter", FilterSpec(fn, check_on_error(on_error)), name=name))

    def flat_map(
        self, fn: Callable[[V], Iterable[R]], *, on_error: OnError = stop, name: str | None = None
    ) -> Stream[K, R]:
        """Replace each value by the values that `fn(value)` returns, each with the record's key and timestamp.

        >>> import rayflow as rf
        >>> job = rf.Job("example")
        >>> job.stream("lines", value=str).flat_map(str.split).to("words")
        >>> with rf.testing.Driver(job) as d:
        ...     d.send("lines", "to be or not")
        ...     d.read("words")
        ['to', 'be', 'or', 'not']
        """
        check_function(fn, "flat_map()", "value", gives="a list of values, or write yield")
        check_iterable(fn, "flat_map()", records=False)
        value = serde_of_result(item_type(returned_type(fn)))
        return Stream(self._flow.add("flat_map", FlatMapSpec(fn, check_on_error(on_error)), name=name, value=value))

    def peek(self, fn: Callable[[V], object], *, on_error: OnError = stop, name: str | None = None) -> Self:
        """Call `fn(value)` for its side effect; records pass unchanged. After a crash it may see some records again.

        >>> import rayflow as rf
        >>> rf.Job("example").stream("words", value=str).peek(print)
        <Stream words | peek>
        """
        check_function(fn, "peek()", "value", gives="")
        return type(self)(self._flow.add("peek", PeekSpec(fn, check_on_error(on_error)), name=name))

    def print(self, label: str | None = None, *, name: str | None = None) -> Self:
        """Print the key and value of each record to standard output, after `label` (default: the operator's id).

        >>> import rayflow as rf
        >>> rf.Job("example").stream("words", value=str).print("seen")
        <Stream words | print>
        """
        text = self._flow.graph.id_of_next("print", name) if label is None else label
        return type(self)(self._flow.add("print", PrintSpec(text), name=name))

    def key_by(self, fn: Callable[[V], K2], *, on_error: OnError = stop, name: str | None = None) -> KeyedStream[K2, V]:
        """Set each record's key to `fn(value)`, and repartition the stream by key (an exchange).

        A key is bytes, str, int, float, bool, date, datetime, UUID or a tuple of these. None is an error of its record
        (RF-2006): filter such records out, or set `on_error=`.

        >>> import rayflow as rf
        >>> job = rf.Job("example")
        >>> job.stream("words", value=str).key_by(lambda word: word[0]).count().to("counts", key=str)
        >>> with rf.testing.Driver(job) as d:
        ...     d.send_all("words", ["be", "or", "be"])
        ...     [(record.key, record.value) for record in d.records("counts")]
        [('b', 2), ('o', 1)]
        """
        from rayflow.api.keyed import KeyedStream

        check_function(fn, "key_by()", "value")
        flow = self._flow.add("key_by", KeyBySpec(fn, check_on_error(on_error)), name=name, key=auto)
        return KeyedStream(flow.rekeyed_at(caller_location()))

    def group_by_key(self, *, name: str | None = None) -> KeyedStream[K, V]:
        """Group by the topic's own keys and partitioning, without an exchange. Drops and counts records without a key.

        Must come before any `key_by`. If the stream merges topics that are partitioned in different ways (with another
        key serde, or on another kind of system), an exchange is added, so that all records of a key meet in one task;
        `describe` shows it.

        >>> import rayflow as rf
        >>> rf.Job("example").stream("words", key=str, value=str).group_by_key().count()
        <Table words | group_by_key | count>
        """
        from rayflow.api.keyed import KeyedStream

        if self._flow.rekeyed is not None:
            raise invalid(
                f"group_by_key() needs the topic's own keys, but key_by() at {self._flow.rekeyed} replaced them",
                "Drop group_by_key() if the stream is still keyed by that, or call key_by() again",
            )
        return KeyedStream(self._flow.add("group_by_key", GroupByKeySpec(), name=name).carrying(False))

    def merge(self, *others: Stream[K2, V2], name: str | None = None) -> Stream[K | K2, V | V2]:
        """Merge this stream with others, in no particular order. A stream that is given twice is included twice.

        >>> import rayflow as rf
        >>> job = rf.Job("example")
        >>> job.stream("eu", value=str).merge(job.stream("us", value=str), job.stream("asia", value=str))
        <Stream eu | merge>
        """
        flows = [self._flow]
        for other in others:
            if not isinstance(other, Stream):
                raise invalid(f"merge() is given a {type(other).__name__}", "Give streams; of a table, its changes()")
            if other._flow.graph is not self._flow.graph:
                raise invalid("merge() is given a stream of another job", "Merge streams of one job")
            flows.append(other._flow)
        if not others:
            raise invalid("merge() is given nothing to merge with", "Give one or more streams")
        graph = self._flow.graph
        node = graph.add("merge", MergeSpec(), tuple(flow.feed() for flow in flows), name=name)
        key, value = merged_serde([flow.key for flow in flows]), merged_serde([flow.value for flow in flows])
        rekeyed = next((flow.rekeyed for flow in flows if flow.rekeyed is not None), None)
        return Stream(Flow(graph, node, key, value, OUT, rekeyed))

    def split(
        self, *, on_error: OnError = stop, name: str | None = None, **branches: Callable[[V], object]
    ) -> Branches[Self]:
        """Send each record to the first branch whose predicate is true, or to `rest`.

        Branches cannot be named on_error, name, rest, out, late or dead_letter.

        >>> import rayflow as rf
        >>> job = rf.Job("example")
        >>> branches = job.stream("sizes").split(big=lambda size: size > 100, small=lambda size: size > 0)
        >>> branches["big"].to("big")
        >>> branches.rest.to("odd")
        >>> with rf.testing.Driver(job) as d:
        ...     d.send_all("sizes", [500, 5, -1])
        ...     d.read("big"), d.read("odd")
        ([500], [-1])
        """
        if not branches:
            raise invalid("split() is given no branch", "Name one or more: split(big=lambda o: o.qty > 100)")
        for branch, predicate in branches.items():
            if branch in ("rest", OUT, LATE, DEAD_LETTER):
                raise invalid(f"a branch cannot be called {branch!r}", "Give it another name")
            check_identifier(branch, "a branch")
            check_function(predicate, f"split({branch}=)", "value")
        spec = SplitSpec(tuple(branches.items()), check_on_error(on_error))
        flow = self._flow.add("split", spec, name=name)
        return Branches({branch: type(self)(flow.at_output(branch)) for branch in branches}, type(self)(flow))

    def process(
        self, make: Callable[[], ProcessFunction[K, V, R]], *, on_error: OnError = stop, name: str | None = None
    ) -> Stream[K, R]:
        """Run a ProcessFunction: pass its class, or a function that creates an instance. Each task creates one.

        On a stream that is not keyed it can read key, timestamp and headers, but has no state and no timers.

        >>> import rayflow as rf
        >>> class Stamp(rf.ProcessFunction[bytes, str, dict]):
        ...     def process(self, value, ctx):
        ...         yield {"text": value, "at": ctx.timestamp}
        >>> job = rf.Job("example")
        >>> job.stream("words", value=str).process(Stamp).to("stamped")
        >>> with rf.testing.Driver(job) as d:
        ...     d.send("words", "hello", timestamp=1000)
        ...     d.read("stamped")
        [{'text': 'hello', 'at': 1000}]
        """
        spec = process_spec(make, keyed=self._is_keyed, carried=self._flow.carried, on_error=check_on_error(on_error))
        value = serde_of_result(result_of_process(spec))
        return Stream(self._flow.add("process", spec, name=name, value=value))

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
        """Write the records to a topic, with the delivery guarantee of the job.

        Args:
            key, value: a serde or a type. Default for keys: text as UTF-8, bytes unchanged, others as JSON. Default for
                values: JSON, or the source's serde if the value has not changed since it was read.
            timestamp: returns a value's timestamp, ms since the Unix epoch; default: the record's event time.
            headers: returns a value's headers; default: the record's own.

        >>> import rayflow as rf
        >>> rf.Job("example").stream("words", value=str).to("copy", headers=lambda word: [("origin", b"eu")])
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

    def to_table(self, *, emit: Emit = "epoch", name: str | None = None) -> Table[K, V]:
        """Keep the newest value per key; None deletes the key. Uses the keys of `group_by_key`, unless already keyed.

        >>> import rayflow as rf
        >>> job = rf.Job("example")
        >>> job.stream("users", key=str).to_table().to("newest")
        >>> with rf.testing.Driver(job) as d:
        ...     d.send_all("users", [{"city": "Rome"}, {"city": "Oslo"}], key="ada")
        ...     d.read("newest")
        [{'city': 'Oslo'}]
        """
        from rayflow.api.table import Table, check_emit

        # Jobs of version 0.1 have a group_by_key there also where the keys were carried: their plans stay as they are.
        grouped = self._is_keyed and (self._flow.rekeyed is not None or not self._flow.carried)
        keyed = self if grouped else self.group_by_key()
        return Table(keyed._flow.add("to_table", LatestSpec(check_emit(emit)), name=name))

    @property
    def _is_keyed(self) -> bool:
        return False
