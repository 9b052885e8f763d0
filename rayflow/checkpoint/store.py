"""The contract of a checkpoint store: named immutable objects, durable once `put` returns."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence


class CheckpointStore(ABC):
    """Objects by name ("a/b/c"), written once and never changed. Several threads and processes may use it.

    Errors: CheckpointStoreFailed (with the URI) for anything that the system refuses, DiskFull if it is full.
    """

    uri: str

    @abstractmethod
    def put(self, name: str, parts: Sequence[bytes]) -> None:
        """Write `parts`, one after the other, as one object. Replaces an object with the same name.

        When it returns, the object is durable (file and folder synced). Readers see all of it or nothing.
        """

    @abstractmethod
    def create(self, name: str, data: bytes) -> None:
        """Like `put`, but raises ObjectExists if the name is taken. If several callers try, one succeeds."""

    @abstractmethod
    def get(self, name: str) -> bytes:
        """The whole object. Raises ObjectMissing."""

    @abstractmethod
    def get_range(self, name: str, start: int, length: int) -> bytes:
        """`length` bytes from `start`; fewer if the object ends before. Raises ObjectMissing."""

    @abstractmethod
    def size(self, name: str) -> int:
        """The object's length in bytes. Raises ObjectMissing."""

    @abstractmethod
    def list(self, prefix: str) -> list[str]:
        """Names of the objects whose name starts with `prefix`, in ascending order."""

    @abstractmethod
    def delete(self, names: Sequence[str]) -> None:
        """Delete objects. A missing one is no error."""
