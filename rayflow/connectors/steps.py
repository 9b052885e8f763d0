"""The names of a publisher's steps: what `Publisher.publish` and `Publisher.flush` yield, for logs and crash tests."""

from __future__ import annotations

BEGUN = "begun"
PRODUCED = "produced"
MARKED = "marked"
POSITIONED = "positioned"
COMMITTING = "committing"
COMMITTED = "committed"
WAITING = "waiting"
"""The system is unavailable or slow."""
FLUSHING = "flushing"

PUBLISH_STEPS = (BEGUN, PRODUCED, MARKED, POSITIONED, COMMITTING, COMMITTED)
"""The steps that each `publish` yields, in this order; a step may be yielded several times."""
FLUSH_STEPS = (FLUSHING, PRODUCED, WAITING)
"""The steps that `flush` may yield."""
