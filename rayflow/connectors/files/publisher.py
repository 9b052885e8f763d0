"""Publishes a job's output as JSON-lines files, exactly once by rename."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from rayflow.connectors.base import Publisher
from rayflow.connectors.files.catalog import digest
from rayflow.connectors.files.durable import refused, sync_folder, write_synced
from rayflow.connectors.files.home import Home, file_name, home_of
from rayflow.connectors.files.parts import SUFFIX, LooseParts, folder_of, lines_of
from rayflow.connectors.steps import BEGUN, COMMITTED, COMMITTING, MARKED, POSITIONED, PRODUCED
from rayflow.core.batch import EncodedBatch
from rayflow.core.errors import InvariantBroken
from rayflow.core.ids import Marker, SinkTask, TopicPartition


@dataclass(slots=True)
class _Prepared:
    """Files of an epoch that are written and synced under hidden names, and their final names."""

    parts: list[tuple[Path, Path]] = field(default_factory=list)
    markers: list[tuple[Path, Path]] = field(default_factory=list)

    def discard(self) -> None:
        for hidden, _ in self.parts + self.markers:
            hidden.unlink(missing_ok=True)


class JsonLinesPublisher(Publisher):
    """Writes one file per epoch, sink task and topic: `part-<epoch>-<partition>-<lineage>-<sink>.jsonl`. Files of later
    epochs sort after those of earlier ones, because a reader of the directory takes the files as partitions, in order.

    Parts are first written under hidden names. Then, with the job's lock held and the fence checked, they get their
    final names, and after them the sink tasks' marker files. A crash between the renames leaves an old marker, so the
    epoch is published again, with the same records under the same names. Lock, fence and markers are beside the topics.

    Args:
        topics: the topic that each sink operator writes; those of other operators are assumed to be in `base`.
    """

    def __init__(self, base: Path, job: str, slot: int, topics: Mapping[str, str]) -> None:
        self._base = base
        self._job = job
        self._parents = {operator: home_of(base, topic) for operator, topic in topics.items()}
        self._homes = {
            parent: Home(parent, job, slot) for parent in sorted({*self._parents.values()} or {base.resolve()})
        }
        self._slot = slot
        self._swept: set[Path] = set()
        self._loose = LooseParts(base, slot)
        self._running: Generator[str, None, None] | None = None

    def open(self, sinks: Sequence[SinkTask]) -> dict[SinkTask, Marker | None]:
        for sink in sinks:
            self._home(sink)
        for home in self._homes.values():
            try:
                home.open()
            except OSError as error:
                raise refused(error, home.path) from error
        return self.markers(sinks)

    def markers(self, sinks: Sequence[SinkTask]) -> dict[SinkTask, Marker | None]:
        try:
            return {sink: self._home(sink).marker(sink) for sink in sinks}
        except OSError as error:
            raise refused(error, self._base) from error

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
        yield PRODUCED

    def close(self) -> None:
        if self._running is not None:
            self._running.close()

    def _home(self, sink: SinkTask) -> Home:
        parent = self._parents.get(sink.operator, self._base.resolve())
        if parent not in self._homes:
            self._homes[parent] = Home(parent, self._job, self._slot)
        return self._homes[parent]

    def _publish(
        self, marker: Marker, outputs: Mapping[SinkTask, Sequence[EncodedBatch]]
    ) -> Generator[str, None, None]:
        if not all(home.opened for home in self._homes.values()):
            raise InvariantBroken("A publisher was used before it was opened", job=self._job)
        prepared = _Prepared()
        try:
            yield BEGUN
            for sink, batches in outputs.items():
                topics: dict[str, list[EncodedBatch]] = {}
                for batch in batches:
                    topics.setdefault(batch.topic, []).append(batch)
                for topic, of_topic in topics.items():
                    self._write_part(prepared, marker, sink, topic, of_topic)
                    yield PRODUCED
            if not prepared.parts:
                yield PRODUCED
            for sink in outputs:
                home = self._home(sink)
                final = home.marker_file(sink)
                prepared.markers.append((home.hidden(final), final))
                self._write(prepared.markers[-1][0], msgspec.json.encode(marker))
            yield MARKED
            yield POSITIONED
            yield COMMITTING
            self._commit(prepared)
        finally:
            prepared.discard()
        yield COMMITTED

    def _write_part(
        self, prepared: _Prepared, marker: Marker, sink: SinkTask, topic: str, batches: list[EncodedBatch]
    ) -> None:
        folder, home = folder_of(self._base, topic), self._home(sink)
        if folder not in self._swept:
            self._swept.add(folder)
            home.sweep(folder)
        data = lines_of(batches, topic)
        if data:
            sink_name = digest(self._job, sink.operator)
            lineage = file_name(marker.lineage)
            final = folder / f"part-{marker.epoch:012d}-{sink.partition:05d}-{lineage}-{sink_name}{SUFFIX}"
            prepared.parts.append((home.hidden(final), final))
            self._write(prepared.parts[-1][0], data)

    def _commit(self, prepared: _Prepared) -> None:
        try:
            with ExitStack() as locks:
                for _, home in sorted(self._homes.items()):  # in the same order everywhere, to avoid a deadlock
                    locks.enter_context(home.held())
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


def _final(names: tuple[Path, Path]) -> Path:
    return names[1]
