"""What is no line of a file is found before the checkpoint, where `on_error=` can deal with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import rayflow as rf
from rayflow.connectors.embedded.connector import EmbeddedConnector
from rayflow.core.batch import EncodedBatch
from rayflow.core.errors import EncodeFailed
from rayflow.plan.compile import plan_of
from rayflow.runtimes.hosting.options import RunOptions
from rayflow.runtimes.local.runtime import LocalRuntime

GIVEN = ["good", "two\nlines", "", "good too", "ends\r"]


def run(tmp_path: Path, serde: Any = str, on_error: Any = rf.stop) -> list[str]:
    """Run the job up to the end; the lines that it has written."""
    job = rf.Job("lines")
    job.stream("in", value=str).to(rf.jsonl(tmp_path / "out"), value=serde, name="o", on_error=on_error)
    log = EmbeddedConnector(tmp_path / "state" / "log")
    if not log.topics():
        log.create("in", 1)
        appender = log.appender()
        values: list[bytes | None] = [value.encode() for value in GIVEN]
        appender.append(EncodedBatch("in", [None] * len(values), values, [1] * len(values)))
        appender.close()
    log.close()
    LocalRuntime(plan_of(job), RunOptions(state=tmp_path / "state", until_end=True)).run()
    return [line for file in sorted((tmp_path / "out").glob("*.jsonl")) for line in file.read_text().splitlines()]


def test_a_value_that_is_no_line_stops_the_job_at_its_record_and_the_corrected_job_goes_on(tmp_path: Path) -> None:
    for _ in range(2):
        with pytest.raises(EncodeFailed, match="no line") as failed:
            run(tmp_path)
        assert failed.value.where == {"job": "lines", "operator": "o", "topic": "in", "partition": 0, "offset": 1}
    assert run(tmp_path, rf.json) == ['"good"', '"two\\nlines"', '""', '"good too"', '"ends\\r"']


def test_values_that_are_no_lines_can_be_skipped(tmp_path: Path) -> None:
    assert run(tmp_path, on_error=rf.skip) == ["good", "good too"]


def test_values_that_are_no_lines_can_be_dead_letters(tmp_path: Path) -> None:
    assert run(tmp_path, on_error=rf.dead_letter("refused")) == ["good", "good too"]
    log = EmbeddedConnector(tmp_path / "state" / "log")
    assert [(info.name, info.records) for info in log.topics()] == [("in", 5), ("refused", 3)]
    log.close()


def test_a_value_that_is_no_line_is_found_on_the_broker_of_the_run_too(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text('"good"\n"two\\nlines"\n')
    job = rf.Job("lines")
    job.stream("in.jsonl").to("out", value=str, name="o")
    options = RunOptions(broker=f"jsonl:{tmp_path}", state=tmp_path / "state", until_end=True)
    with pytest.raises(EncodeFailed, match="no line") as failed:
        LocalRuntime(plan_of(job), options).run()
    assert failed.value.where == {"job": "lines", "operator": "o", "topic": "in.jsonl", "partition": 0, "offset": 7}
