from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import lmdb
import pytest

from rayflow.core.errors import AlreadyRunning, DamagedObject, InvariantBroken
from rayflow.state import state_directory
from rayflow.state.base import Delta, Stamp
from rayflow.state.lmdb_store import LmdbStore

ONE = Stamp("one", 1)
PAGE = os.sysconf("SC_PAGE_SIZE")
"""Bytes of one of LMDB's pages."""


def run(script: str, *arguments: str, before: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    """Run a script in a Python of its own."""
    return subprocess.run(
        [*before, sys.executable, "-c", textwrap.dedent(script), *arguments],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def numbered(count: int, size: int = 100) -> Delta:
    return Delta([b"%08d" % number for number in range(count)], [b"v" * size] * count)


def test_a_full_map_grows_and_the_transaction_is_done_again(tmp_path: Path) -> None:
    store = LmdbStore(tmp_path, map_size=64 << 10)
    store.apply(numbered(20_000), ONE)
    store.replace([(numbered(30_000).keys, [b"w" * 100] * 30_000)], Stamp("one", 2))
    assert store.count() == 30_000
    assert store.stamp == Stamp("one", 2)
    store.close()


def test_a_map_that_was_grown_opens_with_a_small_one(tmp_path: Path) -> None:
    store = LmdbStore(tmp_path)
    store.apply(numbered(20_000), ONE)
    store.close()
    store = LmdbStore(tmp_path, map_size=64 << 10)
    store.apply(Delta([b"z"], [b"1"]), Stamp("one", 2))
    assert store.count() == 20_001
    store.close()


def test_no_reader_is_kept_open_by_reads_or_open_iterators(tmp_path: Path) -> None:
    store = LmdbStore(tmp_path)
    store.apply(numbered(10_000), ONE)
    scan, rows = store.scan(b"", None), store.rows(chunk=10)
    next(scan)
    next(rows)
    store.get(b"00000001")
    store.get_many([b"00000001"])
    environment = store._env
    pinned = [line.split()[-1] for line in environment.readers().splitlines()[1:]]
    assert all(transaction == "-" for transaction in pinned)
    size = (tmp_path / "data.mdb").stat().st_size
    for epoch in range(2, 40):
        store.apply(Delta(numbered(10_000).keys, [b"%d" % epoch * 50] * 10_000), Stamp("one", epoch))
    assert (tmp_path / "data.mdb").stat().st_size < 4 * size
    assert sum(len(keys) for keys, _ in rows) == 9_990
    store.close()


def test_rows_cannot_be_read_on_after_replace_or_close(tmp_path: Path) -> None:
    store = LmdbStore(tmp_path)
    store.apply(numbered(100), ONE)
    first, second = store.rows(chunk=10), store.rows(chunk=10)
    next(first)
    store.replace([], Stamp("two", 1))
    with pytest.raises(InvariantBroken, match="after it was replaced"):
        next(first)
    store.apply(numbered(100), Stamp("two", 2))
    third = store.rows(chunk=10)
    store.close()
    with pytest.raises(InvariantBroken, match="after it was closed"):
        next(third)
    with pytest.raises(InvariantBroken):
        next(second)


def test_rows_out_of_order_are_refused_by_replace(tmp_path: Path) -> None:
    store = LmdbStore(tmp_path)
    with pytest.raises(InvariantBroken, match="ascending"):
        store.replace([([b"b"], [b""]), ([b"a"], [b""])], ONE)
    assert store.stamp is None
    store.close()


def test_opening_a_directory_twice_in_a_process_is_refused_until_it_is_closed(tmp_path: Path) -> None:
    store = LmdbStore(tmp_path / "a")
    with pytest.raises(InvariantBroken, match="opened twice in this process"):
        LmdbStore(tmp_path / "b" / ".." / "a")
    store.close()
    LmdbStore(tmp_path / "a").close()


def test_a_directory_that_another_process_holds_is_refused(tmp_path: Path) -> None:
    store = LmdbStore(tmp_path)
    script = """
        import sys
        from rayflow.core.errors import AlreadyRunning
        from rayflow.state.lmdb_store import LmdbStore
        try:
            LmdbStore(sys.argv[1])
        except AlreadyRunning as error:
            print(error.code)
    """
    assert run(script, str(tmp_path)).stdout == f"{AlreadyRunning.code}\n"
    store.close()


def after_a_crash(path: Path, record: str | None) -> None:
    """Write a store, and leave it as a killed process does, under the boot `record`."""
    store = LmdbStore(path)
    store.apply(numbered(10), ONE)
    store.close()
    if record is None:
        (path / "boot").unlink()
    else:
        (path / "boot").write_text(record)


def test_a_store_of_a_killed_process_is_trusted_in_the_same_boot(tmp_path: Path) -> None:
    after_a_crash(tmp_path, state_directory.BOOT_ID.read_text())
    store = LmdbStore(tmp_path)
    assert (store.stamp, store.count()) == (ONE, 10)
    store.close()


@pytest.mark.parametrize("record", ["00000000-another-boot", "", None])
def test_a_store_of_an_unclean_reboot_is_wiped_at_open(tmp_path: Path, record: str | None) -> None:
    after_a_crash(tmp_path, record)
    store = LmdbStore(tmp_path)
    assert (store.stamp, store.count()) == (None, 0)
    store.close()


def test_a_store_that_was_closed_is_trusted_after_a_reboot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = LmdbStore(tmp_path / "store")
    store.apply(numbered(10), ONE)
    store.close()
    (tmp_path / "boot_id").write_text("the next boot\n")
    monkeypatch.setattr(state_directory, "BOOT_ID", tmp_path / "boot_id")
    store = LmdbStore(tmp_path / "store")
    assert store.stamp == ONE
    assert (tmp_path / "store" / "boot").read_text() == "the next boot"
    store.close()


def test_nothing_is_trusted_where_boots_have_no_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state_directory, "BOOT_ID", tmp_path / "missing")
    store = LmdbStore(tmp_path / "store")
    store.apply(numbered(10), ONE)
    store.close()
    store = LmdbStore(tmp_path / "store")
    assert (store.stamp, store.count()) == (None, 0)
    store.close()


@pytest.mark.parametrize("damage", [b"", b"short", b"not LMDB" * 2_000])
def test_a_file_that_is_not_lmdb_is_wiped_at_open(tmp_path: Path, damage: bytes) -> None:
    after_a_crash(tmp_path, state_directory.BOOT_ID.read_text())
    (tmp_path / "data.mdb").write_bytes(damage)
    store = LmdbStore(tmp_path)
    assert store.stamp is None
    store.apply(numbered(10), ONE)
    store.close()


def test_a_store_that_is_found_damaged_is_not_trusted_again(tmp_path: Path) -> None:
    store = LmdbStore(tmp_path)
    store.apply(numbered(10), ONE)
    failure = store._failure(lmdb.CorruptedError("get"))
    assert isinstance(failure, DamagedObject)
    store.close()
    store = LmdbStore(tmp_path)
    assert store.stamp is None
    store.close()


FILL = """
    import json, sys
    from rayflow.core.errors import DiskFull
    from rayflow.state.base import Delta, Stamp
    from rayflow.state.lmdb_store import LmdbStore
    if len(sys.argv) > 2:
        import resource
        resource.setrlimit(resource.RLIMIT_FSIZE, (2 << 20, 2 << 20))
    store = LmdbStore(sys.argv[1])
    epoch, failed = 0, 0
    try:
        while epoch < 10_000:
            keys = [b"%08d" % (1_000 * epoch + number) for number in range(1_000)]
            store.apply(Delta(keys, [b"v" * 100] * 1_000), Stamp("one", epoch + 1))
            epoch += 1
    except DiskFull:
        pass
    held = store.stamp.epoch
    try:
        store.replace((([b"%08d" % number], [b"v" * 10_000]) for number in range(1_000)), Stamp("two", 1))
    except DiskFull:
        failed = 1
    print(json.dumps([epoch, held, store.count() if not failed else 0, failed, store.stamp]))
"""


def test_a_limit_on_the_size_of_files_is_a_full_disk(tmp_path: Path) -> None:
    result = run(FILL, str(tmp_path), "limit")
    assert result.returncode == 0, result.stderr
    epoch, held, _, failed, stamp = json.loads(result.stdout)
    assert epoch == held > 3
    assert (failed, stamp) == (1, None)


def test_a_full_file_system_is_a_full_disk(tmp_path: Path) -> None:
    """On a file system of 2 MB where one can be mounted, in a mount namespace of its own; else on a limited file."""
    mount = ("unshare", "--mount", "sh", "-c", 'mount -t tmpfs -o size=2m tmpfs "$0" && exec "$@"', str(tmp_path))
    probe = subprocess.run([*mount, "true"], capture_output=True, check=False)
    result = run(FILL, str(tmp_path), before=mount) if probe.returncode == 0 else run(FILL, str(tmp_path), "limit")
    assert result.returncode == 0, result.stderr
    epoch, held, _, failed, stamp = json.loads(result.stdout)
    assert epoch == held > 3
    assert (failed, stamp) == (1, None)


def test_a_full_disk_loses_nothing(tmp_path: Path) -> None:
    script = FILL.split("    held =")[0] + "    print(epoch)\n"
    epoch = int(run(script, str(tmp_path), "limit").stdout)
    store = LmdbStore(tmp_path)
    assert store.stamp == Stamp("one", epoch)
    assert store.count() == 1_000 * epoch
    store.apply(Delta([b"z"], [b"1"]), Stamp("one", epoch + 1))
    assert store.count() == 1_000 * epoch + 1
    store.close()


APPLY = """
    import sys
    from rayflow.state.base import Delta, Stamp
    from rayflow.state.lmdb_store import LmdbStore
    store = LmdbStore(sys.argv[1])
    keys = [b"%08d" % number for number in range(2_000)]
    epoch = store.stamp.epoch if store.stamp else 0
    while True:
        epoch += 1
        flag = None if epoch % 2 else b"even"
        store.apply(Delta([*keys, b"z"], [b"%d" % epoch] * 2_000 + [flag]), Stamp("one", epoch))
        print(epoch, flush=True)
"""


def test_a_process_killed_while_it_applies_leaves_a_completed_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "store"
    for kill in range(4):
        process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(APPLY), str(path)],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        for _ in range(3 + 7 * kill):
            acknowledged = int(process.stdout.readline())
        process.send_signal(signal.SIGKILL)
        acknowledged = max([acknowledged, *map(int, process.stdout.read().split())])
        process.stdout.close()
        assert process.wait() == -signal.SIGKILL
        store = LmdbStore(path)
        assert store.stamp is not None
        epoch = store.stamp.epoch
        assert epoch in (acknowledged, acknowledged + 1)
        expected = {b"%08d" % number: b"%d" % epoch for number in range(2_000)}
        if epoch % 2 == 0:
            expected[b"z"] = b"even"
        assert dict(store.scan(b"", None)) == expected
        assert store.count() == len(expected)
        store.close()


def test_the_size_counts_the_pages_of_rows_that_are_larger_than_a_page(tmp_path: Path) -> None:
    large = 100_000
    store = LmdbStore(tmp_path)
    store.apply(Delta([b"small"], [b"x"]), Stamp("lineage", 1))
    before = store.size()
    assert 0 < before <= 4 * PAGE
    store.apply(Delta([b"large", b"larger"], [bytes(large), bytes(large)]), Stamp("lineage", 2))
    pages = -(-large // PAGE)
    assert 2 * pages * PAGE <= store.size() - before <= 2 * (pages + 1) * PAGE
    store.apply(Delta([b"large", b"larger"], [None, None]), Stamp("lineage", 3))
    assert store.size() == before
    store.close()
