"""The broker of a benchmark: one that runs already, or one that is started and ended."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def broker_at(given: str | None, folder: Path) -> Iterator[str]:
    """The bootstrap address of the given broker, or of one that is started, with its data under `folder`."""
    if given is not None:
        yield given
        return
    from tests.kafka.broker import Broker

    broker = Broker(folder / "kafka")
    try:
        yield broker.start().bootstrap
    finally:
        broker.close()
