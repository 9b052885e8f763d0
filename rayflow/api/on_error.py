"""`on_error=`: what to do with a record that fails."""

from __future__ import annotations

from typing import Any

from rayflow.api.functions import check_function
from rayflow.api.location import invalid
from rayflow.api.topics import topic_ref
from rayflow.core.failures import DeadLetter, OnError, Skip, Stop
from rayflow.core.topics import TopicRef

stop = Stop()
"""Stop the job with an error that names operator, topic, partition, offset and the user's own line (the default)."""

skip = Skip()
"""Leave the record out and count it."""


def dead_letter(topic: str | TopicRef) -> DeadLetter:
    """Send failed records to `topic`, with the reason and the origin in headers, and continue.

    >>> import rayflow as rf
    >>> job = rf.Job("parse")
    >>> job.stream("raw", on_error=rf.dead_letter("unreadable")).map(len, on_error=rf.dead_letter("failed"))
    <Stream raw | map>
    """
    return DeadLetter(topic_ref(topic))


def check_on_error(given: Any) -> OnError:
    """`given`, if it is a valid on_error=. Raises InvalidJob."""
    if isinstance(given, Stop | Skip | DeadLetter):
        return given
    if given is dead_letter:
        raise invalid("on_error=rf.dead_letter names no topic", 'Write rf.dead_letter("topic")')
    if isinstance(given, type) or not callable(given):
        raise invalid(
            "on_error= is given something else than a decision",
            'Use rf.stop, rf.skip, rf.dead_letter("topic") or a function: FailedRecord -> rf.skip or rf.stop',
        )
    check_function(given, "on_error=", "failed_record", gives="rf.skip or rf.stop")
    return given  # type: ignore[no-any-return]
