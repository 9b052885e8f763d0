"""Quix Streams, exactly once, in one process: its consumer, its producer and its RocksDB, in Python."""

from __future__ import annotations

from pathlib import Path

from benchmarks.contenders import Contender, Place
from benchmarks.peers.install import environment, versions_in
from benchmarks.workloads import QUIX, Workload

REQUIREMENTS = ("quixstreams==3.28.1",)
PROGRAM = Path(__file__).with_name("python") / "quix_app.py"


def _prepare() -> str:
    return versions_in(environment(QUIX, REQUIREMENTS), ("quixstreams", "confluent-kafka", "rocksdict"))


def _command(workload: Workload, place: Place) -> list[str]:
    return [
        *(str(environment(QUIX, REQUIREMENTS)), str(PROGRAM), workload.name, "--broker", place.broker),
        *("--source", place.source, "--sink", place.sink, "--group", place.name, "--state", str(place.state)),
    ]


QUIX_PEER = Contender(
    QUIX,
    "exactly once",
    {
        "identity": "identity",
        "map": "map",
        "count": "updates_per_user",
        "shuffle": "updates_per_item",
        "window": "closed_windows",
    },
    _command,
    _prepare,
)
