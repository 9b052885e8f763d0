"""The directory of one task's local state: who holds it, and whether its disk is full."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from pathlib import Path

import pytest

from rayflow.state import state_directory
from rayflow.state.state_directory import StateDirectory


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[StateDirectory]:
    directory = StateDirectory(tmp_path / "state")
    yield directory
    directory.release()


def test_a_disk_is_full_when_a_write_at_the_end_of_the_file_says_so(directory: StateDirectory) -> None:
    data = directory.path / "data.mdb"
    data.write_bytes(b"page")
    assert not directory.is_full()
    assert data.read_bytes().startswith(b"page")
    data.unlink()
    data.symlink_to("/dev/full")
    assert directory.is_full()


def test_a_disk_whose_file_cannot_be_opened_is_not_called_full(directory: StateDirectory) -> None:
    assert not directory.is_full()


@pytest.mark.parametrize("clean", [False, True])
def test_after_a_reboot_only_what_was_synced_at_the_end_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clean: bool
) -> None:
    """Writes are not synced one by one: a machine that went down may have left any of them out."""
    monkeypatch.setattr(state_directory, "_boot_id", lambda: "before")
    before = StateDirectory(tmp_path)
    (tmp_path / "data.mdb").write_bytes(b"rows")
    if clean:
        before.mark_clean()
    before.release()
    monkeypatch.setattr(state_directory, "_boot_id", lambda: "after")
    after = StateDirectory(tmp_path)
    assert (after.trusted, (tmp_path / "data.mdb").exists()) == (clean, clean)
    after.release()


def test_a_directory_that_cannot_be_locked_is_not_taken_for_locked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, "no locks available")

    monkeypatch.setattr("fcntl.flock", refuse)
    with pytest.raises(OSError, match="no locks available"):
        StateDirectory(tmp_path)
