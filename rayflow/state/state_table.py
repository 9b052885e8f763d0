"""The base class of the tables in a task's state: they take part in `seal`, and have their names in errors."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection
from typing import Any

from rayflow.core.errors import ValueNotCarried
from rayflow.serde.codec import Codec


class StateTable(ABC):
    """One state of one operator in one task."""

    def __init__(self, operator: str, name: str, codec: Codec) -> None:
        self._operator = operator
        self._name = name
        self._encode_all = codec.encode_all
        self._decode = codec.decode
        self._decode_all = codec.decode_all
        self._sealing_bytes = 0

    @property
    @abstractmethod
    def pending(self) -> int:
        """Rows of the open epoch, deletes included."""

    @abstractmethod
    def collect(self, changed: dict[bytes, bytes | None]) -> tuple[int, int]:
        """Encode the open epoch into `changed`, by row key, None for a row to delete. It changes nothing else.

        Returns the number of rows encoded and their bytes. Raises ValueNotCarried, KeyNotUsable.
        """

    @abstractmethod
    def turn(self) -> None:
        """Open an empty epoch after the collected rows were sealed; their live objects go to the clean cache."""

    def _encode(self, values: Collection[Any]) -> list[bytes]:
        try:
            data = self._encode_all(values)
        except ValueNotCarried as error:
            raise ValueNotCarried(f"state {self._name}: {error.what}", operator=self._operator) from error
        self._sealing_bytes = sum(map(len, data))
        return data
