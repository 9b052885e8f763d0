"""`python benchmarks/small_maps.py run JOB ...`: `rayflow`, with LMDB maps that valgrind has address space for."""

from __future__ import annotations

from typing import Any

import lmdb

LARGEST = 1 << 30

open_any = lmdb.open


def open_small(path: str, **options: Any) -> lmdb.Environment:
    """`lmdb.open` with a map of at most LARGEST bytes."""
    return open_any(path, **{**options, "map_size": min(LARGEST, options.get("map_size", LARGEST))})


if __name__ == "__main__":
    lmdb.open = open_small  # type: ignore[assignment]
    from rayflow.cli.root import main

    main()
