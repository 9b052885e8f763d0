"""Writes a job's sample data to topics that do not exist yet, on connectors that take samples."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

from rayflow.api.specs.stream import Sample
from rayflow.connectors.base import Appender, TopicAdmin
from rayflow.connectors.parts import as_appendable
from rayflow.core.batch import EncodedBatch
from rayflow.core.clock import system_clock
from rayflow.core.errors import EncodeFailed, UserFunctionFailed
from rayflow.core.logging import get_logger
from rayflow.operators.time_column import checked_time
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
        timestamps = _times(topic, sample, chunk)
        try:
            encoded = sample.value.encode(chunk)
        except Exception as error:  # a serde may be the user's own, and raise anything
            raise EncodeFailed(
                f"the sample data cannot be encoded as {sample.value.name}: {type(error).__name__}",
                topic=topic,
                advice="Give values of the stream's type: sample=",
            ) from error
        batch = EncodedBatch(topic, [None] * len(chunk), encoded, timestamps)
        batch.check()
        yield batch


def _times(topic: str, sample: Sample, values: list[Any]) -> list[int]:
    """The event times of sample values. Raises UserFunctionFailed for what is no time."""
    fn = sample.timestamp
    if fn is None:
        return [system_clock()] * len(values)
    try:
        return [checked_time(fn(value)) for value in values]
    except UserFunctionFailed as error:
        raise UserFunctionFailed(f"the sample data: {error.what}", topic=topic, advice=error.advice) from error
    except Exception as error:  # the function is the user's own
        raise UserFunctionFailed(
            f"timestamp= failed for the sample data: {type(error).__name__}",
            topic=topic,
            advice="Give sample= values that timestamp= can be asked about",
        ) from error


def _write(appender: Appender, batches: Sequence[EncodedBatch]) -> int:
    for batch in batches:
        appender.append(batch)
    appender.flush()
    appender.close()
    return sum(len(batch.values) for batch in batches)
