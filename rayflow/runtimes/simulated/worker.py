"""A worker's process: the production host of a slot, on simulated ports."""

from __future__ import annotations

from rayflow.checkpoint.store import CheckpointStore
from rayflow.core.errors import RayflowError
from rayflow.core.ids import Attempt, WorkerId
from rayflow.engine.worker import Worker
from rayflow.plan.physical import JobPlan
from rayflow.runtimes.hosting.channels.outgoing import Frame, decode_frame, encode_frame
from rayflow.runtimes.hosting.messages import Failed, Message
from rayflow.runtimes.hosting.options import RunOptions
from rayflow.runtimes.hosting.worker_host import WorkerHost
from rayflow.runtimes.simulated.letters import Letter
from rayflow.runtimes.simulated.ports import simulated_ports
from rayflow.runtimes.simulated.process import BUSY, IDLE, Process
from rayflow.runtimes.simulated.surroundings import Surroundings


class WorkerProcess(Process):
    """One slot. It stays for several attempts, until it is given up.

    Attributes:
        started_in: the incarnation that started it.
    """

    def __init__(
        self,
        world: Surroundings,
        incarnation: int,
        slot: WorkerId,
        plan: JobPlan,
        options: RunOptions,
        checkpoints: CheckpointStore,
    ) -> None:
        super().__init__(world, incarnation, f"{incarnation}/worker {slot}", checkpoints)
        self.slot = slot
        self.started_in = incarnation
        self.host = WorkerHost(
            plan, options, slot, simulated_ports(self), lambda task: world.state(self, task), _Links(self)
        )

    @property
    def attempt(self) -> Attempt:
        return self.host.attempt

    @property
    def worker(self) -> Worker | None:
        """The worker of the attempt, after its tasks were started."""
        return None if self.host.driver is None else self.host.driver.worker

    def validate(self) -> None:
        if self.worker is not None:
            self.worker.validate()

    def deliver(self, parcel: Letter | bytes) -> None:
        """Receive a message from the network."""
        if isinstance(parcel, bytes):
            self.host.post(decode_frame(parcel))
        else:
            self.host.post(Message(parcel.attempt, parcel.body))
        self.wake()

    def main(self) -> None:
        while True:
            try:
                worked = self.host.turn()
            except RayflowError as error:
                self.world.failed(self, error)
                self.host.fail(error)
                worked = True
            self.world.stepped(self)
            self.wait(self.world.random.randrange(1000, BUSY if worked or self.host.busy else IDLE))


class _Links:
    """Links to the coordinator and to other workers, over the world's network."""

    def __init__(self, process: WorkerProcess) -> None:
        self._process = process
        self._reported = 0

    def report(self, attempt: Attempt, message: object) -> None:
        process = self._process
        process.step("report Failed" if isinstance(message, Failed) else f"report {type(message).__name__}")
        process.world.send(process, None, Letter(self._reported, attempt, message))
        self._reported += 1

    def deliver(self, worker: WorkerId, frame: Frame) -> None:
        self._process.step("send Frame")
        self._process.world.send(self._process, worker, encode_frame(frame))
