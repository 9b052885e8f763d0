"""The workloads in Quix Streams; runs in its own virtual environment, to the ends that it finds.

python quix_app.py WORKLOAD --broker HOST:PORT --source TOPIC --sink TOPIC --group NAME --state DIR
"""

from __future__ import annotations

import argparse
from typing import Any

from confluent_kafka import Consumer, TopicPartition
from quixstreams import Application  # type: ignore[import-not-found]
from quixstreams.dataframe.windows import Count, Sum  # type: ignore[import-not-found]

WINDOW, GRACE = 60_000, 5_000


def size(broker: str, topic: str) -> int:
    """Records of a topic that has never been compacted or written in transactions."""
    consumer = Consumer({"bootstrap.servers": broker, "group.id": "benchmarks", "log_level": 0})
    partitions = consumer.list_topics(topic, timeout=30).topics[topic].partitions
    ends = [consumer.get_watermark_offsets(TopicPartition(topic, number), 30)[1] for number in partitions]
    consumer.close()
    return sum(ends)


class Ending:
    """Stops the application once everything has been processed; where records are keyed anew, they come twice."""

    def __init__(self, records: int) -> None:
        self._left = records
        self.app: Any = None

    def __call__(self, topic: str, partition: int, offset: int) -> None:
        self._left -= 1
        if not self._left:
            self.app.stop()


def running(by: str) -> Any:
    """Count and revenue, kept as state."""

    def step(order: Any, state: Any) -> Any:
        count, revenue = state.get("row", (0, 0.0))
        row = [count + 1, revenue + order["price"] * order["qty"]]
        state.set("row", row)
        return {"key": order[by], "count": row[0], "revenue": row[1]}

    return step


def total(order: Any) -> Any:
    """A record of `map`."""
    return {"user": order["user"], "total": order["price"] * order["qty"]}


def minute(window: Any, key: bytes, _time: int, _headers: Any) -> Any:
    """A record of `window`."""
    return {
        "key": key.decode(),
        "window_start": window["start"],
        "count": window["count"],
        "revenue": window["revenue"],
    }


def build(app: Any, workload: str, source: str, sink: str) -> None:
    """The dataflow."""
    raw = {"value_deserializer": "bytes"} if workload == "identity" else {}
    frame = app.dataframe(app.topic(source, **raw))
    target = app.topic(sink, **({"value_serializer": "bytes"} if workload == "identity" else {}))
    if workload == "map":
        frame = frame.filter(lambda order: order["price"] > 20).apply(total)
    elif workload == "count":
        frame = frame.apply(running("user"), stateful=True)
    elif workload == "shuffle":
        frame = frame.group_by("item", key_serializer="str", key_deserializer="str").apply(
            running("item"), stateful=True
        )
        target = app.topic(sink, key_serializer="str")
    elif workload == "window":
        # By partition: by key, its default, a key's last window stays open until the key comes again.
        frame = (
            frame.apply(lambda order: {"revenue": order["price"] * order["qty"]})
            .tumbling_window(WINDOW, grace_ms=GRACE)
            .agg(count=Count(), revenue=Sum("revenue"))
            .final(closing_strategy="partition")
            .apply(minute, metadata=True)
        )
    frame.to_topic(target)


def main() -> None:
    """Run one workload."""
    options = argparse.ArgumentParser()
    options.add_argument("workload")
    for name in ("broker", "source", "sink", "group", "state"):
        options.add_argument(f"--{name}", required=True)
    given = options.parse_args()
    ending = Ending(size(given.broker, given.source) * (2 if given.workload == "shuffle" else 1))
    app = Application(
        broker_address=given.broker,
        consumer_group=given.group,
        state_dir=given.state,
        auto_offset_reset="earliest",
        processing_guarantee="exactly-once",
        commit_interval=1.0,
        on_message_processed=ending,
        producer_extra_config={"linger.ms": 50, "batch.size": 1 << 20, "queue.buffering.max.messages": 1_000_000},
        consumer_extra_config={"max.partition.fetch.bytes": 4 << 20, "queued.min.messages": 200_000},
        loglevel="WARNING",
    )
    ending.app = app
    build(app, given.workload, given.source, given.sink)
    app.run()


if __name__ == "__main__":
    main()
