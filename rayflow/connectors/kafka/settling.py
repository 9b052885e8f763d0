"""Waiting until readers see what was committed: a broker answers a commit some ms before they do."""

from __future__ import annotations

import logging
import time
from collections.abc import Collection

from rayflow.connectors.kafka.admin import KafkaAdmin
from rayflow.core.errors import RayflowError

SETTLE = 10.0
"""Seconds that the end of a run waits at most until readers see all of its output."""

_ANSWER = 3.0
"""Seconds after which a broker that does not answer is not waited for."""
_PAUSE = 0.001

_logger = logging.getLogger(__name__)


def await_readers(admin: KafkaAdmin, topics: Collection[str], seconds: float) -> None:
    """Wait until readers of committed records get to where `topics` end now.

    Gives up after `seconds` (another writer's transaction may be open), and when the broker does not answer.
    """
    end = time.monotonic() + seconds
    try:
        written = admin.ends(topics, _ANSWER, committed=False)
        while time.monotonic() < end:
            shown = admin.ends(topics, _ANSWER, committed=True)
            if all(shown[place] >= position for place, position in written.items()):
                return
            time.sleep(_PAUSE)
    except RayflowError as error:
        _logger.debug("whether readers see the last epoch already is not known: %s", error.what)
    else:
        _logger.warning("readers do not get past the last epoch yet: another writer's transaction is open")
