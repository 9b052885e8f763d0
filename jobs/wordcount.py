"""Counts words: the smallest job with state.

rayflow run jobs/wordcount.py --until-end
rayflow topics read word-counts
"""

import re

import rayflow as rf

TEXT = """\
The quick brown fox jumps over the lazy dog
The dog sleeps on and the fox runs home
A lazy afternoon: the quick fox sleeps as well"""


class WordCount(rf.Record):
    key: str
    count: int


def words(line: str) -> list[str]:
    return re.findall(r"[a-z]+", line.lower())


job = rf.Job("wordcount")

lines = job.stream("lines", value=str, sample=TEXT.splitlines())

(lines.flat_map(words).key_by(lambda word: word).aggregate(count=rf.count(), into=WordCount).to("word-counts"))
