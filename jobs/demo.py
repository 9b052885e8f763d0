"""`make demo`: runs revenue.py on the embedded log to the end, and shows what came out of it.

The first time it counts an hour of orders; each time after that it writes the next hour of orders and goes on from the
last checkpoint.
"""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import msgspec
from revenue import ORDERS_PER_HOUR, Revenue, job, orders_of
from rich.console import Console
from rich.table import Table

from rayflow.cli.figures import time_text
from rayflow.cli.options import run_options, settings_of
from rayflow.cli.run import run_plan
from rayflow.cli.topics.reading import read_topic
from rayflow.connectors.embedded.connector import EmbeddedConnector
from rayflow.core.batch import EncodedBatch
from rayflow.plan.compile import plan_of

STATE = Path("rayflow-data")
PARTITIONS = 4


def write_hour(log: EmbeddedConnector, hour: int, already: int) -> None:
    """Append one hour of orders, but the first `already`, to the topic that the job reads."""
    appender = log.appender()
    orders = islice(orders_of(hour), already, None)
    while chunk := list(islice(orders, 10_000)):
        values: list[bytes | None] = list(map(msgspec.json.encode, chunk))
        appender.append(EncodedBatch("orders", [None] * len(chunk), values, [order.ts for order in chunk]))
    appender.close()


def results_of(log: EmbeddedConnector) -> list[Revenue]:
    """Everything that the job has written."""
    decode = msgspec.json.Decoder(Revenue).decode
    return [
        decode(value)
        for polled in read_topic(log, "revenue-per-minute", from_start=True, follow=False)
        for value in polled.batch.values
    ]


def show(console: Console, results: list[Revenue], hours: int) -> None:
    """The last minute's best users, and whether every order was counted once."""
    last = max(result.window_end for result in results)
    best = sorted((r for r in results if r.window_end == last), key=lambda r: r.total, reverse=True)
    console.print(f"Revenue of the last minute, until {time_text(last)} UTC:")
    table = Table()
    table.add_column("user")
    table.add_column("orders", justify="right")
    table.add_column("revenue", justify="right", style="bold")
    for result in best[:8]:
        table.add_row(result.key, f"{result.orders:,}", f"{result.total:,.2f}")
    console.print(table)
    counted = sum(result.orders for result in results)
    valid = sum(order.price > 0 for hour in range(hours) for order in orders_of(hour))
    verdict = "[green]each once[/]" if counted == valid else "[red]they should be equal[/]"
    console.print(f"{len(results):,} results, {sum(result.total for result in results):,.2f} in all")
    console.print(f"{valid:,} valid orders written, {counted:,} counted: {verdict}")


def main() -> None:
    """Run the demo in the current folder."""
    console = Console(highlight=False)
    settings = settings_of({"broker": f"embedded:{STATE / 'log'}", "state": str(STATE), "log_level": "warning"})
    log = EmbeddedConnector(STATE / "log")
    topics = {topic.name: topic for topic in log.topics()}
    if "orders" in topics:
        hour, already = divmod(topics["orders"].records or 0, ORDERS_PER_HOUR)
        console.print(f"[bold]Going on from the last run's checkpoint[/], with hour {hour + 1} of orders.")
    else:
        hour, already = 0, 0
        log.create("orders", PARTITIONS)
        console.print(f"[bold]First run[/]: writing an hour of orders ({ORDERS_PER_HOUR:,}) to the embedded log.")
    write_hour(log, hour, already)
    progress = run_plan(plan_of(job), run_options(settings, job.name, until_end=True), settings, "")
    console.print()
    show(console, results_of(log), hour + 1)
    log.close()
    rate = progress.records_in / progress.elapsed
    console.print(
        f"This run: {progress.records_in:,} orders in {progress.elapsed:.1f} s, [bold]{rate:,.0f} records/s[/] "
        "in one process"
    )
    console.print(f"\nLog, state and checkpoints lie in {STATE}/. What to try next:")
    for command, does in (
        ("make demo", "once more: it goes on from its checkpoint"),
        (".venv/bin/rayflow topics read revenue-per-minute --max 5", "the results as they are in the topic"),
        (".venv/bin/rayflow describe jobs/revenue.py", "what the job consists of"),
        (".venv/bin/rayflow checkpoints revenue list", "its checkpoints"),
        (
            ".venv/bin/rayflow run jobs/revenue.py --broker kafka://localhost:9092 --state kafka-data",
            "the same on your Kafka",
        ),
    ):
        console.print(f"  [cyan]{command}[/]\n      {does}", soft_wrap=True)


if __name__ == "__main__":
    main()
