"""The coordinator's process: the production driver of one attempt, on simulated ports."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping

from rayflow.checkpoint.manifest import Manifest
from rayflow.core.errors import RayflowError
from rayflow.core.ids import Attempt, TaskId, WorkerId
from rayflow.engine.events import EndRequested, PartitionsAdded, SourcesExhausted
from rayflow.plan.physical import JobPlan
from rayflow.runtimes.hosting.coordinator import CoordinatorDriver
from rayflow.runtimes.hosting.messages import Start
from rayflow.runtimes.hosting.options import RunOptions
from rayflow.runtimes.hosting.queries import Query
from rayflow.runtimes.simulated.letters import Letter
from rayflow.runtimes.simulated.ports import simulated_ports
from rayflow.runtimes.simulated.process import IDLE, Process
from rayflow.runtimes.simulated.surroundings import Surroundings


class CoordinatorProcess(Process):
    """Runs one attempt from its claim to its end.

    Attributes:
        driver: None until the sources were read.
        ending: "stop" or "drain", whichever was requested first; "" before a request.
        began: whether tasks were ordered to start.
        began_with: the manifest from which they start.
    """

    def __init__(
        self,
        world: Surroundings,
        incarnation: int,
        plan: JobPlan,
        options: RunOptions,
        workers: tuple[WorkerId, ...],
        lineage: str,
        earlier: Mapping[TaskId, WorkerId],
        queries: deque[Query],
    ) -> None:
        """`lineage`, `earlier`, `queries`: see CoordinatorDriver."""
        super().__init__(world, incarnation, f"{incarnation}/coordinator")
        self.driver: CoordinatorDriver | None = None
        self.workers = workers
        self.ending = ""
        self.began = False
        self.began_with: Manifest | None = None
        self._plan = plan
        self._options = options
        self._lineage = lineage
        self._earlier = earlier
        self._queries = queries
        self._spawned = False
        self._sent: dict[WorkerId, int] = {}
        self._arrived: deque[tuple[Attempt, object]] = deque()
        self._requests: deque[tuple[str, Callable[[], None]]] = deque()

    @property
    def attempt(self) -> Attempt:
        return 0 if self.driver is None else self.driver.coordinator.attempt

    @property
    def sources(self) -> Mapping[str, int]:
        """The number of partitions of each source that the attempt reads; empty before it is known."""
        return {} if self.driver is None or self.driver.topology is None else self.driver.topology.sources

    def stop(self) -> None:
        """Request a final checkpoint and the end."""
        self._request("stop", self._stop)

    def rescale(self) -> None:
        """Request a final barrier and another attempt, with other workers or more partitions."""
        self._request("rescale", lambda: self._driver().tell(PartitionsAdded()))

    def validate(self) -> None:
        if self.driver is not None:
            self.driver.coordinator.validate()

    def deliver(self, parcel: Letter) -> None:
        """Receive a message from the network."""
        self._arrived.append((parcel.attempt, parcel.body))
        self.wake()

    def main(self) -> None:
        try:
            self._run()
        except RayflowError as error:
            self.world.failed(self, error)
            self.kill()

    def _run(self) -> None:
        driver = self.driver = CoordinatorDriver(
            self._plan,
            self._options,
            simulated_ports(self),
            self.workers,
            lineage=self._lineage,
            send=self._send,
            earlier=self._earlier,
            ends=self.world.ends,
            queries=self._queries,
            on_commit=lambda manifest: self.world.committed(self, manifest),
        )
        driver.start()
        while driver.finished is None:
            while self._arrived and driver.finished is None:
                attempt, body = self._arrived.popleft()
                self.step(f"receives {type(body).__name__}")
                driver.receive(attempt, body)
            if driver.finished is not None:
                break
            while self._requests:
                what, request = self._requests.popleft()
                self.step(what)
                request()
            if not self.ending and driver.started and self.world.exhausted(self):
                self.ending = "drain"
                driver.tell(SourcesExhausted())
            driver.step()
            self.world.stepped(self)
            if driver.finished is None:
                self.wait(self.world.random.randrange(1000, IDLE))
        if self._options.until_end:
            self.ending = self.ending or "drain"
        self.step("finish")
        self.world.finished(self, driver.finished.restart)

    def _stop(self) -> None:
        self.ending = self.ending or "stop"
        self._driver().tell(EndRequested("stop"))

    def _driver(self) -> CoordinatorDriver:
        assert self.driver is not None
        return self.driver

    def _request(self, what: str, request: Callable[[], None]) -> None:
        self._requests.append((what, request))
        self.wake()

    def _send(self, slot: WorkerId, body: object) -> None:
        if not self._spawned:
            self._spawned = True
            self.world.workers(self, self.workers)
        if isinstance(body, Start) and not self.began:
            self.began, self.began_with = True, self._driver().manifest
        number = self._sent.get(slot, 0)
        self._sent[slot] = number + 1
        self.world.send(self, slot, Letter(number, self.attempt, body))
