"""The directory of one task's local state: who holds it, and whether its disk is full."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

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
