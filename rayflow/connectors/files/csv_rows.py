"""Finds the rows in a CSV file, and returns them as JSON objects."""

from __future__ import annotations

import csv
from itertools import accumulate, chain
from pathlib import Path

import msgspec

from rayflow.connectors.files.splitting import Split, Splitter
from rayflow.core.errors import DecodeFailed

_HEADER_BYTES = 1 << 20
_encoder = msgspec.json.Encoder()


class RowSplitter(Splitter):
    """Rows of a file whose first row contains the column names; each row becomes a JSON object of strings.

    A row with fewer columns lacks the last names; a row with more has the additional columns as a list under "". Blank
    rows are skipped. The file is UTF-8, with or without a byte order mark; quoted fields may contain newlines.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._header: tuple[list[str], int] | None = None

    def split(self, data: bytes, position: int, tail: bool) -> Split:
        header = self._header or self._read_header(tail)
        if header is None:
            return Split([], [], position)
        names, first = header
        if position < first:
            data, position = data[first - position :], first
        rows, offsets, end = self._rows(data if tail else data[: data.rfind(b"\n") + 1], position)
        wide = len(names)
        objects: list[dict[str, str | list[str]]] = [dict(zip(names, row, strict=False)) for row in rows]
        if rows and max(map(len, rows)) > wide:
            for row, fields in zip(rows, objects, strict=True):
                if len(row) > wide:
                    fields[""] = row[wide:]
        return Split(_encoder.encode_lines(objects).split(b"\n")[:-1], offsets, end)

    def is_record(self, tail: bytes) -> bool:
        try:
            header = self._header or self._read_header(tail=False) or self._read_header(tail=True)
            rows, _, _ = self._rows(tail, 0)
        except DecodeFailed:  # the tail may end within a character
            return False
        if header is None:
            return False
        return len(rows) == 1 and len(rows[0]) >= len(header[0])

    def _read_header(self, tail: bool) -> tuple[list[str], int] | None:
        """The column names, and where the next row starts; None while the header is incomplete."""
        with self._path.open("rb") as file:
            data = file.read(_HEADER_BYTES)
        mark = 3 if data.startswith(b"\xef\xbb\xbf") else 0
        stop = len(data) if tail and len(data) < _HEADER_BYTES else data.rfind(b"\n") + 1
        rows, offsets, end = self._rows(data[mark:stop], mark)
        if not rows:
            return None
        header = rows[0], offsets[1] if len(rows) > 1 else end
        if header[1] < stop or data[:stop].endswith(b"\n"):
            self._header = header
        return header

    def _rows(self, data: bytes, position: int) -> tuple[list[list[str]], list[int], int]:
        """The complete rows, where each one starts, and where the first incomplete one starts."""
        lines = data.splitlines(keepends=True)
        starts = list(accumulate(map(len, lines), initial=position))
        try:
            # An additional line at the end: a row with an open quote would include it.
            reader = csv.reader(chain(map(bytes.decode, lines), ["end"]))
            found = [(row, reader.line_num) for row in reader]
        except UnicodeDecodeError as error:
            raise DecodeFailed(f"{self._path} is not UTF-8", topic=str(self._path), offset=position) from error
        except csv.Error as error:
            raise DecodeFailed(
                f"A row of {self._path} cannot be read: {error}",
                topic=str(self._path),
                offset=position,
                advice='Look for a quote (") that is not closed, at or after this offset',
            ) from error
        del found[-1]
        rows = [row for row, _ in found]
        last_lines = [0, *(line for _, line in found)]
        offsets = [starts[line] for line in last_lines]
        end = offsets.pop()
        if not all(rows):
            offsets = [offset for row, offset in zip(rows, offsets, strict=True) if row]
            rows = [row for row in rows if row]
        return rows, offsets, end
