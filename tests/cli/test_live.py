"""What a run shows of itself."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from rich.console import Console

from rayflow.cli.figures import size_text, time_text
from rayflow.cli.live import LiveLine, ProgressLog, line
from rayflow.core.logging import configure_logging
from rayflow.runtimes.hosting.status import JobStatus
from tests.cli.conftest import log_lines

RUNNING = JobStatus(
    "revenue",
    state="running",
    records_in=1_200_000,
    records_out=3_600,
    lag=12_000,
    epoch=14,
    epoch_ms=38.2,
    checkpoint_bytes=1_258_291,
    watermark=1_767_225_600_000,
    elapsed=4.0,
    rates=(312_400.0, 900.0),
)


def test_the_line_says_how_the_run_goes() -> None:
    assert line(RUNNING).plain == (
        "revenue running  312,400 records/s  in 1,200,000  out 3,600  lag 12,000  epoch 14 (38 ms, 1.2 MiB)"
        "  time 2026-01-01 00:00:00"
    )


def test_what_is_not_known_is_left_out_and_what_is_wrong_is_added() -> None:
    waiting = JobStatus("revenue", state="waiting", cause="1 of 1 brokers down", errors=2, late=3, dead_letters=1)
    assert (
        line(waiting).plain
        == "revenue waiting (1 of 1 brokers down)  0 records/s  in 0  out 0  late 3  dead letters 1  errors 2"
    )


def test_after_ctrl_c_the_line_says_that_the_job_stops_and_what_a_second_one_does() -> None:
    assert line(JobStatus("revenue", state="waiting", cause="no answer"), asked=True).plain.startswith(
        "revenue waiting (no answer)  stopping after a final checkpoint; press Ctrl-C again to exit now  0 records/s"
    )
    assert "Ctrl-C" not in line(JobStatus("revenue", state="done"), asked=True).plain


def test_an_epoch_of_an_earlier_run_is_shown_without_figures() -> None:
    restored = JobStatus("revenue", state="running", epoch=14)
    assert line(restored).plain == "revenue running  0 records/s  in 0  out 0  epoch 14"


def test_the_live_line_gives_way_to_a_summary() -> None:
    file = io.StringIO()
    view = LiveLine(Console(file=file, force_terminal=True, width=160))
    view.start()
    view.show(RUNNING)
    view.stop()
    view.finish(replace(RUNNING, state="done"))
    text = file.getvalue()
    assert "records/s" in text
    assert "\x1b[?25h" in text, "the cursor is shown again"
    assert "in 4.0 s: 1,200,000 records in, 3,600 out, 300,000 records/s, epoch 14" in Console().render_str(
        text.splitlines()[-1], markup=False
    ).plain.replace("\x1b[32m", "").replace("\x1b[0m", "")


def test_the_log_has_a_line_every_ten_seconds_and_at_each_change(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("revenue", json=True)
    log = ProgressLog()
    log.start()
    for tenth in range(251):
        log.show(replace(RUNNING, elapsed=tenth / 10, state="starting" if tenth < 10 else "running"))
    log.show(replace(RUNNING, state="done", elapsed=25.0))
    log.stop()
    lines = log_lines(capsys.readouterr().err)
    assert [(shown["message"], shown["state"], shown["elapsed"]) for shown in lines] == [
        ("progress", "starting", 0.0),
        ("progress", "running", 1.0),
        ("progress", "running", 11.0),
        ("progress", "running", 21.0),
        ("job done", "done", 25.0),
    ]
    assert lines[-1]["records_per_second"] == 48_000
    assert lines[-1]["job"] == "revenue"


def test_figures_are_short() -> None:
    assert [size_text(size) for size in (0, 1_023, 5 << 20, 3 << 40)] == ["0 B", "1,023 B", "5.0 MiB", "3.0 TiB"]
    assert time_text(1 << 62) == str(1 << 62)
