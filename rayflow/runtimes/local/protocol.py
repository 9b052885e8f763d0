"""The messages between a local run and the commands that control it, each behind its length."""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from rayflow.core.errors import RayflowError, VersionMismatch
from rayflow.runtimes.hosting.status import JobStatus

LENGTH = 4
"""Bytes of a message's length, big-endian."""
LARGEST_REQUEST = 512 << 10
LARGEST_ANSWER = 16 << 20
"""Maximum size of an answer in bytes."""
LARGEST_LOG = 3 << 20
"""Maximum number of characters of the log lines in one answer (each takes up to 4 bytes); the newest lines are kept."""


class ControlMessage(msgspec.Struct, frozen=True, tag=True):
    """A request or an answer."""


class GetStatus(ControlMessage, frozen=True):
    """Current status. Answer: StatusAnswer."""


class GetLogs(ControlMessage, frozen=True):
    """Log lines after the first `after`. Answer: LogAnswer."""

    after: int


class WriteSavepoint(ControlMessage, frozen=True):
    """Write a savepoint of the next checkpoint. Answer, once it is written: SavepointAnswer."""

    uri: str


class QueryTable(ControlMessage, frozen=True):
    """Rows of an operator's table; `keys` and the values are encoded. Answer: QueryAnswer."""

    operator: str
    keys: list[bytes]
    table: str | None


class StopRun(ControlMessage, frozen=True):
    """Stop after a final checkpoint. Answer: Taken, or with `wait`, when the run has ended, StatusAnswer.

    With `savepoint`, StatusAnswer means that it is written, Taken that it will be; otherwise the answer is an error.
    """

    drain: bool
    savepoint: str | None
    wait: bool


class EndAtOnce(ControlMessage, frozen=True):
    """Stop without a final checkpoint. Answer, when the run has ended: StatusAnswer."""


class AwaitEnd(ControlMessage, frozen=True):
    """Answer, when the run has ended: StatusAnswer, or the error of a failed run.

    With `seconds`, the answer comes after that time at the latest, with the current status.
    """

    seconds: float | None = None


class StatusAnswer(ControlMessage, frozen=True):
    """The run's status."""

    status: JobStatus


class LogAnswer(ControlMessage, frozen=True):
    """`number`: the number of lines logged so far. `lines`: the last of them."""

    number: int
    lines: list[str]


class SavepointAnswer(ControlMessage, frozen=True):
    """The savepoint's epoch."""

    epoch: int


class QueryAnswer(ControlMessage, frozen=True):
    """The value at each key."""

    values: list[bytes | None]


class Taken(ControlMessage, frozen=True):
    """The run has accepted the request."""


class ErrorAnswer(ControlMessage, frozen=True):
    """An error with its place; the reader raises it."""

    code: str
    what: str
    advice: str
    job: str | None
    operator: str | None = None
    topic: str | None = None
    partition: int | None = None
    offset: int | None = None


Request: TypeAlias = GetStatus | GetLogs | WriteSavepoint | QueryTable | StopRun | EndAtOnce | AwaitEnd
Answer: TypeAlias = StatusAnswer | LogAnswer | SavepointAnswer | QueryAnswer | Taken | ErrorAnswer

_encoder = msgspec.msgpack.Encoder()
_requests: msgspec.msgpack.Decoder[Request] = msgspec.msgpack.Decoder(Request)
_answers: msgspec.msgpack.Decoder[Answer] = msgspec.msgpack.Decoder(Answer)


def pack(message: ControlMessage) -> bytes:
    """A message with its length before it."""
    body = _encoder.encode(message)
    return len(body).to_bytes(LENGTH, "big") + body


def read_request(body: bytes) -> Request:
    """The inverse of `pack`, without the length. Raises VersionMismatch."""
    try:
        return _requests.decode(body)
    except msgspec.MsgspecError as error:
        raise VersionMismatch(f"the run does not understand this request: {error}", advice=_SAME) from None


def read_answer(body: bytes) -> Answer:
    """The inverse of `pack`, without the length. Raises VersionMismatch, and the error in an error answer."""
    try:
        answer = _answers.decode(body)
    except msgspec.MsgspecError as error:
        raise VersionMismatch(f"the run's answer cannot be read: {error}", advice=_SAME) from None
    if isinstance(answer, ErrorAnswer):
        raise error_of(answer)
    return answer


def answer_of(error: RayflowError) -> ErrorAnswer:
    """An error as a message."""
    return ErrorAnswer(
        error.code, error.what, error.advice, error.job, error.operator, error.topic, error.partition, error.offset
    )


def error_of(answer: ErrorAnswer) -> RayflowError:
    """The error in a message, as an object of the class with its code.

    >>> error_of(ErrorAnswer("RF-4004", "no space", "Free some", "words"))
    DiskFull('no space')
    """
    kind = next((kind for kind in _kinds(RayflowError) if kind.code == answer.code), RayflowError)
    return kind(
        answer.what,
        job=answer.job,
        operator=answer.operator,
        topic=answer.topic,
        partition=answer.partition,
        offset=answer.offset,
        advice=answer.advice,
    )


def _kinds(kind: type[RayflowError]) -> list[type[RayflowError]]:
    return [kind, *(each for below in kind.__subclasses__() for each in _kinds(below))]


_SAME = "Use the rayflow version that runs the job"
