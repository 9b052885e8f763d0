"""Jobs for the tests of the Ray runtime, as a job file: FILE:VARIABLE names one. `tag` ends the names."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import rayflow as rf
from tests.crash import jobs

TAG = rf.setting("tag", "")
HANGS = rf.setting("hangs", "")

one_stage = jobs.one_stage(TAG)
two_stages = jobs.two_stages(TAG)


def upper(word: str) -> str:
    """The job fails at one word, and hangs for ever, when it is told a file that exists, and says there where."""
    if word == "poison":
        raise ValueError("this word is no word")
    if HANGS and Path(HANGS).exists():
        Path(HANGS).write_text(str(os.getpid()))
        threading.Event().wait()
    return word.upper()


counts = rf.Job(f"counts{TAG}")
(
    counts.stream(f"in{TAG}", key=str, value=str)
    .map(upper, name="upper")
    .key_by(lambda word: word)
    .count(emit="record", name="counts")
    .to(f"out{TAG}")
)

own_counts = rf.Job(f"own-counts{TAG}")
"""One stage, keyed by the topic's own keys."""
own_counts.stream(f"in{TAG}", key=str, value=str).group_by_key().count(emit="record", name="counts").to(f"out{TAG}")


def slowly(word: str) -> str:
    """Ten milliseconds of work."""
    until = time.perf_counter() + 0.01
    while time.perf_counter() < until:
        pass
    return word


slow = rf.Job(f"slow{TAG}")
slow.stream(f"in{TAG}", value=str).map(slowly).to(f"out{TAG}")

more = rf.Job(f"counts{TAG}")
"""`counts` with one operator added, which has state of its own."""
words = more.stream(f"in{TAG}", key=str, value=str).map(upper, name="upper").key_by(lambda word: word)
words.count(emit="record", name="counts").to(f"out{TAG}")
words.reduce(lambda a, b: a if len(a) > len(b) else b, emit="record", name="longest").to(f"longest{TAG}")

windows = rf.Job(f"windows{TAG}")
"""Counts words by the minute; no watermark closes the only window."""
timed = windows.stream(f"in{TAG}", value=str, timestamp=lambda word: 1_000, watermark=rf.bounded(seconds=5))
timed.key_by(lambda word: word).window(rf.tumbling(minutes=1)).count().to(f"out{TAG}")
