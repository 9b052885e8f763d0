"""An output record that the broker does not take: nothing of its epoch becomes visible, and nothing is lost."""

from __future__ import annotations

from pathlib import Path

import pytest
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ResourceType,
)

import rayflow as rf
import rayflow.connectors.embedded.packing as packing
from rayflow.checkpoint.manifest import newest_manifest
from rayflow.checkpoint.open import open_store
from rayflow.core.errors import RecordTooLarge
from tests.e2e.brokers import Broker
from tests.e2e.running import run

LIMIT = 2_000


def longer(broker: Broker, factor: int) -> rf.Job:
    """Repeats words that end in an exclamation mark."""
    job = rf.Job(broker.name("longer"))
    words = job.stream(broker.name("in"), key=str, value=str)
    words.map(lambda word: word * factor if word.endswith("!") else word).to(broker.name("out"), value=str)
    return job


@pytest.fixture
def limited(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> Broker:
    """A broker whose topic `out` takes records of up to LIMIT bytes, with an epoch of the job in it."""
    broker.create("in")
    if broker.is_kafka:
        broker.kafka.create(broker.name("out"), max_message_bytes=str(LIMIT))
    else:
        monkeypatch.setattr(packing, "RECORD_BYTES", LIMIT)
    return broker


def raise_limit(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the topic take larger records."""
    if broker.is_kafka:
        entry = ConfigEntry("max.message.bytes", "1000000", incremental_operation=AlterConfigOpType.SET)
        resource = ConfigResource(ResourceType.TOPIC, broker.name("out"), incremental_configs=[entry])
        broker.kafka.admin.incremental_alter_configs([resource])[resource].result(30)
    else:
        monkeypatch.setattr(packing, "RECORD_BYTES", 1_000_000)


@pytest.fixture
def stuck(limited: Broker, state: Path) -> Broker:
    """A job that has published an epoch, and whose next epoch holds a record that is too large."""
    limited.append("in", [("a", "one")])
    run(longer(limited, 3_000), limited, state)
    limited.append("in", [("a", "two"), ("a", "three!"), ("a", "four")])
    for _ in range(2):
        with pytest.raises(RecordTooLarge) as caught:
            run(longer(limited, 3_000), limited, state)
        assert (caught.value.code, caught.value.topic) == ("RF-2005", limited.name("out"))
        assert "three" not in str(caught.value)
        assert limited.texts("out") == ["one"]
    return limited


def test_a_record_that_is_too_large_is_published_once_the_topic_takes_it(
    stuck: Broker, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    raise_limit(stuck, monkeypatch)
    run(longer(stuck, 3_000), stuck, state)
    assert stuck.texts("out") == ["one", "two", "three!" * 3_000, "four"]


def test_a_corrected_job_goes_on_from_the_checkpoint_before_the_record(stuck: Broker, state: Path) -> None:
    newest = newest_manifest(open_store(f"file:{state / 'jobs' / stuck.name('longer') / 'checkpoints'}"))
    assert newest is not None
    run(longer(stuck, 2), stuck, state, from_checkpoint=newest.epoch - 1)
    stuck.append("in", [("a", "five")])
    run(longer(stuck, 2), stuck, state)
    assert stuck.texts("out") == ["one", "two", "three!three!", "four", "five"]
