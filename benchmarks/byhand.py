"""The workloads by hand over confluent-kafka: what a careful programmer would write without an engine.

One process: batches in, msgspec, a dict, batches out, and one Kafka transaction a second with the output and the
input offsets. State changes of a transaction are staged in LMDB before it is committed, and folded in with the next
ones; after a crash the group's offsets tell whether the staged ones count. It reads to the ends that it finds.

It has the settings that make it fastest, above all a collector that looks for cycles seldom.

    python -m benchmarks.byhand WORKLOAD --broker HOST:PORT --source TOPIC --sink TOPIC --group NAME --state DIR

`--poll N` takes so many records at once, to see what that costs.
"""

from __future__ import annotations

import argparse
import gc
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import msgspec
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition

from benchmarks.byhand_state import Changes, State

COMMIT_EVERY = 1.0
POLL = 1_000
"""Records taken at once."""
WINDOW, GRACE = 60_000, 5_000
NEVER = 1 << 62


class Order(msgspec.Struct, gc=False):
    user: str
    item: str
    price: float
    qty: int


class Total(msgspec.Struct, gc=False):
    user: str
    total: float


class Running(msgspec.Struct, gc=False):
    key: str
    count: int
    revenue: float


class Minute(msgspec.Struct, gc=False):
    key: str
    window_start: int
    count: int
    revenue: float


decode = msgspec.json.Decoder(Order).decode
encode = msgspec.json.Encoder().encode

Output: TypeAlias = tuple[bytes | None, bytes | None, int]
"""Key, value, timestamp."""


class Identity:
    """Records as they come."""

    def __init__(self, rows: dict[bytes, Any]) -> None:
        self.changes: Changes = {}

    def process(self, messages: list[Any]) -> list[Output]:
        return [(m.key(), m.value(), m.timestamp()[1]) for m in messages]

    def finish(self) -> list[Output]:
        """What the end of the input makes final."""
        return []

    def due(self) -> list[Output]:
        """What goes out with the commit that is about to be made; before `take`."""
        return []

    def take(self) -> Changes:
        """The rows that changed since the last call."""
        changes, self.changes = self.changes, {}
        return changes


class Totals(Identity):
    """Decode, filter, compute, encode."""

    def process(self, messages: list[Any]) -> list[Output]:
        out: list[Output] = []
        for m in messages:
            order = decode(m.value())
            if order.price > 20:
                out.append((m.key(), encode(Total(order.user, order.price * order.qty)), m.timestamp()[1]))
        return out


class Counts(Identity):
    """Count and revenue per user."""

    def __init__(self, rows: dict[bytes, Any]) -> None:
        super().__init__(rows)
        self._rows = rows

    def process(self, messages: list[Any]) -> list[Output]:
        rows, changes = self._rows, self.changes
        out: list[Output] = []
        for m in messages:
            order = decode(m.value())
            key = m.key()
            row = rows.get(key)
            if row is None:
                row = rows[key] = [0, 0.0]
            row[0] += 1
            row[1] += order.price * order.qty
            changes[key] = row
            out.append((key, encode(Running(order.user, row[0], row[1])), m.timestamp()[1]))
        return out


class Items(Counts):
    """Count and revenue per item; one process sees every partition, so nothing has to be moved."""

    def process(self, messages: list[Any]) -> list[Output]:
        rows, changes = self._rows, self.changes
        out: list[Output] = []
        for m in messages:
            order = decode(m.value())
            key = order.item.encode()
            row = rows.get(key)
            if row is None:
                row = rows[key] = [0, 0.0]
            row[0] += 1
            row[1] += order.price * order.qty
            changes[key] = row
            out.append((key, encode(Running(order.item, row[0], row[1])), m.timestamp()[1]))
        return out


class Newest(Identity):
    """The newest value of each key, every one out."""

    def __init__(self, rows: dict[bytes, Any]) -> None:
        super().__init__(rows)
        self._rows = rows

    def process(self, messages: list[Any]) -> list[Output]:
        out = super().process(messages)
        self.changes.update((key, value) for key, value, _ in out if key is not None)
        self._rows.update((key, value) for key, value, _ in out if key is not None)
        return out


