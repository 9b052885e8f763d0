"""Queries in a model world that breaks: each answer is of a committed epoch, and none is ever taken back."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Any

import pytest

from rayflow.checkpoint.chain import Chain
from rayflow.checkpoint.manifest import Manifest
from rayflow.core.errors import WorkerLost
from rayflow.core.ids import TaskId
from rayflow.runtimes.hosting.queries import Query, decoded_values, encoded_keys
from rayflow.runtimes.simulated.coordinator import CoordinatorProcess
from rayflow.runtimes.simulated.process import Process
from rayflow.serde.codec import Codec
from rayflow.serde.keys import decode_key
from rayflow.state.row_keys import PREFIX, table_prefix
from rayflow.testing.simulation.jobs import Shape
from rayflow.testing.simulation.simulation import Simulation

SEEDS = 12
USERS = [f"user{number}" for number in range(9)]  # the last one has no record
Totals = dict[str, dict[str, Any]]


class Asking(Simulation):
    """Asks for totals all the time, with a chance of its own.

    Attributes:
        answers: how many were right. asked_again: how many were asked of more than one attempt.
    """

    def __init__(self, seed: int, shape: Shape) -> None:
        super().__init__(seed, shape=shape, records=60)
        self.answers = self.asked_again = 0
        self._chance = Random(f"queries {seed}")
        self._epochs: dict[int, Totals] = {0: {}}
        self._query: Query | None = None
        self._attempt = self._since = self._seen = 0

    def committed(self, process: CoordinatorProcess, manifest: Manifest) -> None:
        super().committed(process, manifest)
        self._note(manifest)

    def _note(self, manifest: Manifest) -> None:
        (stage,) = (stage.id for stage in self.plan.stages if any(each.id == "totals" for each in stage.operators))
        rows = Chain(self.store, manifest)
        found = self._epochs[manifest.epoch] = {}
        for partition in range(self.shape.partitions):
            found.update(_totals(rows, TaskId(stage, partition)))

    def stepped(self, process: Process) -> None:
        super().stepped(process)
        if not isinstance(process, CoordinatorProcess) or self.of(process) is not self.current:
            return
        driver = process.driver
        assert driver is not None
        if driver.manifest is not None and driver.manifest.epoch not in self._epochs:
            self._note(driver.manifest)  # committed, but its coordinator crashed before it knew
        if self._query is None:
            if self._chance.random() < 0.3:
                self._query = Query("totals", encoded_keys(USERS))
                self._since, self._attempt = max(self._epochs), process.incarnation
                self.current.queries.append(self._query)
        elif isinstance(self._query.error, WorkerLost):  # two attempts have ended before they answered
            self._query = None
        elif self._query.done:
            self._check(decoded_values(self._query.result()))
            self._query = None
        elif process.incarnation != self._attempt:
            self._attempt = process.incarnation
            self.asked_again += 1
            if self._query not in self.current.queries:  # its coordinator's process has died with it
                self.current.queries.append(self._query)

    def _check(self, values: list[Any]) -> None:
        """Tasks may have completed different epochs: none before the last but one when it was asked, or seen before."""
        epochs = [totals for epoch, totals in self._epochs.items() if epoch >= self._since - 1]
        for user, value in zip(USERS, values, strict=True):
            assert value in [epoch.get(user) for epoch in epochs], f"seed {self.seed}: {user} {value} {epochs}"
        count = sum(value["count"] for value in values if value is not None)
        assert count >= self._seen, f"seed {self.seed}: {count} records were seen after {self._seen}"
        self._seen = count
        self.answers += 1


def _totals(rows: Chain, task: TaskId) -> Iterator[tuple[str, dict[str, Any]]]:
    prefix, codec = table_prefix("totals", "values"), Codec()
    for keys, values in rows.rows(task):
        for key, value in zip(keys, values, strict=True):
            if key.startswith(prefix):
                count, total = codec.decode(value)
                user = decode_key(key[PREFIX:])[0]
                yield user, {"key": user, "count": count, "total": total}


@pytest.mark.parametrize("stages", [1, 4])
def test_an_answer_is_of_a_committed_epoch_and_never_taken_back(stages: int) -> None:
    shape = Shape(3, stages, ("totals",), filtered=False, disorder=50, window=200, timer=1, interval=100)
    runs = [Asking(seed, shape) for seed in range(SEEDS)]
    for run in runs:
        run.run()
    assert sum(run.answers for run in runs) > 20 * SEEDS
    assert any(run.asked_again for run in runs)
    assert all(run._seen for run in runs)
