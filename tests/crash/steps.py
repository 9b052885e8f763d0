"""The steps that the jobs of a campaign take, and which of them to kill at."""

from __future__ import annotations

from random import Random

from rayflow.connectors.steps import PUBLISH_STEPS, WAITING
from rayflow.engine.actions import AppendOutput, StartCalls
from rayflow.engine.orders import (
    ClaimAttempt,
    FinishAttempt,
    LookAtMarkers,
    OpenPublishers,
    ReadManifest,
    RecordPublished,
    RepublishOutput,
    SetMarkers,
    StartTasks,
)
from rayflow.runtimes.hosting.steps import FLUSHES, STEPS, after, before, mark, publish, republish

IN_OUTAGES = frozenset(kind(WAITING) for kind in (publish, republish, mark))
"""Steps that come only while a broker is slow, or away."""
AT_LEAST_ONCE = frozenset([before(AppendOutput), after(AppendOutput), *FLUSHES])
"""Steps of jobs that publish at once."""
WITH_CALLS = frozenset([before(StartCalls), after(StartCalls)])
"""Steps of jobs whose operators call out of the engine."""
AT_FIRST = (
    *(before(LookAtMarkers), after(LookAtMarkers)),
    *(before(SetMarkers), after(SetMarkers), *map(mark, PUBLISH_STEPS)),
)
"""Steps that come only before a job has committed its first markers, in their order."""
IN_RECOVERY = frozenset([before(RepublishOutput), after(RepublishOutput), *map(republish, PUBLISH_STEPS)])
"""Steps that come only after a crash between the manifest and the end of publishing."""
ONCE = frozenset(
    name(order)
    for order in (ClaimAttempt, ReadManifest, OpenPublishers, StartTasks, RecordPublished, FinishAttempt)
    for name in (before, after)
).union(AT_FIRST, IN_RECOVERY)
"""Steps that come once in a run."""
TAKEN = STEPS - IN_OUTAGES - AT_LEAST_ONCE - WITH_CALLS
"""What an exactly-once job without calls takes on a broker that is there."""


def half(which: int) -> list[str]:
    """Every second step of TAKEN, from the first (0) or the second one (1) on; both halves have steps of every kind."""
    return sorted(TAKEN)[which::2]


def in_turn(kills: int, random: Random) -> list[str]:
    """So many steps, each of TAKEN as often as the others, give or take one."""
    rounds, rest = divmod(kills, len(TAKEN))
    return [*(sorted(TAKEN) * rounds), *random.sample(sorted(TAKEN), rest)]
