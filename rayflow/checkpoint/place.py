"""Compares the places of checkpoint stores."""

from __future__ import annotations

import os
from pathlib import PurePath


def place_of(uri: str) -> tuple[str, ...]:
    """The parts of the place that `uri` names, from the outermost, with links and relative paths resolved.

    Empty for `memory:`, which is another place each time.

    >>> place_of("file:///tmp/../tmp/a/") == place_of("file:/tmp/a"), place_of("s3://bucket/a//b/")
    (True, ('s3', 'bucket', 'a', 'b'))
    """
    scheme, _, rest = uri.partition(":")
    rest = rest.removeprefix("//")
    if scheme == "file":
        return scheme, *PurePath(os.path.realpath(rest)).parts
    parts = [part for part in rest.split("/") if part]
    return (scheme, *parts) if parts else ()


def overlap(uri: str, other: str) -> bool:
    """Whether two URIs name the same place, or one of them a place inside the other.

    >>> overlap("s3:bucket/a", "s3://bucket/a/b"), overlap("s3:bucket/a", "s3:bucket/ab")
    (True, False)
    """
    places = place_of(uri), place_of(other)
    shared = min(map(len, places))
    return shared > 0 and places[0][:shared] == places[1][:shared]
