"""Kafka Streams, exactly_once_v2, of the same version as the broker: two stream threads, RocksDB, changelog topics."""

from __future__ import annotations

from pathlib import Path

from benchmarks.contenders import Contender, Place
from benchmarks.peers.install import installed, program, run
from benchmarks.workloads import KAFKA_STREAMS, Workload

POM = Path(__file__).with_name("pom.xml")
SOURCES = tuple(sorted(Path(__file__).with_name("java").glob("*.java")))
JVM = ("-Xmx1g", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-Dorg.slf4j.simpleLogger.showDateTime=true")
"""The JVM's own choices, but for the size of the heap, which bounds the memory that is shown."""


def _folder() -> Path:
    """The jars, and the programs compiled. Raises NotInstalled."""

    def install(folder: Path) -> None:
        libs = folder / "libs"
        run([program("mvn"), "-q", "-B", "-f", str(POM), "dependency:copy-dependencies", f"-DoutputDirectory={libs}"])
        run([program("javac"), "-cp", f"{libs}/*", "-d", str(folder / "classes"), *map(str, SOURCES)])

    return installed(KAFKA_STREAMS, "\n".join(file.read_text() for file in (POM, *SOURCES)), install)


def _prepare() -> str:
    streams = next((_folder() / "libs").glob("kafka-streams-*.jar")).stem
    java = run([program("java"), "--version"]).splitlines()[0]
    return f"{' '.join(streams.rsplit('-', 1))}, {java}"


def _command(workload: Workload, place: Place) -> list[str]:
    folder = _folder()
    return [
        *(program("java"), *JVM, "-cp", f"{folder / 'classes'}:{folder / 'libs'}/*", "Main", workload.name),
        *(place.broker, place.source, place.sink, place.name, str(place.state)),
    ]


KAFKA_STREAMS_PEER = Contender(
    KAFKA_STREAMS,
    "exactly once",
    {
        "identity": "identity",
        "map": "map",
        "count": "updates_per_user",
        "count-epoch": "newest_per_user",
        "shuffle": "updates_per_item",
        "shuffle-epoch": "newest_per_item",
        "window": "closed_windows",
    },
    _command,
    _prepare,
)
