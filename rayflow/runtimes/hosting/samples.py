"""Writes a job's sample data to topics that do not exist yet, on connectors that take samples."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice

from rayflow.api.specs.stream import Sample
from rayflow.connectors.base import Appender, TopicAdmin
from rayflow.connectors.parts import as_appendable
from rayflow.core.batch import EncodedBatch
from rayflow.core.clock import system_clock
from rayflow.core.errors import EncodeFailed
from rayflow.core.logging import get_logger
from rayflow.plan.physical import JobPlan
from rayflow.runtimes.hosting.ports import Connectors

log = get_logger("rayflow.samples")

SAMPLE_PARTITIONS = 4
CHUNK = 10_000


def write_samples(plan: JobPlan, connectors: Connectors) -> None:
    """Create the topics that have sample data and do not exist. Only for connectors that take samples (the embedded
    log), never for a real broker."""
    sampled = {s.topic: s.sample for stage in plan.stages for s in stage.sources if s.sample is not None}
    for topic, sample in sampled.items():
        connector = connectors.of(topic)
        if not (isinstance(connector, TopicAdmin) and connector.takes_samples):
            continue
        if topic.name in {each.name for each in connector.topics()}:
            continue
        batches = list(_encoded(topic.name, sample))  # first: a value that cannot be encoded must leave no topic behind
        if connector.ensure(topic.name, SAMPLE_PARTITIONS):
            written = _write(as_appendable(connector).appender(), batches)
            log.info("created a topic from the job's sample data", job=plan.name, topic=topic.name, records=written)


def _encoded(topic: str, sample: Sample) -> Iterator[EncodedBatch]:
    values = iter(sample.values())
    while chunk := list(islice(values, CHUNK)):
        now = system_clock()
        timestamps = [now] * len(chunk) if sample.timestamp is None else list(map(sample.timestamp, chunk))
        try:
            encoded = sample.value.encode(chunk)
        except Exception as error:  # a serde may be the user's own, and raise anything
            raise EncodeFailed(
                f"the sample data cannot be encoded as {sample.value.name}: {type(error).__name__}",
                topic=topic,
                advice="Give values of the stream's type: sample=",
            ) from error
        yield EncodedBatch(topic, [None] * len(chunk), encoded, timestamps)


def _write(appender: Appender, batches: Sequence[EncodedBatch]) -> int:
    for batch in batches:
        appender.append(batch)
    appender.flush()
    appender.close()
    return sum(len(batch.values) for batch in batches)
