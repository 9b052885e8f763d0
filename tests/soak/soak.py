"""One soak: load and disturbances for some time, then a clean end, at which everything must be exact and clean."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tests.soak.disturbances import Disturbances
from tests.soak.flatness import Life, Verdict, verdicts, verdicts_of_life
from tests.soak.load import PARTITIONS
from tests.soak.processes import JOB_FILE
from tests.soak.samples import Sample, rows_of
from tests.soak.scene import Scene
from tests.soak.wrong import Wrong

WARM = 15.0
"""Seconds until the first windows, timers and TTLs have ended: not looked at for growth. No soak takes less."""
SETTLES = 120.0
"""Seconds until everything must have been shown after the load has ended."""
LEFT = {"sessions/count": PARTITIONS, "sessions/shops": PARTITIONS, "sessions/timers.ttl": 2 * PARTITIONS}
"""Rows at the end besides the tables': of the last visits only, whose time to live has not passed."""
TABLES = {"totals/values", "counts/values"}
"""States that stay: one row per shop."""
UNDRAINED = {"echoes": PARTITIONS, "windows": PARTITIONS, "shop-windows": 2 * PARTITIONS}
"""What only the end of all time brings, at most: the closing and the windows of the last visits."""


@dataclass
class Figures:
    """What happened. `recoveries`: seconds from SIGKILL to the first new committed output."""

    disturbances: Counter[str] = field(default_factory=Counter)
    recoveries: list[float] = field(default_factory=list)
    visits: int = 0
    outputs: int = 0
    sessions: int = 0
    peak: float = 0.0
    seconds: float = 0.0
    flatness: list[Verdict] = field(default_factory=list)
    samples: dict[str, list[Sample]] = field(default_factory=dict)


class Soak:
    """Runs for `calm` seconds in which the job is left alone, for `seconds`, and some more for the end.

    Attributes:
        figures: what happened so far; they stay when `run` raises.
    """

    def __init__(
        self,
        folder: Path,
        seed: int,
        rate: float,
        calm: float,
        seconds: float,
        on_look: Callable[[Soak], None] = lambda _: None,
        job_file: Path = JOB_FILE,
    ) -> None:
        self.figures = Figures()
        self._folder = folder
        self._seed = seed
        self._rate = rate
        self._calm = calm
        self._seconds = max(seconds, WARM - calm)
        self._job_file = job_file
        self._on_look = on_look
        self._began = time.monotonic()
        self._scene: Scene | None = None

    def run(self) -> Figures:
        """The whole soak. Raises Wrong for what the job must not do, and whatever else keeps it from going on."""
        kafka_every = min(10.0, (self._calm + self._seconds) / 30)
        orders = (self._seed, self._rate, self._calm > 0)
        with Scene(self._folder, self._job_file, orders, kafka_every, self._look) as scene:
            self._scene = scene
            self._began = scene.samples.began = time.monotonic()
            self.figures.samples = scene.samples.by_name
            disturbances = Disturbances(scene, random.Random(self._seed))
            self.figures.disturbances, self.figures.recoveries = disturbances.done, disturbances.recoveries
            scene.until(lambda: scene.follower.expected.committed > 0)
            disturbances.stay_calm(self._calm)
            disturbances.go_on_until(time.monotonic() + self._seconds)
            self._judge(disturbances.lives, time.monotonic() - self._began)
            self._finish(scene)
        grown = [verdict for verdict in self.figures.flatness if verdict.grown]
        if grown:
            raise Wrong("; ".join(f"{v.name} has grown: {v.second} to {v.last}, limit {v.limit}" for v in grown))
        return self.figures

    def _look(self) -> None:
        scene, figures = self._scene, self.figures
        if scene is not None:
            figures.visits, figures.outputs = scene.follower.expected.taken, scene.follower.expected.shown
            figures.seconds = time.monotonic() - self._began
            self._on_look(self)

    def _judge(self, lives: list[Life], seconds: float) -> None:
        self.figures.flatness += verdicts(self.figures.samples, WARM + self._calm, seconds)
        for life in lives:
            self.figures.flatness += verdicts_of_life(self.figures.samples, life)

    def _finish(self, scene: Scene) -> None:
        written = scene.load.finish()
        figures, follower = self.figures, scene.follower
        figures.sessions, figures.peak = written.sessions, written.peak
        scene.until(lambda: follower.expected.taken >= written.visits and not follower.lag, SETTLES)
        scene.until(lambda: self._only_undrained(follower.settle(1.0)), SETTLES)
        scene.job.stop()
        scene.restart("--until-end")
        scene.job.expect(0)
        missing = follower.settle(30.0)
        scene.check()
        if missing:
            raise Wrong(f"drained, these are still missing: {missing}")
        if follower.expected.taken != written.visits:
            raise Wrong(f"{written.visits} visits were written, {follower.expected.taken} are there")
        figures.visits, figures.outputs = written.visits, follower.expected.shown
        figures.seconds = time.monotonic() - self._began
        self._check_what_is_left(scene)

    @staticmethod
    def _only_undrained(missing: dict[str, int]) -> bool:
        return all(count <= UNDRAINED.get(topic, 0) for topic, count in missing.items())

    @staticmethod
    def _check_what_is_left(scene: Scene) -> None:
        """Exactly the rows that have to be there; sound checkpoints; no transaction. Raises Wrong."""
        rows = rows_of(scene.folder)
        if rows is None:
            raise Wrong("there is no checkpoint at the end")
        left = {name: count for name, count in rows.items() if name not in TABLES and count}
        if left != LEFT:
            raise Wrong(f"rows are left behind: {left}, expected {LEFT}")
        if len({rows[name] for name in TABLES}) != 1:
            raise Wrong(f"the tables have not one row per shop: {rows}")
        scene.job.verify_checkpoints()
        if not scene.is_quiet():
            raise Wrong("a transaction is open after the end")
