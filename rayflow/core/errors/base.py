"""The base class of all errors: a stable code, a place and advice."""

from __future__ import annotations

from typing import ClassVar


class RayflowError(Exception):
    """Base class of all errors. `str(error)` is `[code] what (where). what to do`.

    Args:
        what: one sentence that says what went wrong.
        job, operator, topic, partition, offset: where it happened, as far as it is known.
        advice: what to do; each class has a default.
    """

    code: ClassVar[str] = "RF-0000"
    exit_code: ClassVar[int] = 1
    default_advice: ClassVar[str] = ""

    def __init__(
        self,
        what: str,
        *,
        job: str | None = None,
        operator: str | None = None,
        topic: str | None = None,
        partition: int | None = None,
        offset: int | None = None,
        advice: str | None = None,
    ) -> None:
        super().__init__(what)
        self.what = what
        self.job = job
        self.operator = operator
        self.topic = topic
        self.partition = partition
        self.offset = offset
        self.advice = self.default_advice if advice is None else advice

    @property
    def where(self) -> dict[str, str | int]:
        """The known parts of the place where it happened, by name."""
        places = ("job", "operator", "topic", "partition", "offset")
        return {name: getattr(self, name) for name in places if getattr(self, name) is not None}

    def __str__(self) -> str:
        where = " ".join(f"{name}={value}" for name, value in self.where.items())
        text = f"[{self.code}] {self.what}"
        if where:
            text += f" ({where})"
        return f"{text}. {self.advice}" if self.advice else text
