"""Branches: the streams that `split` returns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from rayflow.api.location import invalid

if TYPE_CHECKING:
    from rayflow.api.stream import Stream

S = TypeVar("S", bound="Stream[Any, Any]", covariant=True)


class Branches(Mapping[str, S], Generic[S]):
    """The result of `split`: a stream per branch, by name, and `rest`."""

    __slots__ = ("_branches", "rest")

    def __init__(self, branches: dict[str, S], rest: S) -> None:
        self._branches = branches
        self.rest = rest

    def __getitem__(self, branch: str) -> S:
        try:
            return self._branches[branch]
        except KeyError:
            raise invalid(
                f"split() has no branch {branch!r}",
                f"It has {', '.join(self._branches)}; records that fit none are in .rest",
            ) from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._branches)

    def __len__(self) -> int:
        return len(self._branches)
