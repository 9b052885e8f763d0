"""A task's state: its tables, the open epoch's overlay, the sealed epoch, and the store beneath."""

from __future__ import annotations


class TaskState:
    """Placeholder of the contract until the tables are there."""
