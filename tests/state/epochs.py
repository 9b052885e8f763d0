"""What the machines that hold tables against a model have in common: epochs, checkpoints, crashes, lost machines."""

from __future__ import annotations

import copy
import tempfile
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from rayflow.serde.codec import Codec
from rayflow.serde.keys import encode_key
from rayflow.state.base import Stamp, Store
from rayflow.state.lmdb_store import LmdbStore
from rayflow.state.memory_store import MemoryStore
from rayflow.state.task_state import TaskState

LONG = "x" * 600
keys = st.sampled_from(["a", "b", "bb", "c", 1, 2, 300, ("t", 1), LONG, LONG + "y", ("t", LONG)])


def is_long(*parts: Any) -> bool:
    return sum(len(encode_key(part)) for part in parts) > 507


class EpochMachine(RuleBasedStateMachine):
    """A task's state, what it should hold (`model`), and what it held when its epoch was sealed and completed."""

    def make_store(self) -> Store:
        raise AssertionError

    def make_model(self) -> Any:
        """Empty; its length is the number of rows in the store."""
        raise AssertionError

    def open_tables(self) -> None:
        raise AssertionError

    def empty_tables(self) -> None:
        """Delete all that there is."""
        raise AssertionError

    def check_completed(self, model: Any) -> None:
        """What can be seen of the last completed epoch is that of `model`."""

    def reopen(self) -> None:
        """As after a crash: what is not in the store is gone."""
        self.store.close()

    @initialize(cache_bytes=st.sampled_from([0, 3_000, 1 << 20]))
    def start(self, cache_bytes: int) -> None:
        self.cache_bytes = cache_bytes
        self.store = self.make_store()
        self.replica: dict[bytes, bytes] = {}
        self.complete_rows: dict[bytes, bytes] = {}
        self.model, self.durable = self.make_model(), self.make_model()
        self.sealed: Any = None
        self.epoch = 0
        self.open()

    def open(self) -> None:
        self.state = TaskState(self.store, Codec(), cache_bytes=self.cache_bytes)
        self.open_tables()

    @precondition(lambda self: self.sealed is None)
    @rule()
    def seal(self) -> None:
        delta = self.state.seal()
        assert all(first < second for first, second in zip(delta.keys, delta.keys[1:], strict=False))
        assert all(
            value is not None or key in self.replica for key, value in zip(delta.keys, delta.values, strict=True)
        )
        for key, value in zip(delta.keys, delta.values, strict=True):
            if value is None:
                del self.replica[key]
            else:
                self.replica[key] = value
        assert len(self.replica) == len(self.model)
        self.sealed = copy.deepcopy(self.model)
        assert self.state.pending_rows == 0

    @precondition(lambda self: self.sealed is not None)
    @rule()
    def complete(self) -> None:
        assert self.sealed is not None
        self.epoch += 1
        for _ in self.state.completing(Stamp("lineage", self.epoch)):
            self.check_completed(self.sealed)
        self.check_completed(self.sealed)
        self.durable, self.sealed = self.sealed, None
        self.complete_rows = dict(self.replica)
        assert self.state.row_count() == len(self.durable)
        assert dict(self.store.scan(b"", None)) == self.replica

    @rule()
    def crash(self) -> None:
        self.reopen()
        self.go_on()

    @rule()
    def lose_the_machine(self) -> None:
        """The store is made anew of what the checkpoints' deltas add up to."""
        rows = sorted(self.complete_rows.items())
        self.reopen()
        runs = [([key for key, _ in rows], [value for _, value in rows])] if rows else []
        self.store.replace(runs, Stamp("lineage", self.epoch))
        self.go_on()

    def go_on(self) -> None:
        self.model, self.sealed = copy.deepcopy(self.durable), None
        self.replica = dict(self.store.scan(b"", None))
        assert self.replica == self.complete_rows
        assert self.store.stamp in ({None, Stamp("lineage", 0)} if not self.epoch else {Stamp("lineage", self.epoch)})
        self.open()

    def teardown(self) -> None:
        """All goes, and leaves nothing behind."""
        if self.sealed is not None:
            self.complete()
        self.empty_tables()
        self.model = self.make_model()
        self.seal()
        self.complete()
        assert self.store.count() == 0
        self.store.close()


class OnMemory(EpochMachine):
    def make_store(self) -> Store:
        return MemoryStore()


class OnLmdb(EpochMachine):
    def make_store(self) -> Store:
        self.directory = tempfile.TemporaryDirectory()
        return LmdbStore(self.directory.name, map_size=64 << 10)

    def reopen(self) -> None:
        super().reopen()
        self.store = LmdbStore(self.directory.name, map_size=64 << 10)

    def teardown(self) -> None:
        super().teardown()
        self.directory.cleanup()
