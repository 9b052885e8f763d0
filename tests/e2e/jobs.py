"""Jobs that several tests run. Their names and topics end in the tag of the test's broker."""

from __future__ import annotations

import rayflow as rf
from tests.e2e.brokers import Broker


def upper(broker: Broker, **options: object) -> rf.Job:
    """Without state, one stage: `in` to `out`."""
    job = rf.Job(broker.name("upper"), **options)  # type: ignore[arg-type]
    job.stream(broker.name("in"), key=str, value=str).map(str.upper).to(broker.name("out"))
    return job


def counts(broker: Broker, **options: object) -> rf.Job:
    """Two stages: how often each word of `in` came, each time, to `out`."""
    job = rf.Job(broker.name("counts"), **options)  # type: ignore[arg-type]
    words = job.stream(broker.name("in"), key=str, value=str)
    words.key_by(lambda word: word).count(emit="record", name="counts").to(broker.name("out"))
    return job


def own_counts(broker: Broker) -> rf.Job:
    """One stage, keyed by the topic's own keys: how many records each key of `in` has had, each time, to `out`."""
    job = rf.Job(broker.name("own-counts"))
    records = job.stream(broker.name("in"), key=str, value=str)
    records.group_by_key().count(emit="record", name="counts").to(broker.name("out"))
    return job


COUNTS_FILE = """\
import rayflow as rf

TAG = rf.setting("tag", "")
job = rf.Job("counts" + TAG)
words = job.stream("in" + TAG, key=str, value=str)
words.key_by(lambda word: word).count(emit="record", name="counts").to("out" + TAG)
"""
"""`counts` as a job file."""
