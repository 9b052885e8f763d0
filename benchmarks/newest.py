"""The job `newest`: keeps one value per key; run by the benchmarks of checkpoints and restores, and checked."""

from __future__ import annotations

import json
import sys
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.answers import WrongResult
from benchmarks.command import rayflow_command
from benchmarks.keyed import number_of, values
from benchmarks.measure import Usage, measured
from benchmarks.orders import Topics


@dataclass(frozen=True, slots=True)
class Notes:
    """Wall-clock seconds: when the first and the last record came; for each wait above 1 ms, when it ended and its
    length."""

    first: float
    last: float
    waits: list[tuple[float, float]]


class Newest:
    """One such job with its topics; `append` and `run` as often as is wanted."""

    def __init__(self, topics: Topics, folder: Path, size: int, partitions: int = 4) -> None:
        self._topics = topics
        self._size = size
        self.name = f"bench-newest-{uuid.uuid4().hex[:8]}"
        self._folder = folder
        self.state = folder / self.name
        self._records = 0
        self._newest: dict[int, int] = {}
        for topic in (self._source, self._sink):
            topics.create(topic, partitions)

    @property
    def _source(self) -> str:
        return f"{self.name}-in"

    @property
    def _sink(self) -> str:
        return f"{self.name}-out"

    @property
    def checkpoints(self) -> Path:
        """Where the checkpoint store lies."""
        return self.state / "jobs" / self.name / "checkpoints"

    @property
    def tasks(self) -> Path:
        """Where the tasks' stores lie."""
        return self.state / "jobs" / self.name / "tasks"

    def append(self, keys: Iterable[int]) -> None:
        """A record for each key."""
        keys = list(keys)
        self._topics.append(self._source, values(keys, self._size, self._records))
        self._newest.update(zip(keys, range(self._records, self._records + len(keys)), strict=True))
        self._records += len(keys)

    def run(self, **settings: object) -> tuple[Usage, Notes]:
        """To the end of what has been appended."""
        file = self._folder / f"{self.name}.notes"
        settings |= {"job": self.name, "source": self._source, "sink": self._sink, "notes": file}
        command = rayflow_command("newest", self.state, broker=self._topics.broker, settings=settings)
        used = measured(command, self._folder / f"{self.name}.log")
        return used, Notes(**json.loads(file.read_text()))

    def by_hand(self, emit: str) -> Usage:
        """The same by a loop without an engine, which keeps all rows in memory as well."""
        name = "newest" if emit == "record" else "newest-epoch"
        where = ("--source", self._source, "--sink", self._sink, "--group", self.name, "--state", str(self.state))
        command = [sys.executable, "-m", "benchmarks.byhand", name, "--broker", self._topics.broker, *where]
        return measured(command, self._folder / f"{self.name}.log")

    def check(self) -> int:
        """The last output of each key is the last input; gives the number of outputs. Raises WrongResult."""
        found: dict[int, int] = {}
        outputs = 0
        for message in self._topics.read(self._sink):
            key, number = int(message.key()[1:]), number_of(message.value())  # type: ignore[index, arg-type]
            if number <= found.get(key, -1):
                raise WrongResult(f"output {outputs} is older than the one before of its key")
            found[key] = number
            outputs += 1
        if found != self._newest:
            wrong = sum(found.get(key) != number for key, number in self._newest.items())
            raise WrongResult(f"{wrong} of {len(self._newest)} keys have another newest value than the input")
        return outputs

    def close(self) -> None:
        """Delete the topics."""
        self._topics.delete_with(self.name)
