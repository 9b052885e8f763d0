"""The names of a publisher's steps: what `Publisher.publish` and `Publisher.flush` yield, for logs and crash tests."""

from __future__ import annotations

BEGUN = "begun"
PRODUCED = "produced"
MARKED = "marked"
POSITIONED = "positioned"
COMMITTING = "committing"
COMMITTED = "committed"
WAITING = "waiting"
"""The system is out of reach, or slow."""
FLUSHING = "flushing"

PUBLISH_STEPS = (BEGUN, PRODUCED, MARKED, POSITIONED, COMMITTING, COMMITTED)
"""What each `publish` yields, in this order; a step may come several times."""
FLUSH_STEPS = (FLUSHING, PRODUCED, WAITING)
"""What `flush` may yield."""
