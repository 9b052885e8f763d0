"""The model broker, as scripts use a broker."""

from __future__ import annotations

from collections.abc import Callable

from rayflow.core.batch import EncodedBatch
from rayflow.core.errors import BrokerUnavailable, Fenced
from rayflow.testing.simulation.expiry import Expiry
from rayflow.testing.simulation.faults import Faults
from rayflow.testing.simulation.kafka import Entry, ModelKafka, ModelTransaction
from rayflow.testing.simulation.reader import ModelReader
from rayflow.testing.simulation.schedule import Schedule
from rayflow.testing.simulation.store import ModelStore
from tests.simulation.conformance.reading import PARTITIONS, Read, offset_in_model, read_to_ends, told_at_assign
from tests.simulation.conformance.script import (
    GROUPS,
    Abort,
    Append,
    Begin,
    Commit,
    Forget,
    Init,
    Offsets,
    Operation,
    Produce,
    Seen,
    SetOffset,
    TimePasses,
    place,
)


class ModelBroker:
    """Without faults. Time goes on as far as an operation needs it."""

    def __init__(self, seed: int) -> None:
        self.schedule = Schedule(seed)
        self.kafka = ModelKafka(self.schedule, Faults)
        self.kafka.create("topic", PARTITIONS)
        self._clients: dict[str, tuple[str, int]] = {}
        self._transactions: dict[str, ModelTransaction] = {}
        store = ModelStore(self.schedule, Faults)
        self._expiry = Expiry(self.kafka, lambda: store, "job")
        self._written = 0

    def do(self, operation: Operation) -> str:
        try:
            outcome = self._do(operation)
        except Fenced:
            outcome = "fenced"
        while self.kafka.settling():
            self.schedule.step()
        return outcome

    def _do(self, operation: Operation) -> str:
        kafka = self.kafka
        match operation:
            case Init(client, id):
                self._clients[client] = (id, self._when_possible(lambda: kafka.init(id)))
            case Begin(client):
                self._transactions[client] = kafka.begin(*self._clients[client], client)
            case Produce(client, partition, count):
                kafka.produce(self._transactions[client], self._batch(partition, count))
            case Offsets(client, group, partition, offset):
                offsets = {place(partition): (offset, f"{client} {offset}")}
                kafka.add_offsets(self._transactions[client], group, offsets)
            case Commit(client):
                return self._commit(self._transactions.pop(client))
            case Abort(client):
                kafka.abort(self._transactions.pop(client))
            case Append(partition, count):
                batch = self._batch(partition, count)
                for record in zip(batch.keys, batch.values, batch.timestamps, strict=True):
                    kafka.append(place(partition), Entry(*record))
            case SetOffset(group, partition, offset):
                kafka.commit_offsets({(group, *place(partition)): (offset, "")})
            case Forget():
                self._expiry.forget()
            case TimePasses():
                while self.kafka.open_transactions():
                    self.schedule.step()
        return "done"

    def observe(self) -> Seen:
        seen: Seen = {}
        for p in range(PARTITIONS):
            seen["stable", "topic", p] = self.kafka.stable(place(p))
            seen["end", "topic", p] = len(self.kafka.logs[place(p)])
            for group in GROUPS:
                seen["offset", group, p] = offset_in_model(self.kafka, group, place(p))
        return seen

    def read(self, positions: dict[int, int]) -> Read:
        return read_to_ends(ModelReader(self.kafka, self.schedule), "topic", positions)

    def assign(self, positions: dict[int, int | None]) -> str:
        """What a reader is told."""
        return told_at_assign(ModelReader(self.kafka, self.schedule), "topic", positions)

    def _commit(self, transaction: ModelTransaction) -> str:
        answers: list[str] = []
        self.kafka.end(transaction, answers.append)
        while not answers:
            self.schedule.step()
        return answers[0]

    def _when_possible(self, call: Callable[[], int]) -> int:
        while True:
            try:
                return call()
            except BrokerUnavailable:
                self.schedule.step()

    def _batch(self, partition: int, count: int) -> EncodedBatch:
        numbers = range(self._written, self._written + count)
        self._written += count
        return batch_of("topic", partition, numbers)


def batch_of(topic: str, partition: int | None, numbers: range) -> EncodedBatch:
    """Records of these numbers."""
    keys: list[bytes | None] = [None if n % 5 == 0 else b"k%d" % n for n in numbers]
    values: list[bytes | None] = [None if n % 7 == 0 else b"v%d" % n for n in numbers]
    return EncodedBatch(topic, keys, values, [1_700_000_000_000 + n for n in numbers], partition=partition)
