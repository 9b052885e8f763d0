"""A checkpoint store in a folder of a file system."""

from __future__ import annotations

import builtins
import errno
import fcntl
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from stat import S_ISREG

from rayflow.checkpoint.layout import is_object_name
from rayflow.checkpoint.store import CheckpointStore
from rayflow.core.errors import CheckpointStoreFailed, DiskFull, InvalidSetting, ObjectExists, ObjectMissing

_UNFINISHED = ".unfinished"
_PLACE_TRIES = 100
_serial = count()


class FileStore(CheckpointStore):
    """Objects as files in one folder, which is created when the first object is written.

    An object is written in the store's folder `.unfinished`, synced, and moved to its name, so a reader sees all of it
    or nothing. A writer locks its unfinished file while it lives. Opening a store deletes unfinished files without a
    lock.

    Args:
        uri: `file:/absolute`, `file:///absolute` or `file:relative` (to the current directory at the time of the call).

    Raises InvalidSetting for another form, CheckpointStoreFailed if the system refuses the path.

    >>> import tempfile
    >>> store = FileStore(f"file:{tempfile.mkdtemp()}/checkpoints")
    >>> store.put("a/b", [b"one", b"two"])
    >>> store.get("a/b"), store.list("a")
    (b'onetwo', ['a/b'])
    """

    def __init__(self, uri: str) -> None:
        self.uri = uri
        self._root = _folder(uri)
        self._unfinished = self._root / _UNFINISHED
        with self._refusals("open", "the store"):
            self._discard_abandoned()

    def put(self, name: str, parts: Sequence[bytes]) -> None:
        self._write(name, parts, os.replace)

    def create(self, name: str, data: bytes) -> None:
        def link(temporary: Path, target: Path) -> None:
            # One step, which fails if a file of that name exists, even if another machine created it.
            try:
                os.link(temporary, target)
            except FileExistsError as error:
                raise ObjectExists(f"{self.uri} already has an object {name}") from error

        self._write(name, [data], link)

    def get(self, name: str) -> bytes:
        with self._refusals("read", name):
            return self._path(name).read_bytes()

    def get_range(self, name: str, start: int, length: int) -> bytes:
        with self._refusals("read", name), self._path(name).open("rb") as file:
            file.seek(start)
            return file.read(length)

    def size(self, name: str) -> int:
        with self._refusals("read", name):
            status = self._path(name).stat()
            if not S_ISREG(status.st_mode):
                raise IsADirectoryError
            return status.st_size

    def list(self, prefix: str) -> builtins.list[str]:
        folder = self._root / prefix.rpartition("/")[0]
        with self._refusals("list", prefix):
            return sorted(name for name in self._names(folder) if name.startswith(prefix))

    def delete(self, names: Sequence[str]) -> None:
        with self._refusals("delete", f"{len(names)} objects"):
            for name in names:
                with suppress(FileNotFoundError, NotADirectoryError, IsADirectoryError):
                    self._path(name).unlink()
            # Synced, so that after a power failure no manifest reappears without its segments.
            for folder in {self._path(name).parent for name in names}:
                _sync_folder(self._without_empty(folder))

    def _path(self, name: str) -> Path:
        if not is_object_name(name):
            raise CheckpointStoreFailed(f"{self.uri}: {name!r} is not a name for an object")
        return self._root / name

    def _write(self, name: str, parts: Sequence[bytes], place: Callable[[Path, Path], None]) -> None:
        target = self._path(name)
        with self._refusals("write", name):
            if not self._unfinished.is_dir():
                _make_folder(self._unfinished)
            temporary, descriptor = self._open_unfinished()
            try:
                with open(descriptor, "wb") as file:
                    file.writelines(parts)
                    file.flush()
                    os.fsync(descriptor)
                    self._place(temporary, target, place)
            finally:
                temporary.unlink(missing_ok=True)
            for folder in [target.parent, *target.parent.parents]:
                _sync_folder(folder)
                if folder == self._root:
                    break

    def _open_unfinished(self) -> tuple[Path, int]:
        while True:
            path = self._unfinished / f"{os.getpid()}-{os.urandom(4).hex()}-{next(_serial)}"
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
            _lock(descriptor, wait=True)
            if os.fstat(descriptor).st_nlink:
                return path, descriptor
            os.close(descriptor)  # another process opened the store before the lock, and deleted the file

    def _place(self, temporary: Path, target: Path, place: Callable[[Path, Path], None]) -> None:
        for tries in range(_PLACE_TRIES):
            try:
                target.parent.mkdir(parents=True, exist_ok=True)
                place(temporary, target)
                return
            except (FileNotFoundError, FileExistsError):
                # `delete` of another thread removed the folder while it was empty: after or during `mkdir`
                if tries == _PLACE_TRIES - 1:
                    raise

    def _discard_abandoned(self) -> None:
        for path in self._unfinished.glob("*"):
            with suppress(OSError):  # another process's file, or gone
                descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
                try:
                    if _lock(descriptor, wait=False):
                        path.unlink(missing_ok=True)
                finally:
                    os.close(descriptor)

    def _names(self, folder: Path) -> Iterator[str]:
        for path, folders, files in os.walk(folder, onerror=_unless_missing):
            folders[:] = [name for name in folders if not name.startswith(".")]
            place = Path(path).relative_to(self._root)
            yield from ((place / name).as_posix() for name in files if not name.startswith("."))

    def _without_empty(self, folder: Path) -> Path:
        """Remove `folder` and its parents as long as they are empty. Returns the first one that stays."""
        while folder != self._root:
            try:
                folder.rmdir()
            except FileNotFoundError:
                pass
            except OSError as error:
                if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
                    break
                raise
            folder = folder.parent
        return folder

    @contextmanager
    def _refusals(self, action: str, name: str) -> Iterator[None]:
        try:
            yield
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
            if action == "read":
                raise ObjectMissing(f"{self.uri} has no object {name}") from error
            raise CheckpointStoreFailed(f"{self.uri}: cannot {action} {name}: {error.strerror}") from error
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise DiskFull(f"{self.uri}: cannot {action} {name}: {error.strerror}") from error
            raise CheckpointStoreFailed(f"{self.uri}: cannot {action} {name}: {error.strerror}") from error


def _folder(uri: str) -> Path:
    path = uri.removeprefix("file:")
    if path.startswith("//"):
        path = path.removeprefix("//")
        if not path.startswith("/"):
            path = ""  # file://host/path names a host
    if not uri.startswith("file:") or not path or "\0" in path:
        raise InvalidSetting(f"{uri!r} is not the URI of a folder", advice="Use file:/absolute or file:relative")
    return Path(path).absolute()


def _lock(descriptor: int, *, wait: bool) -> bool:
    """Lock the file until the descriptor is closed. False if another process has the lock, or without lock support."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _unless_missing(error: OSError) -> None:
    if not isinstance(error, (FileNotFoundError, NotADirectoryError)):
        raise error


def _make_folder(folder: Path) -> None:
    """Create `folder` and its parents, each durable in its parent."""
    if not folder.parent.is_dir():
        _make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    _sync_folder(folder.parent)


def _sync_folder(folder: Path) -> None:
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:  # removed together with the object, by a `delete` of another thread
        return
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
