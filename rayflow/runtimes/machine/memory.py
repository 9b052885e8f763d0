"""Measures the memory of this process."""

from __future__ import annotations


def private_memory() -> int:
    """Private memory of this process in bytes; 0 if the system does not report it.

    >>> private_memory() >= 0
    True
    """
    try:
        with open("/proc/self/status", encoding="ascii") as status:
            for line in status:
                if line.startswith("RssAnon:"):
                    return int(line.split()[1]) << 10
    except OSError:
        pass
    return 0
