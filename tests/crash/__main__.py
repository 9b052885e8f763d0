"""Kill a job many times and see that it stays exact: `python -m tests.crash --kills 200 --broker kafka`."""

from __future__ import annotations

import random
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import click
from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from tests.crash.campaign import Campaign, Report
from tests.crash.jobs import JOBS
from tests.crash.steps import in_turn
from tests.kafka.broker import Broker


@click.command()
@click.option("--kills", default=100, show_default=True, help="Kills per job and broker, nine tenths at steps.")
@click.option("--broker", type=click.Choice(["embedded", "kafka", "both"]), default="both", show_default=True)
@click.option("--job", type=click.Choice([*JOBS, "all"]), default="all", show_default=True)
@click.option("--seed", type=int, default=None, help="Replays a campaign's choices. Default: a new one, printed.")
def main(kills: int, broker: str, job: str, seed: int | None) -> None:
    """SIGKILL a job at every step of the commit protocol and at random moments; compare output and state exactly."""
    seed = random.randrange(1 << 32) if seed is None else seed
    console = Console()
    console.print(f"seed {seed}")
    table = Table("job", "broker", "kills", "places", "records in", "records out", "seconds", "result")
    failed = False
    columns = (TextColumn("{task.description}"), MofNCompleteColumn(), TimeElapsedColumn())
    with ExitStack() as stack, Progress(*columns, console=console) as progress:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        urls = {"embedded": f"embedded:{folder / 'log'}"} if broker != "kafka" else {}
        if broker != "embedded":
            kafka = Broker(folder / "kafka").start()
            stack.callback(kafka.close)
            urls["kafka"] = kafka.url
        for name in JOBS if job == "all" else [job]:
            for kind, url in urls.items():
                begun = time.monotonic()
                place = folder / f"{name}-{kind}"
                place.mkdir()
                campaign = Campaign(name, url, place, seed)
                bar = progress.add_task(f"{name} on {kind}", total=kills)

                def on_kill(report: Report, bar: object = bar) -> None:
                    progress.update(bar, completed=sum(report.kills.values()))  # type: ignore[arg-type]

                try:
                    campaign.kill_at_steps(in_turn(kills - kills // 10, campaign.random), on_kill)
                    campaign.kill_at_random(kills // 10, on_kill)
                    campaign.finish()
                    result = "exact"
                except AssertionError as error:
                    failed, result = True, f"WRONG: {str(error)[:300]}"
                report = campaign.report
                table.add_row(
                    name,
                    kind,
                    str(sum(report.kills.values())),
                    str(len(report.kills)),
                    f"{report.records:,}",
                    f"{report.outputs:,}",
                    f"{time.monotonic() - begun:.0f}",
                    result,
                )
    console.print(table)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
