"""kill -9 at every step of the protocol and at random moments: the output is exact, the state is exact, and no
transaction is left open. `python -m tests.crash --kills 200` does the same for longer."""

from __future__ import annotations

import random
import signal
from pathlib import Path

import pytest

from rayflow.runtimes.hosting.steps import SEGMENT_WRITTEN
from tests.crash.campaign import Campaign
from tests.crash.jobs import JOBS
from tests.crash.steps import half
from tests.kafka.client import Kafka

AT_RANDOM = 3
pytestmark = pytest.mark.timeout(900)  # tens of processes one after the other
JOB_AND_HALF = list(zip(JOBS, (0, 1), strict=True))
"""On each broker every step has its kill; half of them in one job, half in the other. On the other broker the other way
round."""


@pytest.fixture
def seed() -> int:
    chosen = random.randrange(1 << 32)
    print(f"seed {chosen}")
    return chosen


@pytest.mark.slow
@pytest.mark.parametrize(("job", "which"), JOB_AND_HALF)
def test_output_is_exact_under_kill_9_on_the_embedded_log(job: str, which: int, tmp_path: Path, seed: int) -> None:
    campaign = Campaign(job, f"embedded:{tmp_path / 'log'}", tmp_path, seed)
    campaign.kill_at_steps(half(which))
    campaign.kill_at_random(AT_RANDOM)
    campaign.finish()
    assert set(campaign.report.kills) >= set(half(which))


@pytest.mark.slow
@pytest.mark.parametrize(("job", "which"), JOB_AND_HALF)
def test_output_is_exact_under_kill_9_on_kafka(job: str, which: int, tmp_path: Path, seed: int, kafka: Kafka) -> None:
    campaign = Campaign(job, kafka.url, tmp_path, seed)
    campaign.kill_at_steps(half(1 - which))
    campaign.kill_at_random(AT_RANDOM)
    campaign.finish()
    assert set(campaign.report.kills) >= set(half(1 - which))
    assert not any(kafka.open_transactions(topic) for topic in campaign.output_topics)


@pytest.mark.slow
def test_no_transaction_is_open_while_a_killed_job_is_down(tmp_path: Path, seed: int, kafka: Kafka) -> None:
    campaign = Campaign("one-stage", kafka.url, tmp_path, seed)
    campaign.feed(2000)
    victim = campaign.start((SEGMENT_WRITTEN, 3))
    assert victim.wait(timeout=120) == -signal.SIGKILL
    assert not any(kafka.open_transactions(topic) for topic in campaign.output_topics)
    campaign.finish()
