"""A thread that reads input, output and committed positions while the job runs, and compares them all the time."""

from __future__ import annotations

import threading
import time

from confluent_kafka import Consumer, KafkaException, Message, TopicPartition

from tests.kafka.client import QUIET, Kafka, until
from tests.soak.expected import Expected
from tests.soak.job import SINKS, SOURCE
from tests.soak.load import PARTITIONS
from tests.soak.topic_log import Place, TopicLog

PAUSE = 0.05
"""Seconds between two rounds."""
DECIDED = 0.5
"""Seconds to wait for a position that a transaction has not decided yet."""
READY = {"echoes", "totals"}
"""Topics that each visit alone has an effect on, so that something new there tells of a recovery."""


class Follower:
    """Follows a job until `close`.

    Attributes:
        expected: what is compared with. wrong: the first thing that was found, None as long as all is well.
        moved: when (monotonic) the job last had nothing to do or committed something new.
        lag: visits that are not behind a committed position.
    """

    def __init__(self, kafka: Kafka, group: str) -> None:
        self.expected = Expected()
        self.wrong: BaseException | None = None
        self.moved = time.monotonic()
        self.lag = 0
        # Never a member; read_committed makes it ask for what is decided.
        self._group = Consumer(
            {
                "bootstrap.servers": kafka.bootstrap,
                "group.id": group,
                "isolation.level": "read_committed",
                "enable.auto.commit": False,
                **QUIET,
            }
        )
        self._input = TopicLog(kafka, [SOURCE], PARTITIONS, "read_uncommitted")
        self._output = TopicLog(kafka, SINKS, PARTITIONS, "read_committed")
        self._marks: dict[Place, int] | None = None
        self._recovered: float | None = None
        self._pending: tuple[dict[int, int], dict[Place, int]] | None = None
        self._unseen: list[Message] = []
        self._rounds = 0
        self._round_done = threading.Condition()
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name="soak-follower", daemon=True)
        self._thread.start()

    def mark(self) -> bool:
        """The job is dead: watch for what comes behind all that is there. False if it had nothing left to do."""
        ends = until(self._output_ends)
        self._recovered = None
        self._marks = {place: end for place, end in ends.items() if place[0] in READY}
        return self.lag > 0

    @property
    def recovered(self) -> float | None:
        """When (monotonic) the first output behind the mark was read."""
        return self._recovered

    def settle(self, seconds: float) -> dict[str, int]:
        """Wait until all that is expected for the input so far has come; what is missing then."""
        limit = time.monotonic() + seconds
        while True:
            self._finish_round(limit)
            missing = self.expected.missing()
            if not missing or self.wrong is not None or time.monotonic() > limit:
                return missing

    def close(self) -> None:
        """End the thread."""
        self._end.set()
        self._thread.join(60)
        self._input.close()
        self._output.close()
        self._group.close()

    def _output_ends(self) -> dict[Place, int] | None:
        try:
            return self._output.ends(committed=False)
        except KafkaException:  # it is just coming back
            return None

    def _run(self) -> None:
        try:
            while not self._end.wait(PAUSE):
                try:
                    self._round()
                except KafkaException:  # the broker is away; a position that is undecided comes with the next round
                    continue
                with self._round_done:
                    self._rounds += 1
                    self._round_done.notify_all()
        except Exception as error:  # noqa: BLE001 - whatever it is, the soak has to say it
            self.wrong = error

    def _round(self) -> None:
        """Read outputs first and the input then, so that whatever is shown has its input."""
        if self._pending is None:
            positions = self._positions()
            if positions is not None:  # in this order: what belongs to these positions is below these ends
                self._pending = positions, self._output.ends(committed=False)
        outputs = self._output.read(self._output.ends(committed=True))
        now = time.monotonic()
        self._look_at_marks(outputs, now)
        self._unseen += outputs
        visible = self._input.ends(committed=False)
        for message in self._input.read(visible):
            self.expected.take(int(message.partition() or 0), int(message.offset() or 0), message.value() or b"")
        if not self._input.has_reached(visible):
            return
        for message in self._unseen:
            self.expected.show(str(message.topic()), message.key(), message.value())
        self._unseen.clear()
        before = self.expected.committed
        # Kafka ends a transaction partition by partition: positions may be visible before the output is.
        if self._pending is not None and self._output.has_reached(self._pending[1]):
            self.expected.behind(self._pending[0])
            self._pending = None
        self.lag = self.expected.taken - self.expected.committed
        if not self.lag or self.expected.committed > before:
            self.moved = now

    def _look_at_marks(self, outputs: list[Message], now: float) -> None:
        marks = self._marks
        if marks is None:
            return
        for message in outputs:
            mark = marks.get((str(message.topic()), int(message.partition() or 0)))
            if mark is not None and int(message.offset() or 0) >= mark:
                self._recovered, self._marks = now, None
                return

    def _positions(self) -> dict[int, int] | None:
        """By partition of the input, the position that the job has committed; None while that is undecided."""
        asked = [TopicPartition(SOURCE, partition) for partition in range(PARTITIONS)]
        try:
            found = self._group.committed(asked, timeout=DECIDED)
        except KafkaException:
            return None
        if any(place.error is not None for place in found):
            return None
        return {place.partition: place.offset for place in found if place.offset >= 0}

    def _finish_round(self, limit: float) -> None:
        """Wait for a round that begins after now."""
        with self._round_done:
            target = self._rounds + 2
            while self._rounds < target and self.wrong is None and time.monotonic() < limit:
                self._round_done.wait(0.5)
