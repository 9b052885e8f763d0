"""Runs the user's functions over columns, and handles the records on which they fail (`on_error=`).

A function is called once per record, whatever happens: the columns are read through list iterators, so that after an
exception the iterator itself shows which record was the last, and the loop continues after it. Records that do not fail
pay nothing for it.
"""

from __future__ import annotations

import sysconfig
from collections.abc import Callable, Iterator
from operator import length_hint
from pathlib import Path
from types import TracebackType
from typing import Any

from rayflow.core.batch import Batch, Headers
from rayflow.core.errors import DecodeFailed, EncodeFailed, KeyNotUsable, RayflowError, UserFunctionFailed
from rayflow.core.failures import DeadLetter, FailedRecord, OnError, Skip, Stop
from rayflow.core.outputs import DEAD_LETTER, Output
from rayflow.operators.base import OperatorContext

DeadLetters = tuple[tuple[Output, Batch], ...]
"""Empty, or one batch for the DEAD_LETTER output."""

_OURS = str(Path(__file__).resolve().parents[1])
_OF_ONE_RECORD = (KeyNotUsable, UserFunctionFailed, DecodeFailed, EncodeFailed)
_LIBRARIES = tuple({sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")})


def users_line(traceback: TracebackType | None) -> str | None:
    """The innermost line of the user's own code in a traceback, as "file.py:12 in fn"; None if there is none.

    Lines of rayflow, of generated code and (unless there are no others) of libraries do not count.
    """
    own = library = None
    while traceback is not None:
        code = traceback.tb_frame.f_code
        if not code.co_filename.startswith((_OURS, "<rayflow")):
            line = f"{Path(code.co_filename).name}:{traceback.tb_lineno} in {code.co_name}"
            if code.co_filename.startswith((*_LIBRARIES, "<frozen", "<string>")):
                library = library or line
            else:
                own = line
        traceback = traceback.tb_next
    return own or library


def without(batch: Batch, rejected: list[int]) -> Batch:
    """The records of `batch`, except those at the indexes `rejected`."""
    if not rejected:
        return batch
    mask = [True] * len(batch)
    for index in rejected:
        mask[index] = False
    return batch.select(mask)


class Failures:
    """One operator's handling of records that fail: stop, skip, dead letter, or a function's decision.

    Args:
        error: the class of the error that names the record's place.
        doing: for errors outside of the user's code, what failed: "decode a value as json".
        during: what ran the user's code, if it was not a record: "a timer".
    """

    def __init__(
        self,
        context: OperatorContext,
        on_error: OnError,
        error: type[RayflowError] = UserFunctionFailed,
        doing: str | None = None,
        during: str | None = None,
    ) -> None:
        self.context = context
        self.on_error = on_error
        self.error = error
        self.doing = doing
        self.during = during

    def apply(self, fn: Callable[[Any], Any], column: list[Any], batch: Batch) -> tuple[list[Any], Batch, DeadLetters]:
        """Apply `fn` to each element of `column`, which is parallel to `batch`.

        Returns the results, the records to which they belong, and the batches for the dead letter output. Raises
        UserFunctionFailed (or the error class of this object) if the job is to stop.
        """
        results, rejected, dead = self.attempt(fn, column, batch)
        return results, without(batch, rejected), dead

    def attempt(
        self, fn: Callable[[Any], Any], column: list[Any], batch: Batch
    ) -> tuple[list[Any], list[int], DeadLetters]:
        """Like `apply`, but returns the indexes of the failed records instead of the other records."""
        remaining = iter(column)
        results: list[Any] = []

        def step() -> None:
            for value in remaining:
                results.append(fn(value))

        return (results, *self.each(batch, remaining, step))

    def each(self, batch: Batch, remaining: Iterator[Any], step: Callable[[], None]) -> tuple[list[int], DeadLetters]:
        """Call `step` until it has used up `remaining`, a list iterator over the records of `batch`.

        After an exception, `step` is called again for the records after the failed one. Returns the indexes of the
        failed records, in order, and the batches for the dead letter output.
        """
        rejected: list[int] = []
        headers: dict[int, Headers] = {}
        while True:
            try:
                step()
            except Exception as error:
                index = len(batch) - length_hint(remaining) - 1
                if index <= (rejected[-1] if rejected else -1):
                    raise
                rejected.append(index)
                self._decide(batch, index, error, headers)
            else:
                return rejected, self._dead_letters(batch, headers)

    def one(self, batch: Batch, index: int, error: Exception) -> DeadLetters:
        """Handle one failed record, for callers that iterate over records themselves."""
        headers: dict[int, Headers] = {}
        self._decide(batch, index, error, headers)
        return self._dead_letters(batch, headers)

    def _decide(self, batch: Batch, index: int, error: Exception, headers: dict[int, Headers]) -> None:
        failure = self._describe(batch, index, error)
        decision = self.on_error
        if not isinstance(decision, Stop | Skip | DeadLetter):
            decision = self._ask(decision, batch, index, error)
        if isinstance(decision, Stop):
            raise failure from error
        counters = self.context.counters
        counters.errors += 1
        if isinstance(decision, DeadLetter):
            counters.dead_letters += 1
            headers[index] = self._place_headers(batch, index, failure, error)

    def _ask(
        self, decide: Callable[[FailedRecord], Stop | Skip], batch: Batch, index: int, error: Exception
    ) -> Stop | Skip:
        place = self._place(batch, index)
        record = FailedRecord(
            error=error,
            operator=self.context.operator,
            topic=batch.origin.topic,
            partition=batch.origin.partition,
            offset=batch.offsets[index],
            key=batch.keys[index],
            value=batch.values[index],
        )
        try:
            decision = decide(record)
        except Exception as second:
            what = f"The on_error function failed itself: {_name(second)}"
            raise UserFunctionFailed(what, advice="Correct it", **place) from second
        if not isinstance(decision, Stop | Skip):
            what = f"The on_error function gave {_name(decision)}, neither rf.stop nor rf.skip"
            raise UserFunctionFailed(what, advice="Correct it", **place) from error
        return decision

    def _describe(self, batch: Batch, index: int, error: Exception) -> RayflowError:
        """The error with the record's place. Raises errors of rayflow itself that no record has caused."""
        place = self._place(batch, index)
        if isinstance(error, _OF_ONE_RECORD):
            return type(error)(error.what, advice=error.advice, **place)
        if isinstance(error, RayflowError):
            raise error
        if isinstance(error, TypeError) and not _hashable(batch.keys[index]):
            return KeyNotUsable(f"A key of type {_name(batch.keys[index])} cannot be hashed", **place)
        if self.doing is not None:
            return self.error(f"{_name(error)}: could not {self.doing}", **place)
        line = users_line(error.__traceback__)
        if line is None and isinstance(error, TypeError) and str(error).endswith("object is not iterable"):
            what = f"The function returned one result, not an iterable of results: {error}"  # the type, never the value
            return self.error(what, advice="Return a list, or write yield instead of return", **place)
        line = line or "a built-in function"
        what = _name(error) if self.during is None else f"{_name(error)} in {self.during},"
        return self.error(f"{what} at {line}", **place)

    def _place(self, batch: Batch, index: int) -> dict[str, Any]:
        place: dict[str, Any] = {"job": self.context.job, "operator": self.context.operator}
        place["partition"] = batch.origin.partition
        if batch.offsets[index] >= 0:  # otherwise an operator created the record: it has no position
            place["topic"] = batch.origin.topic
            place["offset"] = batch.offsets[index]
        return place

    def _place_headers(self, batch: Batch, index: int, failure: RayflowError, error: Exception) -> Headers:
        facts = (
            ("error", failure.code),
            ("reason", _name(error)),
            ("operator", self.context.operator),
            ("topic", batch.origin.topic),
            ("partition", batch.origin.partition),
            ("offset", batch.offsets[index]),
        )
        return [(f"rayflow.{name}", str(fact).encode()) for name, fact in facts]

    def _dead_letters(self, batch: Batch, headers: dict[int, Headers]) -> DeadLetters:
        if not headers:
            return ()
        dead = batch.take(list(headers))
        own: list[Headers] = [[]] * len(dead) if dead.headers is None else dead.headers
        marked = dead.with_headers([[*mine, *added] for mine, added in zip(own, headers.values(), strict=True)])
        return ((DEAD_LETTER, marked),)


def _name(thing: object) -> str:
    return type(thing).__name__


def _hashable(key: Any) -> bool:
    try:
        hash(key)
    except TypeError:
        return False
    return True
