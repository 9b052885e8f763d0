"""`python -m benchmarks.growth`: how the cost of a record grows with the keys of state, partitions and size of values.

Each row: all keys once (not measured), then in each round records over them, less what the same run costs on a few
records; a round goes through all rows, and what is shown is the median of the rounds.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from itertools import accumulate, islice
from pathlib import Path
from statistics import median

import click

from benchmarks.broker import broker_option, workshop
from benchmarks.figures import Figure, json_option, show
from benchmarks.measure import Usage
from benchmarks.newest import Newest
from benchmarks.orders import Topics

FEW = 256
"""Records of the run that shows what a start costs."""


@dataclass(frozen=True, slots=True)
class Case:
    """Where one row lies. `skew`: the exponent of a Zipf distribution of the keys; 0: uniform. `emit`: what goes out,
    the newest value of each key once an epoch, so that output grows with keys as well, or every record. `by_hand`: by
    the loop without an engine."""

    keys: int = 10_000
    partitions: int = 4
    size: int = 100
    skew: float = 0.0
    emit: str = "epoch"
    by_hand: bool = False

    @property
    def name(self) -> str:
        """For the table."""
        spread = f"Zipf {self.skew:g}" if self.skew else "uniform"
        output = "every record out" if self.emit == "record" else "newest per epoch out"
        contender = ", by hand" if self.by_hand else ""
        return f"{self.keys:,} keys, {spread}, {output}; {self.partitions} partitions; {self.size:,} B{contender}"


KEYS, PARTITIONS, SIZES = (10_000, 1_000_000, 5_000_000), (1, 4, 32, 128), (100, 1_000, 10_000)
ZIPF = 1.0
SPREADS = tuple((emit, skew) for emit in ("record", "epoch") for skew in (0.0, ZIPF))
"""What goes out and how keys are spread, of the table of keys."""


@click.command()
@click.option("--only", type=click.Choice(["keys", "partitions", "sizes"]), help="One of the three tables.")
@click.option("--most-keys", default=KEYS[-1], show_default=True, help="Leave out cases with more keys.")
@click.option("--records", default=1_000_000, show_default=True, help="Records of each row; fewer of long values.")
@click.option("--rounds", default=3, show_default=True, help="Rounds, each through all rows.")
@broker_option
@json_option("growth")
def main(only: str | None, most_keys: int, records: int, rounds: int, broker: str | None, json_file: Path) -> None:
    """Measure CPU microseconds per record."""
    cases = {
        "keys": [
            Case(keys=keys, skew=skew, emit=emit, by_hand=by_hand)
            for emit, skew in SPREADS
            for keys in KEYS
            for by_hand in (False, True)
            if keys <= most_keys and not (by_hand and keys > KEYS[1])
        ],
        "partitions": [Case(partitions=partitions) for partitions in PARTITIONS],
        "sizes": [Case(size=size) for size in SIZES],
    }
    chosen = list(dict.fromkeys(case for name, group in cases.items() if only in (None, name) for case in group))
    with workshop(broker) as (topics, folder), ExitStack() as opened:
        rows = {}
        for case in chosen:
            rows[case] = opened.enter_context(closing(Row(topics, folder, case)))
            click.echo(f"{case.name}: filled", err=True)
        measured: dict[Case, list[float]] = {case: [] for case in chosen}
        for number in range(rounds):
            for case, row in rows.items():
                measured[case].append(row.cost(min(records, records * 1_000 // case.size)))
                click.echo(f"round {number + 1}: {case.name}: {measured[case][-1]:.2f} us/record", err=True)
        for row in rows.values():
            row.check()
    costs = {case: median(values) for case, values in measured.items()}
    figures = [Figure(case.name, value, "us/record") for case, value in costs.items()]
    for by_hand in (False, True):
        for emit, skew in SPREADS:
            few, many = (costs.get(Case(keys=keys, skew=skew, emit=emit, by_hand=by_hand)) for keys in KEYS[:2])
            if few is not None and many is not None:
                name = f"from {KEYS[0]:,} to {KEYS[1]:,} keys, {'Zipf' if skew else 'uniform'}, per {emit}"
                target = None if by_hand else 1.5 if skew else 3.0
                figures.append(Figure(name + (", by hand" if by_hand else ""), many / few, "x", target))
    show("growth of the cost of a record", figures, json_file, {"records": records, "rounds": rounds})


class Row:
    """A job whose state holds all keys; every `cost` goes on from where the one before ended."""

    def __init__(self, topics: Topics, folder: Path, case: Case) -> None:
        self._case = case
        self._draw = drawn(case)
        self._job = Newest(topics, folder, case.size, case.partitions)
        self._job.append(range(case.keys))
        self._run()
        self._start = self._cpu(FEW)

    def cost(self, records: int) -> float:
        """CPU microseconds per record."""
        return (self._cpu(records) - self._start) * 1e6 / (records - FEW)

    def check(self) -> None:
        """Raises WrongResult."""
        self._job.check()

    def close(self) -> None:
        """Delete the topics."""
        self._job.close()

    def _cpu(self, records: int) -> float:
        self._job.append(islice(self._draw, records))
        return self._run().cpu

    def _run(self) -> Usage:
        case = self._case
        return self._job.by_hand(case.emit) if case.by_hand else self._job.run(emit=case.emit)[0]


def drawn(case: Case) -> Iterator[int]:
    """Keys without end; the most frequent ones of a Zipf distribution lie anywhere among all."""
    chance = random.Random(7)
    if not case.skew:
        while True:
            yield chance.randrange(case.keys)
    order = list(range(case.keys))
    chance.shuffle(order)
    weights = list(accumulate(1 / rank**case.skew for rank in range(1, case.keys + 1)))
    while True:
        yield from chance.choices(order, cum_weights=weights, k=10_000)


if __name__ == "__main__":
    main()
