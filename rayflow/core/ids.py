"""The identities that every layer shares (the words are those of the design page)."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

Epoch: TypeAlias = int
"""Number of an epoch, from 1. Epoch 0 stands for "before the first barrier"."""

Attempt: TypeAlias = int
"""Number of one incarnation of a job's tasks, from 1."""

WorkerId: TypeAlias = int
"""A worker's slot: 0 .. workers - 1. It names the worker's transactional id, so it outlives a process."""

WATERMARK_MIN = -(1 << 62)
"""No event time is known yet."""
WATERMARK_MAX = 1 << 62
"""No more records will come."""


class TaskId(NamedTuple):
    """One stage at one partition."""

    stage: str
    partition: int

    def __str__(self) -> str:
        return f"{self.stage}/{self.partition}"

    @classmethod
    def parse(cls, text: str) -> TaskId:
        """The inverse of ``str()``."""
        stage, _, partition = text.rpartition("/")
        return cls(stage, int(partition))


class ChannelId(NamedTuple):
    """One ordered edge between two tasks: an exchange, from one partition to another."""

    exchange: str
    source: int
    target: int


class SinkTask(NamedTuple):
    """One sink operator in one task: the owner of a marker."""

    operator: str
    partition: int

    def __str__(self) -> str:
        return f"{self.operator}/{self.partition}"


class TopicPartition(NamedTuple):
    """A partition of a topic within one connector."""

    topic: str
    partition: int


class Marker(NamedTuple):
    """The last epoch that a sink task has published, with the lineage of its checkpoints."""

    lineage: str
    epoch: Epoch
