"""The workloads in Bytewax; runs in its own virtual environment, to the ends that it finds.

python bytewax_flow.py WORKLOAD --broker HOST:PORT --source TOPIC --sink TOPIC --state DIR
"""

from __future__ import annotations

import argparse
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import bytewax.operators as op  # type: ignore[import-not-found]
import msgspec
from bytewax.connectors.kafka import KafkaSink, KafkaSinkMessage, KafkaSource  # type: ignore[import-not-found]
from bytewax.dataflow import Dataflow  # type: ignore[import-not-found]
from bytewax.operators.windowing import EventClock, TumblingWindower, fold_window  # type: ignore[import-not-found]
from bytewax.recovery import RecoveryConfig, init_db_dir  # type: ignore[import-not-found]
from bytewax.run import cli_main  # type: ignore[import-not-found]

BATCH = 10_000
WINDOW = 60_000
EPOCH = datetime(2023, 11, 14, tzinfo=timezone.utc)
"""The beginning of window 0; a full minute."""
EPOCH_MS = int(EPOCH.timestamp() * 1000)


class Order(msgspec.Struct, gc=False):
    user: str
    item: str
    price: float
    qty: int


class Total(msgspec.Struct, gc=False):
    user: str
    total: float


class Running(msgspec.Struct, gc=False):
    key: str
    count: int
    revenue: float


class Minute(msgspec.Struct, gc=False):
    key: str
    window_start: int
    count: int
    revenue: float


decode = msgspec.json.Decoder(Order).decode
encode = msgspec.json.Encoder().encode


def copies(messages: list[Any]) -> list[Any]:
    """Records as they come."""
    return [KafkaSinkMessage(m.key, m.value, timestamp=m.timestamp[1]) for m in messages]


def totals(messages: list[Any]) -> list[Any]:
    """Decode, filter, compute, encode."""
    out = []
    for m in messages:
        order = decode(m.value)
        if order.price > 20:
            value = encode(Total(order.user, order.price * order.qty))
            out.append(KafkaSinkMessage(m.key, value, timestamp=m.timestamp[1]))
    return out


def by_user(messages: list[Any]) -> list[Any]:
    """User and revenue."""
    return [(order.user, order.price * order.qty) for order in [decode(m.value) for m in messages]]


def by_item(messages: list[Any]) -> list[Any]:
    """Item and revenue."""
    return [(order.item, order.price * order.qty) for order in [decode(m.value) for m in messages]]


def timed(messages: list[Any]) -> list[Any]:
    """User, and time and revenue."""
    out = []
    for m in messages:
        order = decode(m.value)
        out.append((order.user, (m.timestamp[1], order.price * order.qty)))
    return out


def running(row: Any, revenue: float) -> Any:
    """The next count and sum, as state and as output."""
    row = (1, revenue) if row is None else (row[0] + 1, row[1] + revenue)
    return row, row


def updates(rows: list[Any]) -> list[Any]:
    """Encoded updates."""
    return [KafkaSinkMessage(k.encode(), encode(Running(k, count, revenue))) for k, (count, revenue) in rows]


def minutes(rows: list[Any]) -> list[Any]:
    """Encoded windows."""
    out = []
    for key, (window, (count, revenue)) in rows:
        start = EPOCH_MS + window * WINDOW
        value = encode(Minute(key, start, count, revenue))
        out.append(KafkaSinkMessage(key.encode(), value, timestamp=start + WINDOW - 1))
    return out


def windows(keyed: Any) -> Any:
    """Count and revenue per minute, by the records' time alone: by default its clock moves on with the wall clock,
    and drops what is replayed slower than that."""
    clock = EventClock(
        ts_getter=lambda value: datetime.fromtimestamp(value[0] / 1000, timezone.utc),
        wait_for_system_duration=timedelta(seconds=5),
        now_getter=lambda: EPOCH,
        to_system_utc=lambda _: None,
    )
    return fold_window(
        "window",
        keyed,
        clock,
        TumblingWindower(length=timedelta(milliseconds=WINDOW), align_to=EPOCH),
        lambda: (0, 0.0),
        lambda row, value: (row[0] + 1, row[1] + value[1]),
        lambda one, other: (one[0] + other[0], one[1] + other[1]),
        ordered=False,
    ).down


def build(workload: str, broker: str, source: str, sink: str) -> Any:
    """The dataflow."""
    flow = Dataflow("bench")
    fetching = {"max.partition.fetch.bytes": 4 << 20, "fetch.wait.max.ms": 50}
    read = op.input("in", flow, KafkaSource([broker], [source], tail=False, batch_size=BATCH, add_config=fetching))
    if workload in ("identity", "map"):
        out = op.flat_map_batch("work", read, copies if workload == "identity" else totals)
    elif workload == "window":
        out = op.flat_map_batch("encode", windows(op.flat_map_batch("decode", read, timed)), minutes)
    else:
        keyed = op.flat_map_batch("decode", read, by_user if workload == "count" else by_item)
        out = op.flat_map_batch("encode", op.stateful_map("running", keyed, running), updates)
    sending = {
        "linger.ms": 50,
        "batch.size": 1 << 20,
        "enable.idempotence": True,
        "partitioner": "murmur2_random",
        "queue.buffering.max.messages": 1_000_000,
    }
    op.output("out", out, KafkaSink([broker], sink, add_config=sending))
    return flow


def main() -> None:
    """Run one workload."""
    options = argparse.ArgumentParser()
    options.add_argument("workload")
    for name in ("broker", "source", "sink"):
        options.add_argument(f"--{name}", required=True)
    options.add_argument("--state", type=Path, required=True)
    given = options.parse_args()
    given.state.mkdir(parents=True, exist_ok=True)
    init_db_dir(given.state, 1)
    flow = build(given.workload, given.broker, given.source, given.sink)
    cli_main(flow, recovery_config=RecoveryConfig(given.state), epoch_interval=timedelta(seconds=1))


if __name__ == "__main__":
    main()
