"""Jobs for the tests of the Ray runtime, as a job file: FILE:VARIABLE names one. `tag` ends the names."""

from __future__ import annotations

import rayflow as rf
from tests.crash import jobs

TAG = rf.setting("tag", "")

one_stage = jobs.one_stage(TAG)
two_stages = jobs.two_stages(TAG)


def upper(word: str) -> str:
    """The job fails at one word."""
    if word == "poison":
        raise ValueError("this word is no word")
    return word.upper()


counts = rf.Job(f"counts{TAG}")
(
    counts.stream(f"in{TAG}", key=str, value=str)
    .map(upper, name="upper")
    .key_by(lambda word: word)
    .count(emit="record", name="counts")
    .to(f"out{TAG}")
)

more = rf.Job(f"counts{TAG}")
"""`counts` with one operator added, which has state of its own."""
words = more.stream(f"in{TAG}", key=str, value=str).map(upper, name="upper").key_by(lambda word: word)
words.count(emit="record", name="counts").to(f"out{TAG}")
words.reduce(lambda a, b: a if len(a) > len(b) else b, emit="record", name="longest").to(f"longest{TAG}")