class NewestOnce(Newest):
    """The newest value of each key, out once a commit, with the latest time."""

    def __init__(self, rows: dict[bytes, Any]) -> None:
        super().__init__(rows)
        self._latest = 0

    def process(self, messages: list[Any]) -> list[Output]:
        out = super().process(messages)
        self._latest = max(self._latest, *(time for _, _, time in out))
        return []

    def due(self) -> list[Output]:
        return [(key, value, self._latest) for key, value in self.changes.items()]


class Minutes(Identity):
    """Count and revenue per user and minute. Event time is each partition's own, so that a partition which is read
    ahead of the others makes nothing of theirs late. Rows are kept as b"partition|start|user", times as b"time|p"."""

    def __init__(self, rows: dict[bytes, Any]) -> None:
        super().__init__(rows)
        self._windows: dict[tuple[int, int], dict[str, list[Any]]] = {}
        self._now: dict[int, int] = {}
        self._due: dict[int, int] = {}
        self._dirty: dict[tuple[int, int, str], Any] = {}
        for key, row in rows.items():
            kind, *rest = key.decode().split("|", 2)
            if kind == "time":
                self._now[int(rest[0])] = row
            else:
                self._windows.setdefault((int(kind), int(rest[0])), {})[rest[1]] = row
        for partition in self._now:
            self._plan(partition)

    def take(self) -> Changes:
        changes: Changes = {f"{p}|{start}|{user}".encode(): row for (p, start, user), row in self._dirty.items()}
        changes.update({f"time|{p}".encode(): now for p, now in self._now.items()})
        self._dirty.clear()
        return changes

    def process(self, messages: list[Any]) -> list[Output]:
        windows, now, due, dirty = self._windows, self._now, self._due, self._dirty
        out: list[Output] = []
        for m in messages:
            order = decode(m.value())
            partition = m.partition()
            time = m.timestamp()[1]
            start = time - time % WINDOW
            if time > now.get(partition, 0):
                now[partition] = time
                if time >= due.get(partition, NEVER):
                    out += self._close(partition, time)
            if start + WINDOW + GRACE <= now[partition]:
                continue
            users = windows.get((partition, start))
            if users is None:
                users = windows[partition, start] = {}
                self._plan(partition)
            row = users.get(order.user)
            if row is None:
                row = users[order.user] = [0, 0.0]
            row[0] += 1
            row[1] += order.price * order.qty
            dirty[partition, start, order.user] = row
        return out

    def finish(self) -> list[Output]:
        """The input has ended: every window that is open is final."""
        return [one for partition in self._now for one in self._close(partition, NEVER)]

    def _close(self, partition: int, time: int) -> list[Output]:
        out: list[Output] = []
        ended = sorted(key for key in self._windows if key[0] == partition and key[1] + WINDOW + GRACE <= time)
        for _, start in ended:
            for user, (count, revenue) in self._windows.pop((partition, start)).items():
                out.append((user.encode(), encode(Minute(user, start, count, revenue)), start + WINDOW - 1))
                self._dirty[partition, start, user] = None
        self._plan(partition)
        return out

    def _plan(self, partition: int) -> None:
        starts = [start for p, start in self._windows if p == partition]
        self._due[partition] = min(starts) + WINDOW + GRACE if starts else NEVER


LOOPS: dict[str, Callable[[dict[bytes, Any]], Identity]] = {
    "identity": Identity,
    "map": Totals,
    "count": Counts,
    "shuffle": Items,
    "window": Minutes,
    "newest": Newest,
    "newest-epoch": NewestOnce,
}


