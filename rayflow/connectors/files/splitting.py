"""Finds the records in a file's bytes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from itertools import accumulate, compress

import msgspec


@dataclass(slots=True)
class Split:
    """Records found. `offsets`: where each one starts in the file; `end`: where reading continues."""

    values: list[bytes]
    offsets: list[int]
    end: int


class Splitter(ABC):
    """Splits one file. A record ends with a newline, which the last record of a file may lack (see `FileReader`)."""

    @abstractmethod
    def split(self, data: bytes, position: int, tail: bool) -> Split:
        """The records in `data`, which starts at `position` of the file, at the start of a record.

        An incomplete record at the end is omitted, and `end` is its start. With `tail`, `data` ends at the end of the
        file, and a last record without a newline is included. Raises DecodeFailed.
        """

    @abstractmethod
    def is_record(self, tail: bytes) -> bool:
        """Whether the text after the file's last newline looks like a complete record."""


class LineSplitter(Splitter):
    """One JSON value a line; blank lines are passed over.

    >>> LineSplitter().split(b'{"n":1}\\n\\n{"n":2}\\n{"n"', 100, tail=False)
    Split(values=[b'{"n":1}', b'{"n":2}'], offsets=[100, 109], end=117)
    """

    def split(self, data: bytes, position: int, tail: bool) -> Split:
        stop = len(data) if tail else data.rfind(b"\n") + 1
        lines = data[:stop].split(b"\n")
        offsets = list(accumulate([len(line) + 1 for line in lines], initial=position))[:-1]
        if not lines[-1]:
            del lines[-1], offsets[-1]
        if b"\r\n" in data:
            lines = [line.rstrip(b"\r") for line in lines]
        if b"" in lines:
            lines, offsets = list(compress(lines, lines)), list(compress(offsets, lines))
        return Split(lines, offsets, position + stop)

    def is_record(self, tail: bytes) -> bool:
        try:
            msgspec.json.decode(tail)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return False
        return True
