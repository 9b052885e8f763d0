"""Runs `conformance`, the models against the real things, in a process of its own.

It takes librdkafka to where version 2.16 corrupts memory now and then: a process that dies of it takes no other test
along, and counts as a failure.
"""

from __future__ import annotations

import os
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from tests.kafka.client import Kafka

ROOT = Path(__file__).parents[2]
FOLDER = Path(__file__).with_name("conformance")
KNOWN = 48
"""Tests of that folder. More may be added; none may go missing."""
LIMIT = 840
"""Seconds. It takes one minute on two free cores."""


def passed(report: Path) -> int:
    """How many tests a JUnit report tells of that have passed."""
    cases = ElementTree.parse(report).getroot().iter("testcase")
    return sum(not {"failure", "error", "skipped"} & {child.tag for child in case} for case in cases)


def run(folder: Path, report: Path, kafka: Kafka | None = None) -> subprocess.CompletedProcess[str]:
    """Run the tests of a folder in a process of its own, on this run's broker."""
    command = [sys.executable, "-m", "pytest", str(folder), "-n", "0"]
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    broker = {} if kafka is None else {"RAYFLOW_TEST_KAFKA": kafka.bootstrap}
    return subprocess.run(
        [*command, "--junit-xml", str(report)],
        cwd=ROOT,
        env={**kept, **broker},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=LIMIT,
    )


@pytest.mark.slow
@pytest.mark.timeout(LIMIT + 60)
def test_the_models_behave_like_the_real_things(kafka: Kafka, tmp_path: Path) -> None:
    done = run(FOLDER, tmp_path / "report.xml", kafka)
    assert done.returncode == 0, f"ended with {done.returncode}:\n{done.stdout}{done.stderr}"
    assert passed(tmp_path / "report.xml") >= KNOWN, done.stdout


def test_a_test_that_is_skipped_has_not_passed_and_a_process_that_dies_does_not_end_with_0(tmp_path: Path) -> None:
    text = "import os, pytest\ndef test_one(): pass\ndef test_two(): pytest.skip('not today')\n"
    (tmp_path / "test_some.py").write_text(text)
    assert run(tmp_path, tmp_path / "report.xml").returncode == 0
    assert passed(tmp_path / "report.xml") == 1
    (tmp_path / "test_some.py").write_text(f"{text}def test_three(): os.kill(os.getpid(), 11)\n")
    assert run(tmp_path, tmp_path / "report.xml").returncode == -11