class Loop:
    """Reads a topic to its end, and commits output, offsets and state together once a second."""

    def __init__(self, workload: str, broker: str, source: str, sink: str, group: str, folder: Path) -> None:
        self._source, self._sink = source, sink
        self._consumer = Consumer(
            {
                "bootstrap.servers": broker,
                "group.id": group,
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
                "isolation.level": "read_committed",
                "max.partition.fetch.bytes": 4 << 20,
                "fetch.min.bytes": 100_000,
                "fetch.wait.max.ms": 50,
                "queued.min.messages": 200_000,
            }
        )
        self._failed: list[KafkaError] = []
        self._producer = Producer(
            {
                "bootstrap.servers": broker,
                "transactional.id": group,
                "linger.ms": 50,
                "batch.size": 1 << 20,
                "partitioner": "murmur2_random",
                "queue.buffering.max.messages": 1_000_000,
                "queue.buffering.max.kbytes": 1 << 20,
                "delivery.report.only.error": True,
                "on_delivery": self._delivered,
            }
        )
        self._producer.init_transactions()
        places = [TopicPartition(source, p) for p in self._consumer.list_topics(source).topics[source].partitions]
        committed = {
            place.partition: place.offset for place in self._consumer.committed(places, 30) if place.offset >= 0
        }
        self._state = State(folder / "rows", committed) if workload not in ("identity", "map") else None
        self._work = LOOPS[workload]({} if self._state is None else self._state.rows)
        self._positions = {place.partition: committed.get(place.partition, 0) for place in places}
        self._ends = {place.partition: self._consumer.get_watermark_offsets(place, 30)[1] for place in places}
        self._consumer.assign([TopicPartition(source, p, at) for p, at in self._positions.items()])

    def _delivered(self, error: KafkaError | None, _message: Any) -> None:
        if error is not None:
            self._failed.append(error)

    def run(self, poll: int = POLL) -> None:
        """To the end of the source, with up to `poll` records at once."""
        positions, process = self._positions, self._work.process
        self._producer.begin_transaction()
        last = time.monotonic()
        while positions != self._ends:
            messages = self._consumer.consume(poll, 0.1)
            for m in messages:
                error = m.error()
                if error is not None:
                    raise KafkaException(error)
                positions[m.partition()] = m.offset() + 1  # type: ignore[index, operator]
            if messages:
                self._send(process(messages))
            if time.monotonic() - last >= COMMIT_EVERY:
                self._commit()
                self._producer.begin_transaction()
                last = time.monotonic()
        self._send(self._work.finish())
        self._commit()
        if self._state is not None:
            self._state.fold()
        self._consumer.close()

    def _send(self, outputs: list[Output]) -> None:
        produce, sink = self._producer.produce, self._sink
        for key, value, timestamp in outputs:
            while True:
                try:
                    produce(sink, value, key, timestamp=timestamp)
                    break
                except BufferError:
                    self._producer.poll(0.05)
        self._producer.poll(0)
        self._check()

    def _commit(self) -> None:
        self._send(self._work.due())
        if self._state is not None:
            self._state.stage(self._work.take(), self._positions)
        places = [TopicPartition(self._source, p, at) for p, at in self._positions.items()]
        self._producer.send_offsets_to_transaction(places, self._consumer.consumer_group_metadata())
        self._producer.commit_transaction()
        self._check()

    def _check(self) -> None:
        if self._failed:
            raise KafkaException(self._failed[0])


def collect_seldom() -> None:
    """Look for reference cycles seldom, and never among what is there already: what rayflow does while it runs.

    Python looks after every 700 new containers; each message is one, and there are no cycles here.
    """
    gc.freeze()
    gc.set_threshold(100_000, 20, 20)


def main() -> None:
    """Run one workload."""
    options = argparse.ArgumentParser(prog="python -m benchmarks.byhand")
    options.add_argument("workload", choices=sorted(LOOPS))
    for name in ("broker", "source", "sink", "group"):
        options.add_argument(f"--{name}", required=True)
    options.add_argument("--state", type=Path, required=True)
    options.add_argument("--poll", type=int, default=POLL)
    given = options.parse_args()
    given.state.mkdir(parents=True, exist_ok=True)
    loop = Loop(given.workload, given.broker, given.source, given.sink, given.group, given.state)
    collect_seldom()
    loop.run(given.poll)


if __name__ == "__main__":
    main()
