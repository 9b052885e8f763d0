"""A job's fences and markers, in a hidden folder beside the topics that it writes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path
from urllib.parse import quote

import msgspec

from rayflow.connectors.files.catalog import digest
from rayflow.connectors.files.durable import locked, sync_folder, write_synced
from rayflow.core.errors import DamagedObject, Fenced, InvariantBroken
from rayflow.core.ids import Marker, SinkTask

HOME = ".rayflow"
"""The name of the folder beside the topics."""


def home_of(base: Path, topic: str) -> Path:
    """The folder that contains a topic to write. An absolute topic path does not depend on the working directory."""
    return (base / topic).resolve().parent


class Home:
    """The fences and markers of one job beside the topics of one folder, for the publisher of one slot."""

    def __init__(self, parent: Path, job: str, slot: int) -> None:
        self.path = parent / HOME / f"job-{file_name(job)}"
        self._job = job
        self._slot = slot
        self._tag = digest(job, str(slot))
        self._fence: int | None = None

    def open(self) -> None:
        """Fence every earlier publisher of the slot. Raises OSError, DamagedObject."""
        self.path.mkdir(parents=True, exist_ok=True)
        with locked(self.path / "lock"):
            self._fence = self._newest_fence() + 1
            hidden = self.hidden(self._fence_file)
            write_synced(hidden, b"%d" % self._fence)
            hidden.replace(self._fence_file)
            sync_folder(self.path)

    @property
    def opened(self) -> bool:
        """Whether `open` has been called."""
        return self._fence is not None

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the job's lock. Raises Fenced if a newer publisher was opened."""
        with locked(self.path / "lock"):
            if self._newest_fence() != self._fence:
                raise Fenced(f"A newer publisher has been opened for slot {self._slot}", job=self._job)
            yield

    def hidden(self, final: Path) -> Path:
        """A hidden name for a file until it gets its final one. No other publisher uses it."""
        if self._fence is None:
            raise InvariantBroken("A publisher was used before it was opened", job=self._job)
        return final.parent / f".{self._tag}-{self._fence}-{final.name}"

    def sweep(self, folder: Path) -> None:
        """Remove the hidden files that earlier publishers of the slot have left."""
        for left in folder.glob(f".{self._tag}-*"):
            if not left.name.startswith(f".{self._tag}-{self._fence}-"):
                left.unlink(missing_ok=True)

    def marker_file(self, sink: SinkTask) -> Path:
        """The path of a sink task's marker."""
        return self.path / f"marker-{file_name(sink.operator)}-{sink.partition}"

    def marker(self, sink: SinkTask) -> Marker | None:
        """The marker of a sink task. Raises DamagedObject, OSError."""
        path = self.marker_file(sink)
        try:
            return msgspec.json.decode(path.read_bytes(), type=Marker)
        except FileNotFoundError:
            return None
        except msgspec.MsgspecError as error:
            raise _damaged(path) from error

    @property
    def _fence_file(self) -> Path:
        return self.path / f"fence-{self._slot}"

    def _newest_fence(self) -> int:
        try:
            text = self._fence_file.read_bytes()
        except FileNotFoundError:
            return 0
        if not text.isdigit():
            raise _damaged(self._fence_file)
        return int(text)


def file_name(text: str) -> str:
    """A text as a part of a file name."""
    name = quote(text, safe="")
    return name if re.fullmatch(r".{1,80}", name) else blake2b(text.encode(), digest_size=16).hexdigest()


def _damaged(path: Path) -> DamagedObject:
    return DamagedObject(f"{path} is damaged", advice="Restore it from a backup; it records what was published")
