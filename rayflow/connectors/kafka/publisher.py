"""Publishes epochs exactly once: records, markers and positions of one epoch in one Kafka transaction.

A transaction is short and begins when its epoch is complete, so none is open between epochs. After a crash, the marker
shows what happened: it is in the same transaction as the records, so either both are visible or neither. The same is
true for a commit whose answer is lost: a new producer fences the old one, which makes the broker finish or abort the
old transaction, and then the marker shows whether to publish the epoch again.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotYet
from functools import partial
from typing import Any

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka import TopicPartition as Place

from rayflow.connectors.base import Publisher
from rayflow.connectors.kafka.admin import KafkaAdmin
from rayflow.connectors.kafka.caller import Caller
from rayflow.connectors.kafka.config import KafkaSettings
from rayflow.connectors.kafka.faults import error_of, fault
from rayflow.connectors.kafka.markers import Markers, group_metadata
from rayflow.connectors.kafka.settling import SETTLE, await_readers
from rayflow.connectors.kafka.transactional_producer import TURN, TransactionalProducer, Verdict, verdict
from rayflow.connectors.kafka.tries import Tries, TryAgain, Unknown
from rayflow.connectors.steps import BEGUN, COMMITTED, COMMITTING, MARKED, POSITIONED, PRODUCED, WAITING
from rayflow.core.batch import EncodedBatch
from rayflow.core.errors import BrokerUnavailable, Fenced, InvariantBroken, RayflowError
from rayflow.core.ids import Marker, SinkTask, TopicPartition

PACE = 0.001
"""Seconds that a step waits for the broker before the caller can do other work."""

SLOW = 1.0
"""Seconds without an answer after which the publisher reports an outage."""

STUCK = 5.0
"""Seconds after which a call inside a transaction is considered stuck, if the broker answers other requests."""

_LATE = 0.9
"""The part of a transaction's timeout after which its producer is abandoned even if the broker accepts records."""

_STILL = 0.1
"""The part of a transaction's timeout within which an available broker accepts at least one record."""

_logger = logging.getLogger(__name__)


