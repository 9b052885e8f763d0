"""What the soak finds."""

from __future__ import annotations


class Wrong(AssertionError):
    """The job has done what it must not do, or not done what it must."""
