"""The model's publisher: the steps and decisions of `rayflow.connectors.kafka.publisher`, on the model broker."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

from rayflow.connectors.base import Publisher
from rayflow.connectors.steps import BEGUN, COMMITTED, COMMITTING, MARKED, POSITIONED, PRODUCED, WAITING
from rayflow.core.batch import EncodedBatch
from rayflow.core.errors import BrokerUnavailable, Fenced, InvariantBroken, RayflowError
from rayflow.core.ids import Marker, SinkTask, TopicPartition
from rayflow.testing.simulation.kafka import TRANSACTION_TIMEOUT, ModelKafka, ModelTransaction
from rayflow.testing.simulation.schedule import Schedule


class ModelPublisher(Publisher):
    """Publishes an epoch in one transaction of the slot's transactional id. It never blocks: instead of waiting it
    raises BrokerUnavailable, or yields WAITING."""

    def __init__(self, kafka: ModelKafka, schedule: Schedule, job: str, slot: int, owner: Any) -> None:
        self._kafka = kafka
        self._schedule = schedule
        self._job = job
        self._owner = owner
        self._id = f"rayflow-{job}-{slot}"
        self._epoch: int | None = None
        self._held: dict[SinkTask, Marker | None] = {}
        self._unfinished: ModelTransaction | None = None

    def open(self, sinks: Sequence[SinkTask]) -> dict[SinkTask, Marker | None]:
        self._take_over()
        self._held = self._read_markers(sinks)
        return dict(self._held)

    def markers(self, sinks: Sequence[SinkTask]) -> dict[SinkTask, Marker | None]:
        return self._read_markers(sinks)

    def _read_markers(self, sinks: Sequence[SinkTask]) -> dict[SinkTask, Marker | None]:
        places = [marker_place(sink) for sink in sinks]
        found = self._kafka.read_offsets(f"{self._job}-markers", places, stable=self._epoch is not None)
        return {sink: _marker(found.get(marker_place(sink))) for sink in sinks}

    def publish(
        self,
        marker: Marker,
        outputs: Mapping[SinkTask, Sequence[EncodedBatch]],
        positions: Mapping[TopicPartition, int],
    ) -> Iterator[str]:
        try:
            while True:
                yield from self._prepare(outputs)
                known = yield from self._attempt(marker, outputs, positions)
                if known or (yield from self._find_out(marker, list(outputs))):
                    break
        except RayflowError:
            self._epoch = self._unfinished = None
            raise
        self._held.update(dict.fromkeys(outputs, marker))
        yield COMMITTED

    def append(self, outputs: Sequence[EncodedBatch]) -> None:
        raise InvariantBroken("An exactly-once publisher was asked to append", job=self._job)

    def flush(self) -> Iterator[str]:
        raise InvariantBroken("An exactly-once publisher was asked to flush", job=self._job)

    def close(self) -> None:
        """Abort an unfinished transaction, if the broker is available."""
        with suppress(BrokerUnavailable, Fenced):
            self._abort()

    def _prepare(self, outputs: Mapping[SinkTask, Sequence[EncodedBatch]]) -> Iterator[str]:
        """Abort the transaction of an interrupted publish, and check that the topics exist."""
        self._ready()
        while not self._reached(self._abort):
            yield WAITING
        for topic in sorted({batch.topic for batches in outputs.values() for batch in batches}):
            while not self._reached(partial(self._kafka.partitions, topic)):
                yield WAITING

    def _ready(self) -> int:
        if self._epoch is None:
            raise InvariantBroken("A publisher that is not open was asked to publish", job=self._job)
        return self._epoch

    def _abort(self) -> None:
        if self._unfinished is not None:
            self._kafka.abort(self._unfinished)
            self._unfinished = None

    def _attempt(
        self,
        marker: Marker,
        outputs: Mapping[SinkTask, Sequence[EncodedBatch]],
        positions: Mapping[TopicPartition, int],
    ) -> Generator[str, None, bool]:
        """One transaction. Returns whether it is known to be committed."""
        transaction = self._unfinished = self._kafka.begin(self._id, self._ready(), self._owner)
        yield BEGUN
        for batch in [batch for batches in outputs.values() for batch in batches]:
            while not self._reached(partial(self._kafka.produce, transaction, batch)):
                if self._overdue(transaction):
                    return False
                yield WAITING
        yield PRODUCED
        while not self._reached(lambda: self._mark(transaction, marker, list(outputs))):
            if self._overdue(transaction):
                return False
            yield WAITING
        yield MARKED
        shown = {place: (position, str(marker.epoch)) for place, position in positions.items()}
        while not self._reached(lambda: self._kafka.add_offsets(transaction, self._job, shown)):
            if self._overdue(transaction):
                return False
            yield WAITING
        yield POSITIONED
        answers: list[str] = []
        while not self._reached(lambda: self._kafka.end(transaction, answers.append)):
            if self._overdue(transaction):
                return False
            yield WAITING
        self._unfinished = None
        while not answers:
            yield COMMITTING
            if self._overdue(transaction):
                return False
        if answers[0] == "fenced":
            raise Fenced("A newer publisher of this job has taken over", job=self._job)
        return answers[0] == "done"

    def _mark(self, transaction: ModelTransaction, marker: Marker, sinks: list[SinkTask]) -> None:
        text = json.dumps({"lineage": marker.lineage, "epoch": marker.epoch})
        offsets = {marker_place(sink): (marker.epoch, text) for sink in sinks}
        self._kafka.add_offsets(transaction, f"{self._job}-markers", offsets)

    def _find_out(self, marker: Marker, sinks: list[SinkTask]) -> Generator[str, None, bool]:
        """After a commit with an unknown outcome: whether the epoch is published."""
        while not self._reached(self._take_over):
            yield WAITING
        held: list[dict[SinkTask, Marker | None]] = []
        while not self._reached(lambda: held.append(self._read_markers(sinks))):
            yield WAITING
        for sink, found in held[0].items():
            if found == marker:
                return True
            newer = found is not None and found.lineage == marker.lineage and found.epoch > marker.epoch
            if newer or (sink in self._held and found != self._held[sink]):
                raise Fenced(f"Another publisher has set the marker of {sink}", job=self._job)
        return False

    def _take_over(self) -> None:
        self._unfinished = None
        self._epoch = self._kafka.init(self._id)

    def _overdue(self, transaction: ModelTransaction) -> bool:
        return self._schedule.now - transaction.began > TRANSACTION_TIMEOUT / 2

    def _reached(self, call: Callable[[], object]) -> bool:
        try:
            call()
        except BrokerUnavailable:
            return False
        return True


def marker_place(sink: SinkTask) -> TopicPartition:
    """The offset that stores the marker of a sink task."""
    return TopicPartition(sink.operator, sink.partition)


def _marker(committed: tuple[int, str] | None) -> Marker | None:
    if committed is None:
        return None
    held = json.loads(committed[1])
    return Marker(held["lineage"], held["epoch"])
