"""What is done to the job: kills, stops, zombies, outages. Drawn like cards from a deck that the seed shuffles."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Iterator, Mapping

from rayflow.core.errors import AlreadyRunning, Fenced
from tests.kafka.client import until
from tests.soak.flatness import CALM, LONG, Bound, Life
from tests.soak.scene import Scene

DECK = (
    *["kill"] * 10,
    *["kill early"] * 3,
    *["stop"] * 2,
    *["second process"] * 2,
    "same state directory",
    "broker frozen",
    "broker restarted",
    "long life",
)
"""A full deck has these proportions, whatever the seed."""
FILLS = 12.0
"""Seconds until sessions, windows and counts with a time to live are as many as they will be (`tests.soak.job`)."""
LASTS = 60.0
"""Seconds of a long life, in which memory must not grow."""


class Disturbances:
    """Disturbs a scene.

    Attributes:
        done: how often, by kind. recoveries: seconds from SIGKILL to the first new committed output.
        lives: of the job's long lives, the first one being the calm one if there is that.
    """

    def __init__(self, scene: Scene, chance: random.Random) -> None:
        self.done: Counter[str] = Counter()
        self.recoveries: list[float] = []
        self.lives: list[Life] = []
        self._scene = scene
        self._chance = chance

    def go_on_until(self, end: float) -> None:
        """Disturb until `end` (monotonic). Raises Wrong."""
        for card in self._cards():
            if time.monotonic() >= end:
                return
            self._draw(card, end)
            self.done[card] += 1

    def stay_calm(self, seconds: float) -> None:
        """Leave the job alone under an even load for so long, if at all; what is judged begins after FILLS seconds."""
        if seconds:
            self._scene.wait(min(FILLS, seconds))
            self._live(max(0.0, seconds - FILLS), CALM, "the calm life")
            self._scene.load.rise_and_fall()

    def _live(self, seconds: float, bounds: Mapping[str, Bound], name: str) -> None:
        begin = self._scene.samples.now
        self._scene.wait(seconds)
        self.lives.append(Life(name, begin, self._scene.samples.now, bounds))

    def _cards(self) -> Iterator[str]:
        yield from ("kill early", "kill")  # so that the shortest soak has them
        while True:
            yield from self._chance.sample(DECK, len(DECK))

    def _draw(self, card: str, end: float) -> None:
        scene, chance = self._scene, self._chance
        left = max(0.0, end - time.monotonic())
        match card:
            case "kill early":
                scene.wait(chance.uniform(0.0, 1.5))
                self._kill()
            case "kill":
                scene.wait(min(left, chance.uniform(2.0, 10.0)))
                self._kill()
            case "stop":
                scene.wait(min(left, chance.uniform(2.0, 8.0)))
                scene.await_running()  # before that SIGTERM just ends it
                scene.job.stop()
                scene.restart()
            case "second process":
                scene.wait(min(left, chance.uniform(2.0, 8.0)))
                self._second_process()
            case "same state directory":
                self._same_directory()
            case "broker frozen":
                scene.wait(min(left, chance.uniform(2.0, 8.0)))
                self._freeze_broker()
            case "broker restarted":
                scene.wait(min(left, chance.uniform(2.0, 8.0)))
                self._restart_broker()
            case "long life":
                self._live(min(left, LASTS), LONG, f"long life {len(self.lives) + 1}")

    def _kill(self) -> None:
        """Half of the time the job may then recover; else it may be killed again before that."""
        scene = self._scene
        recovers = self._chance.random() < 0.5
        scene.job.kill()
        killed = time.monotonic()
        busy = scene.follower.mark()
        scene.restart()
        if busy and recovers:
            self.recoveries.append(self._recovered() - killed)

    def _recovered(self) -> float:
        follower = self._scene.follower
        self._scene.until(lambda: follower.recovered is not None)
        return follower.recovered or 0.0

    def _second_process(self) -> None:
        """The job hangs, another process takes over from its checkpoints; the first one comes back, a zombie."""
        scene, zombie = self._scene, self._scene.job
        recovers, pause = self._chance.random() < 0.5, self._chance.uniform(0.0, 4.0)
        scene.await_running()
        zombie.freeze()
        scene.follower.mark()
        scene.take_over()
        try:
            if recovers:
                self._recovered()
            scene.wait(pause)
            zombie.thaw()
            zombie.expect(Fenced.exit_code, Fenced.code)
        finally:
            zombie.close()

    def _same_directory(self) -> None:
        """A second process on the same state directory is refused, and harms nothing."""
        scene, first = self._scene, self._scene.job
        scene.await_running()
        scene.restart()
        try:
            scene.job.expect(AlreadyRunning.exit_code, AlreadyRunning.code)
        finally:
            scene.job.close()
            scene.job = first

    def _freeze_broker(self) -> None:
        self._scene.broker.freeze()
        time.sleep(self._chance.uniform(1.0, 8.0))
        self._scene.broker.thaw()
        self._scene.follower.moved = time.monotonic()

    def _restart_broker(self) -> None:
        """The broker goes and comes back while the job runs.

        Not while a transaction is on its way: `Kafka.settle` tells what a lone node may forget then.
        """
        scene = self._scene
        softly, pause = self._chance.random() < 0.5, self._chance.uniform(0.0, 8.0)
        scene.await_running()
        until(self._stop_quiet_broker if softly else self._kill_quiet_broker, 120)
        time.sleep(pause)
        scene.broker.start()
        scene.follower.moved = time.monotonic()

    def _stop_quiet_broker(self) -> bool:
        return self._end_quiet_broker(softly=True)

    def _kill_quiet_broker(self) -> bool:
        return self._end_quiet_broker(softly=False)

    def _end_quiet_broker(self, softly: bool) -> bool:
        """Hold the job, and end the broker if no transaction is open then; whether it was so."""
        scene = self._scene
        scene.job.freeze()
        try:
            try:
                until(scene.is_quiet, 1.0)
            except TimeoutError:  # held in the middle of one
                return False
            scene.broker.stop() if softly else scene.broker.kill()
            return True
        finally:
            scene.job.thaw()
