"""Computes, from the input alone and in plain Python, what a job must have written and what its state must contain."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Sequence
from itertools import chain, pairwise
from typing import Any

from rayflow.core.ids import WATERMARK_MIN
from rayflow.testing.simulation.expecting import expect
from rayflow.testing.simulation.jobs import KEYS, InputRecord, Shape, alarm, way_of
from rayflow.testing.simulation.lateness import Limited
from rayflow.testing.simulation.window_oracle import At, WindowOracle, WindowRow, windows_of

Written = list[tuple[int, bytes | None, bytes | None]]
"""Partition, key and value of every record of a topic, in order within each partition."""


class Oracle:
    """The oracle for a job. Its input: the records of each partition, in order."""

    def __init__(self, shape: Shape) -> None:
        self.shape = shape

    def check(self, partitions: Sequence[Sequence[InputRecord]], branch: str, written: Written) -> None:
        """Compare the output of a branch without windows. Raises AssertionError."""
        given = [[record for record in records if self.keeps(record)] for records in partitions]
        every = list(chain.from_iterable(given))
        getattr(self, f"_check_{branch}")(given, every, self._by_key(branch, written))

    def check_windows(self, limited: Sequence[Limited], branch: str, written: Written, late: Written) -> None:
        """Compare the output of a branch with windows, and its late records. Raises AssertionError."""
        given = [(self.key(one.record), one) for one in limited if self.keeps(one.record)]
        values = [json.loads(value or b"null") for _, _, value in late]
        if not self.shape.has_late:
            expect(f"{branch}: late records", values, [])
        found = self._by_key(branch, written)
        got = self._updated(found) if branch == "updates" else self._final(branch, found)
        WindowOracle(self.shape, branch).check(given, got, values)

    def _by_key(self, branch: str, written: Written) -> dict[str, list[Any]]:
        found: dict[str, list[Any]] = defaultdict(list)
        places: dict[str, set[int]] = defaultdict(set)
        for partition, key, value in written:
            name = (key or b"").decode()
            found[name].append(json.loads(value or b"null"))
            places[name].add(partition)
        for name, seen in places.items():
            expect(f"{branch}: partitions of {name}", len(seen), 1)
        return dict(found)

    def state(self, partitions: Sequence[Sequence[InputRecord]], branch: str) -> dict[Any, Any]:
        """The state of a branch after exactly these records: count and total per key."""
        rows: dict[Any, Any] = {}
        for record in chain.from_iterable(partitions):
            if self.keeps(record):
                count, total = rows.get(self.key(record), (0, 0))
                rows[self.key(record)] = (count + 1, total + record.n)
        return {key: count for key, (count, _) in rows.items()} if branch == "process" else rows

    def windows(self, partitions: Sequence[Sequence[InputRecord]]) -> dict[At, WindowRow]:
        """Count and total of every tumbling window, by its end and key."""
        rows: dict[At, WindowRow] = {}
        for record in chain.from_iterable(partitions):
            if self.keeps(record):
                for end in windows_of(record, self.shape.window, self.shape.window):
                    count, total = rows.get((end, self.key(record)), (0, 0))
                    rows[end, self.key(record)] = (count + 1, total + record.n)
        return rows

    def timers(self, partitions: Sequence[Sequence[InputRecord]]) -> set[tuple[str, int]]:
        """All timers that are ever set: key and time."""
        every = chain.from_iterable(partitions)
        return {(self.key(record), record.ts + self.shape.timer) for record in every if self.keeps(record)}

    def keeps(self, record: InputRecord) -> bool:
        """Whether the filter passes a record."""
        return not self.shape.filtered or record.n % 2 == 0

    def key(self, record: InputRecord) -> str:
        """The key of the last stage."""
        key: str = getattr(record, KEYS[self.shape.stages - 1])
        return key

    def _check_pass(self, given: Any, every: list[InputRecord], found: dict[str, list[Any]]) -> None:
        written = {key: [value["id"] for value in values] for key, values in found.items()}
        users = {record.user for record in every}
        expect("pass: keys", sorted(written), sorted(users))
        expect("pass: records", sorted(chain.from_iterable(written.values())), sorted(record.id for record in every))
        for records in given:  # each partition in order; a key is in several of them after partitions were added
            for user in users:
                ids = [record.id for record in records if record.user == user]
                own = set(ids)
                expect(f"pass: order of {user}", [id for id in written[user] if id in own], ids)

    def _check_split(self, given: Any, every: list[InputRecord], found: dict[str, list[Any]]) -> None:
        ways = Counter((key, value["id"], value["way"]) for key, values in found.items() for value in values)
        expect("split", dict(ways), {(record.user, record.id, way_of(record.id)): 1 for record in every})

    def _check_totals(self, given: Any, every: list[InputRecord], found: dict[str, list[Any]]) -> None:
        amounts = self._amounts(every)
        expect("totals: keys", sorted(found), sorted(amounts))
        for key, values in found.items():
            expect(f"totals: counts of {key}", [v["count"] for v in values], list(range(1, len(amounts[key]) + 1)))
            steps = [after - before for before, after in pairwise([0, *(v["total"] for v in values)])]
            expect(f"totals: amounts of {key}", sorted(steps), sorted(amounts[key]))
            if len(given) == 1 and not self.shape.merged:
                expect(f"totals: order of {key}", steps, amounts[key])

    def _check_table(self, given: Any, every: list[InputRecord], found: dict[str, list[Any]]) -> None:
        newest = {key: (values[-1]["count"], values[-1]["total"]) for key, values in found.items()}
        expect("table", newest, self.state(given, "table"))
        for key, values in found.items():
            counts = [value["count"] for value in values]
            expect(f"table: counts of {key} rise", counts, sorted(set(counts)))

    def _final(self, branch: str, found: dict[str, list[Any]]) -> dict[At, WindowRow]:
        """The result of each window: there is one, and a key's results are in the order of their windows' ends."""
        got: dict[At, WindowRow] = {}
        for key, values in found.items():
            ends = [value["window_end"] for value in values]
            expect(f"{branch}: ends of {key} rise", ends, sorted(set(ends)))
            got.update({(value["window_end"], key): (value["count"], value["total"]) for value in values})
        return got

    def _updated(self, found: dict[str, list[Any]]) -> dict[At, WindowRow]:
        """The last result of each window: each counts one record more than the one before."""
        got: dict[At, WindowRow] = {}
        for key, values in found.items():
            for value in values:
                at = (value["window_end"], key)
                expect(f"updates: counts of {at}", value["count"], got.get(at, (0, 0))[0] + 1)
                got[at] = (value["count"], value["total"])
        return got

    def _check_process(self, given: Any, every: list[InputRecord], found: dict[str, list[Any]]) -> None:
        ids = self._ids(every)
        for key, values in found.items():
            records = [value for value in values if "seq" in value]
            expect(f"process: numbers of {key}", [v["seq"] for v in records], list(range(1, len(ids[key]) + 1)))
            expect(f"process: records of {key}", Counter(v["id"] for v in records), Counter(ids[key]))
        fired = Counter((key, value["at"]) for key, values in found.items() for value in values if "at" in value)
        expected = self.timers(given)
        if self.shape.has_late:  # two records with one time, the second after the first one's timer, set two timers
            set_at = Counter((self.key(record), record.ts + self.shape.timer) for record in every)
            fired = Counter({at: 1 if count <= set_at[at] else count for at, count in fired.items()})
        expect("process: timers", dict(fired), dict.fromkeys(expected, 1))

    def _check_states(self, given: Any, every: list[InputRecord], found: dict[str, list[Any]]) -> None:
        ids = self._ids(every)
        for key, values in found.items():
            records = [value for value in values if "id" in value]
            expect(f"states: records of {key}", Counter(v["id"] for v in records), Counter(ids[key]))
            self._check_expiry(key, records)
        fired = Counter((key, value["alarm"]) for key, values in found.items() for value in values if "alarm" in value)
        expect("states: alarms", {at for at in fired if fired[at] > 1}, set())
        expect("states: strange alarms", fired.keys() - self.alarms(given), set())

    def alarms(self, partitions: Sequence[Sequence[InputRecord]]) -> set[tuple[str, int]]:
        """All wall-clock timers that are ever set: key and time."""
        every = chain.from_iterable(partitions)
        return {(self.key(record), alarm(record.id)) for record in every if self.keeps(record)}

    def _check_expiry(self, key: str, records: list[Any]) -> None:
        """What each record of a key saw, computed from the write times of the records before it.

        Until there is event time, rows also expire by the wall clock, at a time that is unknown here. Then any
        observation is accepted, until a later write makes the time certain again.
        """
        ttl = self.shape.ttl
        ids: list[int] = []
        fifths: dict[int, tuple[int, int]] = {}
        unsure: set[int | None] = set()  # None is the list
        written = before = WATERMARK_MIN
        for seen in records:
            now, fifth = max(seen["at"], seen["watermark"]), seen["id"] % 5
            if before == WATERMARK_MIN:
                unsure |= {None, *fifths}
            before = seen["watermark"]
            if None in unsure:
                ids = seen["ids"][:-1]
            elif now >= written + ttl:
                ids = []
            if now >= written:
                unsure.discard(None)
            if now >= fifths.get(fifth, (0, now))[1]:
                unsure.discard(fifth)
            ids = [*ids, seen["id"]]
            written = max(now, written)
            fifths[fifth] = (seen["id"], max(now, fifths[fifth][1]) if fifth in fifths else now)
            expect(f"states: list of {key}", (seen["count"], seen["ids"]), (len(ids), ids))
            # What is expired for one record may still be visible to a later one with an earlier time.
            live = {n: id for n, (id, at) in fifths.items() if now < at + ttl and n not in unsure}
            shown = {n: id for n, id in seen["fifths"] if n not in unsure}
            expect(f"states: map of {key}", shown, live)

    def _amounts(self, every: list[InputRecord]) -> dict[str, list[int]]:
        amounts: dict[str, list[int]] = defaultdict(list)
        for record in every:
            amounts[self.key(record)].append(record.n)
        return amounts

    def _ids(self, every: list[InputRecord]) -> dict[str, list[int]]:
        ids: dict[str, list[int]] = defaultdict(list)
        for record in every:
            ids[self.key(record)].append(record.id)
        return ids
