"""The event time that a task has sent to its exchanges: the watermark of each, and whether it is idle."""

from __future__ import annotations

from collections.abc import Iterable

from rayflow.core.ids import WATERMARK_MIN
from rayflow.engine.actions import SendIdle, SendWatermark, TaskAction


class SentTime:
    """Sends changes of event time. A watermark makes the channels of its exchange active again.

    Attributes:
        idle: whether the channels are idle now.
    """

    def __init__(self, exchanges: Iterable[str]) -> None:
        self.idle = False
        self._watermarks = dict.fromkeys(exchanges, WATERMARK_MIN)

    def send_watermarks(self, reached: Iterable[tuple[str, int]]) -> list[TaskAction]:
        """For each exchange, send the watermark that has reached it, if it has advanced, or to all if they were
        idle."""
        actions: list[TaskAction] = []
        for exchange, watermark in reached:
            if watermark > self._watermarks[exchange] or self.idle:
                self._watermarks[exchange] = watermark
                actions.append(SendWatermark(exchange, watermark))
        self.idle = False
        return actions

    def send_idle(self) -> list[TaskAction]:
        """Send that the task is idle, if it was not idle before."""
        if self.idle:
            return []
        self.idle = True
        return [SendIdle(exchange) for exchange in self._watermarks]