class ExactlyOncePublisher(Publisher):
    """The publisher of one worker's slot. Blocking calls run one at a time in its own thread."""

    def __init__(self, settings: KafkaSettings, admin: KafkaAdmin, job: str, slot: int) -> None:
        self._settings = settings
        self._admin = admin
        self._job = job
        self._transactional_id = f"rayflow-{job}-{slot}"
        self._markers = Markers(settings, admin, job)
        self._held: dict[SinkTask, Marker | None] = {}
        self._topics: set[str] = set()
        self._known_topics: set[str] = set()
        self._groups: dict[str, Any] = {}
        self._caller = Caller()
        self._question: Future[Any] | None = None
        self._producer: TransactionalProducer | None = None
        self._outage: str | None = None

    def open(self, sinks: Sequence[SinkTask]) -> dict[SinkTask, Marker | None]:
        """Fence older publishers of the slot, then read the markers. In this order no marker can change any more."""
        self._drop()
        self._groups = {name: group_metadata(name) for name in (self._job, self._markers.group)}
        producer = TransactionalProducer(self._settings, self._transactional_id)
        producer.connect()
        end = time.monotonic() + self._settings.transaction_timeout + 30
        for _ in self._take_over(producer):
            if time.monotonic() > end:
                raise BrokerUnavailable("The broker did not end the transaction of an earlier publisher", job=self._job)
        self._producer = producer
        self._markers.prepare(sinks)
        self._held = self._markers.read(sinks, self._settings.transaction_timeout, stable=True)
        self._markers.await_group(self._job)
        return dict(self._held)

    def markers(self, sinks: Sequence[SinkTask]) -> dict[SinkTask, Marker | None]:
        """The current markers. After `open`, it waits for a transaction in flight.

        Before `open` it does not wait: a killed job may have left one, which stays open until it is fenced or times
        out.
        """
        self._markers.prepare(sinks)
        return self._markers.read(sinks, self._settings.transaction_timeout, stable=self._producer is not None)

    def publish(
        self,
        marker: Marker,
        outputs: Mapping[SinkTask, Sequence[EncodedBatch]],
        positions: Mapping[TopicPartition, int],
    ) -> Iterator[str]:
        """Publish one epoch. After an error, the publisher must be opened again."""
        tries = Tries(self._job, marker.epoch, self._settings.transaction_timeout)
        try:
            while True:
                try:
                    if tries.unknown and (yield from self._find_out(marker, list(outputs))):
                        break
                    tries.settled()
                    yield from self._prepare(outputs)
                    yield from self._try_once(marker, outputs, positions)
                    break
                except (TryAgain, Unknown) as failed:
                    tries.add(failed)
                    # librdkafka may only report that a transaction cannot continue; a deleted topic is one reason.
                    self._known_topics.clear()
        except RayflowError:
            self._drop()
            raise
        self._held.update(dict.fromkeys(outputs, marker))
        yield COMMITTED

    def append(self, outputs: Sequence[EncodedBatch]) -> None:
        """Not available with exactly-once delivery."""
        raise InvariantBroken("An exactly-once publisher was asked to append", job=self._job)

    def flush(self) -> Iterator[str]:
        """Not available with exactly-once delivery."""
        raise InvariantBroken("An exactly-once publisher was asked to flush", job=self._job)

    @property
    def outage(self) -> str | None:
        """Why publishing waits, while it waits."""
        return self._outage

    def settle(self) -> None:
        """Wait until readers can read past the last transaction."""
        await_readers(
            self._settings, self._admin, self._job, self._topics, min(self._settings.transaction_timeout, SETTLE)
        )

    def close(self) -> None:
        """Abort an unfinished transaction, and release all resources. Waits a few seconds at most."""
        producer, self._producer = self._producer, None
        if producer is not None and producer.open:
            # A commit in flight in the thread ends first, and then there is nothing to abort.
            with contextlib.suppress(KafkaException, SystemError, NotYet):
                self._caller.submit(producer.abort).result(2 * TURN)
        self._caller.close()

    def _prepare(self, outputs: Mapping[SinkTask, Sequence[EncodedBatch]]) -> Iterator[str]:
        """Make sure that topics and marker partitions exist, before the first record or marker is sent to them."""
        producer = self._ready()
        if producer.open:  # an earlier publish was interrupted
            yield from self._abort(WAITING)
        self._topics = {batch.topic for batches in outputs.values() for batch in batches}
        yield from self._see_topics()
        if self._markers.unprepared(outputs):
            yield from self._call(partial(self._markers.prepare, list(outputs)), WAITING)

    def _see_topics(self) -> Iterator[str]:
        for topic in sorted(self._topics - self._known_topics):
            yield from self._call(partial(self._admin.partitions, topic), WAITING)
            self._known_topics.add(topic)

    def _try_once(
        self,
        marker: Marker,
        outputs: Mapping[SinkTask, Sequence[EncodedBatch]],
        positions: Mapping[TopicPartition, int],
    ) -> Iterator[str]:
        """One transaction. While it waits for the broker, it yields the name of the last step again."""
        producer = self._ready()
        try:
            producer.begin()
        except KafkaException as failure:
            yield from self._judge(error_of(failure), None, WAITING)
            raise Unknown(error_of(failure)) from failure
        yield BEGUN
        yield from self._produce(producer, [batch for batches in outputs.values() for batch in batches])
        yield PRODUCED
        if outputs:
            offsets = self._markers.offsets(marker, outputs)
            send = partial(producer.send_offsets, offsets, self._groups[self._markers.group])
            yield from self._call(send, PRODUCED, offsets[0].topic, once=True)
        yield MARKED
        if positions:
            shown = [Place(*place, position, str(marker.epoch)) for place, position in positions.items()]
            send = partial(producer.send_offsets, shown, self._groups[self._job])
            yield from self._call(send, MARKED, shown[0].topic, once=True)
        yield POSITIONED
        yield COMMITTING
        yield from self._call(self._ready().commit, COMMITTING)

    def _produce(self, producer: TransactionalProducer, batches: list[EncodedBatch]) -> Iterator[str]:
        outbox = producer.outbox(batches)
        progress = time.monotonic()
        while outbox:
            self._ready()
            try:
                room = outbox.feed()
            except KafkaException as failure:
                yield from self._judge(error_of(failure), outbox.topic, WAITING)
                room = False
            if room:
                progress = time.monotonic()
            producer.serve(0 if room else PACE)
            self._give_up(producer)
            yield self._pace(producer, progress, PRODUCED)

    def _find_out(self, marker: Marker, sinks: list[SinkTask]) -> Generator[str, None, bool]:
        """After a commit with an unknown outcome: whether the epoch is published.

        The new producer makes the broker finish or abort the transaction of the dropped one. If this process was cut
        off for long, a newer publisher may own the slot, and this call takes the slot back. That costs the newer
        publisher a recovery, but never exactness: every publisher fences the others and then reads the marker, and an
        epoch becomes visible together with its marker or not at all. After a "fenced" error this is never done.
        """
        self._drop()
        yield WAITING
        producer = TransactionalProducer(self._settings, self._transactional_id)
        yield from self._take_over(producer)
        self._producer = producer
        held = yield from self._call(partial(self._markers.read, sinks, TURN, stable=True), WAITING)
        yield from self._call(partial(self._markers.await_group, self._job, TURN), WAITING)
        for sink, found in held.items():
            if found == marker:
                _logger.info("epoch %d had been published: its marker is there", marker.epoch)
                return True
            newer = found is not None and found.lineage == marker.lineage and found.epoch > marker.epoch
            if newer or (sink in self._held and found != self._held[sink]):
                raise Fenced(f"Another publisher has set the marker of {sink}", job=self._job)
        _logger.info("epoch %d had not been published: publishing it again", marker.epoch)
        return False

    def _take_over(self, producer: TransactionalProducer) -> Iterator[str]:
        while True:
            try:
                yield from self._wait(producer, producer.take_over, WAITING)
            except KafkaException as failure:
                error = error_of(failure)
                if verdict(error) is not Verdict.AGAIN:
                    raise fault(error, "to begin transactions") from failure
            else:
                return

    def _call(
        self, call: Callable[[], Any], step: str, topic: str | None = None, *, once: bool = False
    ) -> Generator[str, None, Any]:
        """Run a blocking call in the thread until it succeeds, and yield `step`. Raises the error that ends the
        attempt.

        `once`: never repeat the call. A producer that committed offsets during an outage may not find the group's
        coordinator again (librdkafka issue 5511); a new producer does.
        """
        while True:
            producer = self._ready()
            try:
                return (yield from self._wait(producer, call, step))
            except KafkaException as failure:
                yield from self._judge(error_of(failure), topic, step)
                if once:
                    raise Unknown(error_of(failure)) from failure
                if producer.open:  # without an error, a producer waits for a deleted topic
                    self._known_topics.clear()
                    yield from self._see_topics()
            except BrokerUnavailable:
                yield WAITING
            self._give_up(producer)

    def _wait(self, producer: TransactionalProducer, call: Callable[[], Any], step: str) -> Generator[str, None, Any]:
        began = time.monotonic()
        future = self._caller.submit(call)
        while True:
            try:
                answer = future.result(PACE)
            except NotYet:
                silence = time.monotonic() - began
                if silence > SLOW:
                    producer.serve()
                    producer.contact.check()
                if silence > min(SLOW, self._settings.transaction_timeout * _STILL):
                    self._give_up(producer, silence)
                yield self._pace(producer, began, step)
            else:
                self._outage = None
                producer.contact.reached()
                return answer

    def _judge(self, error: KafkaError, topic: str | None, step: str) -> Iterator[str]:
        """Return if the call is to be repeated. Otherwise raise, after aborting the transaction if possible."""
        producer = self._ready()
        producer.contact.check()
        what = verdict(error)
        if what is Verdict.AGAIN:
            return
        if what is Verdict.FENCED:
            raise self._fenced(producer)
        if what is Verdict.DROP:
            raise Unknown(error)
        yield from self._abort(step)
        cause = producer.lasting_cause(error, topic)
        if cause is not None:
            raise cause
        raise TryAgain(error)

    def _abort(self, step: str) -> Iterator[str]:
        producer = self._ready()
        while True:
            try:
                yield from self._wait(producer, producer.abort, step)
            except KafkaException as failure:
                what = verdict(error_of(failure))
                if what is Verdict.FENCED:
                    raise self._fenced(producer) from failure
                if what is not Verdict.AGAIN:
                    raise Unknown(error_of(failure)) from failure
                self._give_up(producer)
            else:
                return

    def _give_up(self, producer: TransactionalProducer, silence: float = 0.0) -> None:
        """Drop a producer before its transaction times out, or if one of its calls does not return.

        When a transaction times out, the broker aborts it, which looks like being fenced. So a producer is dropped well
        before the timeout, or closer to it while records are being sent.
        """
        if not producer.open:
            return
        timeout, age = self._settings.transaction_timeout, producer.age
        if age > timeout / 2:
            goes_on = producer.stillness() < timeout * _STILL
            if not goes_on or age > timeout * _LATE:
                raise Unknown(slow=goes_on)
        if silence > STUCK and self._answers(producer):
            _logger.debug("a call of librdkafka did not return for %.0f s though the broker answers", silence)
            raise Unknown

    def _answers(self, producer: TransactionalProducer) -> bool:
        """Whether the broker has answered a request made in parallel to the pending call. Makes the request if
        necessary."""
        if self._question is None:
            asker = Caller()
            self._question = asker.submit(producer.ping)
            asker.close()
        if not self._question.done():
            return False
        answered = self._question.exception() is None
        self._question = None
        return answered

    def _pace(self, producer: TransactionalProducer, since: float, step: str) -> str:
        """The step's name, or WAITING if there was no progress for long."""
        silence = min(time.monotonic() - since, producer.stillness())
        if silence < SLOW:
            return step
        self._outage = producer.contact.outage or f"no answer for {silence:.0f} s"
        return WAITING

    def _fenced(self, producer: TransactionalProducer) -> Fenced:
        if producer.age < self._settings.transaction_timeout:
            return Fenced("A newer publisher of this job has taken over", job=self._job)
        return Fenced(
            f"The broker ended this publisher's transaction after {self._settings.transaction_timeout:g} s",
            job=self._job,
            advice="The process was suspended, or another one runs this job. A restart loses no data",
        )

    def _ready(self) -> TransactionalProducer:
        if self._producer is None:
            raise InvariantBroken("A publisher that is not open was asked to publish", job=self._job)
        return self._producer

    def _drop(self) -> None:
        """Release the producer, and a call that has not returned."""
        if self._producer is not None:
            self._producer.abandon()
        self._producer = None
        self._question = None
        if self._caller.busy:
            self._caller.close()
            self._caller = Caller()
