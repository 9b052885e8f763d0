"""Bytewax, one worker: at least once, as its Kafka sink has no transactions; snapshots once a second."""

from __future__ import annotations

from pathlib import Path

from benchmarks.contenders import Contender, Place
from benchmarks.peers.install import environment, versions_in
from benchmarks.workloads import BYTEWAX, Workload

REQUIREMENTS = ("bytewax[kafka]==0.21.1", "msgspec==0.22.0")
PROGRAM = Path(__file__).with_name("python") / "bytewax_flow.py"


def _prepare() -> str:
    return versions_in(environment(BYTEWAX, REQUIREMENTS), ("bytewax", "confluent-kafka", "msgspec"))


def _command(workload: Workload, place: Place) -> list[str]:
    return [
        *(str(environment(BYTEWAX, REQUIREMENTS)), str(PROGRAM), workload.name, "--broker", place.broker),
        *("--source", place.source, "--sink", place.sink, "--state", str(place.state)),
    ]


BYTEWAX_PEER = Contender(
    BYTEWAX,
    "at least once",
    {
        "identity": "identity",
        "map": "map",
        "count": "updates_per_user",
        "shuffle": "updates_per_item",
        "window": "windows",
    },
    _command,
    _prepare,
)
