"""Keys that Python holds for equal are one key, whatever comes between their records."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import rayflow as rf
from tests.e2e.brokers import Broker
from tests.e2e.running import run

KEYS = ["1", "1.0", "true", "2.5", "1.0", "1"]


class Seen(rf.ProcessFunction[Any, Any, str]):
    entries: rf.MapState[Any, int] = rf.map()

    def process(self, value: Any, ctx: rf.Context) -> list[str]:
        self.entries.set(value, self.entries.get(value, 0) + 1)  # type: ignore[operator]
        return [f"{ctx.key} {dict(self.entries.items())}"]


def results(broker: Broker, state: Path, cuts: list[list[str]]) -> dict[str, list[Any]]:
    """What a job puts out for KEYS, cut into runs."""
    job = rf.Job(broker.name("equal"))
    keyed = job.stream(broker.name("in"), value=rf.json).key_by(lambda value: value)
    keyed.count(emit="record", name="counts").to(broker.name("counts"), name="counts-out")
    keyed.process(Seen, name="seen").to(broker.name("seen"), value=str, name="seen-out")
    broker.create("in")
    for cut in cuts:
        broker.append("in", [(None, value) for value in cut])
        run(job, broker, state)
    return {topic: sorted((r.key, r.value) for r in broker.read(topic)) for topic in ("counts", "seen")}


@pytest.mark.parametrize("length", [1, 2, len(KEYS)])
def test_results_do_not_depend_on_where_runs_end(length: int, embedded: Broker, state: Path) -> None:
    cuts = [KEYS[at : at + length] for at in range(0, len(KEYS), length)]
    counted = [(b"1", b"%d" % n) for n in range(1, 6)]
    assert results(embedded, state, cuts) == {
        "counts": [*counted, (b"2.5", b"1")],
        "seen": [*((key, b"1 {1: %s}" % count) for key, count in counted), (b"2.5", b"2.5 {2.5: 1}")],
    }
