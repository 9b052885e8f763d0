"""The directory of one store: locked for one store at a time, and rebuilt after an unclean reboot.

LMDB runs without syncing, so its file survives a killed process, but perhaps not a machine that went down. A file
beside it records the boot of the machine in which it was written, or that it was synced and closed.
"""

from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path

from rayflow.core.errors import AlreadyRunning, DiskFull, InvariantBroken

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
"""Linux has the id of the boot here. On other systems nothing is trusted after a stop."""

_LOCK = "held"
_CLEAN = "clean"
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_PROBE = b"\x00" * 65_536

_held: dict[Path, StateDirectory] = {}


class StateDirectory:
    """Locks a directory until `release`.

    Raises InvariantBroken if this process has locked it already, AlreadyRunning if another process has, DiskFull.

    Attributes:
        trusted: whether the directory contains what was written last.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.resolve()
        if _held.setdefault(self.path, self) is not self:
            raise InvariantBroken(f"the state directory {path} is opened twice in this process")
        self._lock = -1
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(self.path / _LOCK, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o644)
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            boot = _boot_id()
            recorded = self._recorded()
            self.trusted = boot is not None and recorded in (boot, _CLEAN)
            if boot is not None and recorded != boot:
                if not self.trusted:
                    self.wipe()
                self._record(boot)
        except BlockingIOError:
            self.release()
            raise AlreadyRunning(f"another process holds the state directory {path}") from None
        except OSError as error:
            self.release()
            if error.errno in _FULL:
                raise DiskFull(f"the disk is full: cannot open the state directory {path}") from error
            raise

    def wipe(self) -> None:
        """Delete LMDB's files in the directory."""
        for name in ("data.mdb", "lock.mdb"):
            (self.path / name).unlink(missing_ok=True)

    def distrust(self) -> None:
        """Record that the next process must not trust the contents."""
        (self.path / "boot").unlink(missing_ok=True)

    def mark_clean(self) -> None:
        """Record that everything was synced, so that the contents are trusted even after a reboot."""
        if self._recorded() is not None:
            self._record(_CLEAN)

    def is_full(self) -> bool:
        """Whether LMDB's file cannot grow because there is no space (LMDB reports a short write as an I/O error)."""
        try:
            file = os.open(self.path / "data.mdb", os.O_WRONLY | os.O_CLOEXEC)
            try:
                os.pwrite(file, _PROBE, os.fstat(file).st_size)
                os.fsync(file)
            finally:
                os.close(file)
        except OSError as error:
            return error.errno in _FULL
        return False

    def release(self) -> None:
        """Unlock the directory."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1
        if _held.get(self.path) is self:
            del _held[self.path]

    def _recorded(self) -> str | None:
        try:
            return (self.path / "boot").read_text().strip()
        except FileNotFoundError:
            return None

    def _record(self, text: str) -> None:
        """Durable before it returns: if the machine goes down later, an older record must not reappear."""
        fresh = self.path / "boot.new"
        with fresh.open("w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(self.path / "boot")
        folder = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def is_held(path: Path) -> bool:
    """Whether a process, this one included, has locked a store's directory. Changes nothing in it."""
    try:
        lock = os.open(path / _LOCK, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(lock)
    return False


def _boot_id() -> str | None:
    try:
        return BOOT_ID.read_text().strip() or None
    except OSError:
        return None
