"""Publishes a job's output as JSON-lines files, exactly once by rename."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import msgspec

from rayflow.connectors.base import Publisher
from rayflow.connectors.files.catalog import digest
from rayflow.connectors.files.durable import locked, refused, sync_folder, write_synced
from rayflow.connectors.files.parts import SUFFIX, LooseParts, folder_of, lines_of
from rayflow.core.batch import EncodedBatch
from rayflow.core.errors import DamagedObject, Fenced, InvariantBroken
from rayflow.core.ids import Marker, SinkTask, TopicPartition

HOME = ".rayflow"
"""Folder beside the topics for fences and markers."""


@dataclass(slots=True)
class _Prepared:
    """Files of an epoch that are written and synced under hidden names, and the names they will get."""

    parts: list[tuple[Path, Path]] = field(default_factory=list)
    markers: list[tuple[Path, Path]] = field(default_factory=list)

    def discard(self) -> None:
        for hidden, _ in self.parts + self.markers:
            hidden.unlink(missing_ok=True)


class JsonLinesPublisher(Publisher):
    """Writes, per epoch, sink task and topic, one file `part-<epoch>-<partition>-<lineage>-<sink>.jsonl`, so
    that the files of later epochs sort behind those of earlier ones: whoever reads the directory takes each for a
    partition, by their order.

    Parts are written under hidden names; then, under the job's lock and after a look at the fence, they get their
    names, and the sink tasks' marker files after them. A crash between the renames leaves an old marker, so the epoch
    is published again, and gives the same names to the same records.
    """

    def __init__(self, base: Path, job: str, slot: int) -> None:
        self._base = base
        self._job = job
        self._slot = slot
        self._home = base / HOME / f"job-{_file_name(job)}"
        self._tag = digest(job, str(slot))
        self._fence: int | None = None
        self._swept: set[Path] = set()
        self._loose = LooseParts(base, slot)
        self._running: Generator[str, None, None] | None = None

    def open(self, sinks: Sequence[SinkTask]) -> dict[SinkTask, Marker | None]:
        try:
            self._home.mkdir(parents=True, exist_ok=True)
            with locked(self._home / "lock"):
                self._fence = self._newest_fence() + 1
                hidden = self._hidden(self._fence_file)
                write_synced(hidden, b"%d" % self._fence)
                hidden.replace(self._fence_file)
                sync_folder(self._home)
                return {sink: self._marker(sink) for sink in sinks}
        except OSError as error:
            raise refused(error, self._home) from error

    def markers(self, sinks: Sequence[SinkTask]) -> dict[SinkTask, Marker | None]:
        try:
            return {sink: self._marker(sink) for sink in sinks}
        except OSError as error:
            raise refused(error, self._home) from error

    def publish(
        self,
        marker: Marker,
        outputs: Mapping[SinkTask, Sequence[EncodedBatch]],
        positions: Mapping[TopicPartition, int],
    ) -> Iterator[str]:
        self._running = self._publish(marker, outputs)
        return self._running

    def append(self, outputs: Sequence[EncodedBatch]) -> None:
        for batch in outputs:
            self._loose.append(batch)

    def flush(self) -> Iterator[str]:
        self._loose.flush()
        yield "produced"

    def close(self) -> None:
        if self._running is not None:
            self._running.close()

    def _publish(
        self, marker: Marker, outputs: Mapping[SinkTask, Sequence[EncodedBatch]]
    ) -> Generator[str, None, None]:
        if self._fence is None:
            raise InvariantBroken("A publisher was used before it was opened", job=self._job)
        prepared = _Prepared()
        try:
            yield "begun"
            for sink, batches in outputs.items():
                topics: dict[str, list[EncodedBatch]] = {}
                for batch in batches:
                    topics.setdefault(batch.topic, []).append(batch)
                for topic, of_topic in topics.items():
                    self._write_part(prepared, marker, sink, topic, of_topic)
                    yield "produced"
            if not prepared.parts:
                yield "produced"
            for sink in outputs:
                final = self._marker_file(sink)
                prepared.markers.append((self._hidden(final), final))
                self._write(prepared.markers[-1][0], msgspec.json.encode(marker))
            yield "marked"
            yield "positioned"
            yield "committing"
            self._commit(prepared)
        finally:
            prepared.discard()
        yield "committed"

    def _write_part(
        self, prepared: _Prepared, marker: Marker, sink: SinkTask, topic: str, batches: list[EncodedBatch]
    ) -> None:
        folder = folder_of(self._base, topic)
        if folder not in self._swept:
            self._swept.add(folder)
            for left in folder.glob(f".{self._tag}-*"):
                if not left.name.startswith(f".{self._tag}-{self._fence}-"):
                    left.unlink(missing_ok=True)
        data = lines_of(batches, topic)
        if data:
            sink_name = digest(self._job, sink.operator)
            lineage = _file_name(marker.lineage)
            final = folder / f"part-{marker.epoch:012d}-{sink.partition:05d}-{lineage}-{sink_name}{SUFFIX}"
            prepared.parts.append((self._hidden(final), final))
            self._write(prepared.parts[-1][0], data)

    def _commit(self, prepared: _Prepared) -> None:
        try:
            with locked(self._home / "lock"):
                if self._newest_fence() != self._fence:
                    raise Fenced(f"A newer publisher has been opened for slot {self._slot}", job=self._job)
                for folder in {final.parent for _, final in prepared.parts}:
                    folder_of(self._base, str(folder))
                for files in (prepared.parts, prepared.markers):
                    for hidden, final in sorted(files, key=_final):  # readers may look in between
                        hidden.replace(final)
                    for folder in {final.parent for _, final in files}:
                        sync_folder(folder)
        except OSError as error:
            raise refused(error, self._base) from error

    def _write(self, path: Path, data: bytes) -> None:
        try:
            write_synced(path, data)
        except OSError as error:
            raise refused(error, path) from error

    def _hidden(self, final: Path) -> Path:
        """A name for a file until it gets its own; no other publisher writes to it."""
        return final.parent / f".{self._tag}-{self._fence}-{final.name}"

    @property
    def _fence_file(self) -> Path:
        return self._home / f"fence-{self._slot}"

    def _newest_fence(self) -> int:
        try:
            text = self._fence_file.read_bytes()
        except FileNotFoundError:
            return 0
        if not text.isdigit():
            raise _damaged(self._fence_file)
        return int(text)

    def _marker_file(self, sink: SinkTask) -> Path:
        return self._home / f"marker-{_file_name(sink.operator)}-{sink.partition}"

    def _marker(self, sink: SinkTask) -> Marker | None:
        path = self._marker_file(sink)
        try:
            return msgspec.json.decode(path.read_bytes(), type=Marker)
        except FileNotFoundError:
            return None
        except msgspec.MsgspecError as error:
            raise _damaged(path) from error


def _final(names: tuple[Path, Path]) -> Path:
    return names[1]


def _damaged(path: Path) -> DamagedObject:
    return DamagedObject(f"{path} is damaged", advice="Restore it from a backup; it says what has been published")


def _file_name(text: str) -> str:
    """A text as part of a file's name."""
    name = quote(text, safe="")
    return name if re.fullmatch(r".{1,80}", name) else hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
