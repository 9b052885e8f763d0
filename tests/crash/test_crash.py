"""kill -9 at every step of the protocol and at random moments: the output is exact, the state is exact, and no
transaction is left open. `python -m tests.crash --kills 200` does the same for longer."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.crash.campaign import Campaign
from tests.crash.jobs import JOBS
from tests.kafka.client import Kafka

AT_STEPS, AT_RANDOM = 20, 3


@pytest.fixture
def seed() -> int:
    chosen = random.randrange(1 << 32)
    print(f"seed {chosen}")
    return chosen


@pytest.mark.slow
@pytest.mark.parametrize("job", JOBS)
def test_output_is_exact_under_kill_9_on_the_embedded_log(job: str, tmp_path: Path, seed: int) -> None:
    campaign = Campaign(job, f"embedded:{tmp_path / 'log'}", tmp_path, seed)
    campaign.kill_at_steps(AT_STEPS)
    campaign.kill_at_random(AT_RANDOM)
    campaign.finish()


@pytest.mark.slow
@pytest.mark.parametrize("job", JOBS)
def test_output_is_exact_under_kill_9_on_kafka(job: str, tmp_path: Path, seed: int, kafka: Kafka) -> None:
    campaign = Campaign(job, kafka.url, tmp_path, seed)
    campaign.kill_at_steps(AT_STEPS)
    campaign.kill_at_random(AT_RANDOM)
    campaign.finish()
    assert not any(kafka.open_transactions(topic) for topic in campaign.output_topics)


@pytest.mark.slow
def test_no_transaction_is_open_while_a_killed_job_is_down(tmp_path: Path, seed: int, kafka: Kafka) -> None:
    campaign = Campaign("one-stage", kafka.url, tmp_path, seed)
    campaign.feed(2000)
    victim = campaign.start(("segment written", 3))
    victim.wait(timeout=120)
    assert not any(kafka.open_transactions(topic) for topic in campaign.output_topics)
    campaign.finish()
