"""The command line on a real Kafka: the same job file, topics and exit codes as on the embedded log."""

from __future__ import annotations

import json
import subprocess
import uuid
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from tests.kafka.client import Kafka

Run = Callable[..., Result]

JOB = """
import rayflow as rf

job = rf.Job("{run}")
job.stream("in-{run}", value=int).map(lambda number: number * 10).to("out-{run}")
"""


def test_a_job_runs_and_goes_on_and_its_topics_are_written_and_read(
    kafka: Kafka,
    rayflow: Run,
    started: Callable[..., subprocess.Popen[str]],
    own_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = f"cli-{uuid.uuid4().hex[:8]}"
    monkeypatch.setenv("RAYFLOW_BROKER", kafka.url)
    (own_folder / "job.py").write_text(JOB.format(run=run))
    created = rayflow("topics", "create", f"in-{run}", "--partitions", "2")
    assert created.exit_code == 0, created.stderr
    numbers: list[int] = []
    for first in (0, 100):
        numbers += range(first, first + 100)
        lines = "".join(f'{{"key": "{n}", "value": {n}}}\n' for n in range(first, first + 100))
        assert rayflow("topics", "write", f"in-{run}", "--envelope", stdin=lines).exit_code == 0
        process = started("run", "job.py", "--until-end")
        _, err = process.communicate(timeout=90)
        assert process.returncode == 0, err
        read = rayflow("topics", "read", f"out-{run}")
        assert read.exit_code == 0, read.stderr
        values = Counter(json.loads(line)["value"] for line in read.stdout.splitlines())
        assert values == Counter(number * 10 for number in numbers)
    assert f"out-{run}\t" in rayflow("topics", "list").stdout
    assert "ok      broker" in rayflow("doctor").stdout
    assert rayflow("topics", "delete", f"out-{run}", "--yes").exit_code == 0
