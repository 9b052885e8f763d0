"""State per key of a ProcessFunction, declared in its class: `rf.value`, `rf.list`, `rf.map`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from datetime import timedelta
from typing import Any, Generic, Literal, TypeAlias, TypeVar, cast

from rayflow.api.durations import milliseconds_of
from rayflow.api.location import invalid

T = TypeVar("T")
MK = TypeVar("MK")
MV = TypeVar("MV")

StateKind: TypeAlias = Literal["value", "list", "map"]


class ValueState(ABC, Generic[T]):
    """One value per key."""

    @abstractmethod
    def get(self) -> T:
        """Return the value of the current key, or the declared default."""

    @abstractmethod
    def set(self, value: T) -> None:
        """Replace the value of the current key."""

    @abstractmethod
    def clear(self) -> None:
        """Remove the value of the current key."""


class ListState(ABC, Generic[T]):
    """A list per key."""

    @abstractmethod
    def get(self) -> list[T]:
        """Return a copy of the list of the current key, oldest item first."""

    @abstractmethod
    def append(self, item: T) -> None:
        """Add one item at the end."""

    @abstractmethod
    def extend(self, items: Iterable[T]) -> None:
        """Add items at the end, in order."""

    @abstractmethod
    def set(self, items: Iterable[T]) -> None:
        """Replace the whole list."""

    @abstractmethod
    def clear(self) -> None:
        """Remove the list of the current key."""

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def __iter__(self) -> Iterator[T]: ...


class MapState(ABC, Generic[MK, MV]):
    """A map per key. Each entry is a separate row of state, so only the entries that are used cost anything."""

    @abstractmethod
    def get(self, item: MK, default: MV | None = None) -> MV | None:
        """Return the value of `item`, or `default`."""

    @abstractmethod
    def set(self, item: MK, value: MV) -> None:
        """Set one entry."""

    @abstractmethod
    def remove(self, item: MK) -> None:
        """Remove one entry; does nothing if it does not exist."""

    @abstractmethod
    def items(self) -> Iterator[tuple[MK, MV]]:
        """All entries of the current key, in key order."""

    @abstractmethod
    def keys(self) -> Iterator[MK]:
        """The keys of all entries, in order."""

    @abstractmethod
    def values(self) -> Iterator[MV]:
        """The values of all entries, in key order."""

    @abstractmethod
    def clear(self) -> None:
        """Remove all entries of the current key."""

    @abstractmethod
    def __contains__(self, item: object) -> bool: ...


class StateDescriptor:
    """A declared state. The operator replaces it by a live state, in each instance's own attributes.

    A non-data descriptor: `instance.__dict__[name] = live` hides it, so reading a live state costs only an attribute
    read.

    Attributes:
        name: the attribute's name.
        kind: "value", "list" or "map".
        default: of a value.
        ttl: ms, or None.
    """

    __slots__ = ("default", "kind", "name", "ttl")

    def __init__(self, kind: StateKind, default: Any, ttl: timedelta | None) -> None:
        self.kind = kind
        self.default = default
        self.ttl = None if ttl is None else milliseconds_of(ttl, "ttl=")
        self.name = ""

    def __set_name__(self, owner: type[Any], name: str) -> None:
        if self.name and self.name != name:
            raise invalid(
                f"one state is declared as {self.name!r} and as {name!r} in {owner.__name__}",
                "Declare each state with a call of its own: a = rf.value(0); b = rf.value(0)",
            )
        if name == "timers":
            raise invalid("a state cannot be called 'timers': timers are kept under that name", "Give it another name")
        self.name = name

    def __get__(self, instance: object | None, owner: type[Any] | None = None) -> Any:
        if instance is None:
            return self
        raise invalid(
            f"state {self.name!r} is read outside of process and on_timer",
            "State belongs to a record's key: use it in process() and on_timer() only, not in __init__",
        )

    @property
    def to_change(self) -> str:
        """Advice for someone who assigned to the attribute."""
        change = {"value": "set(x)", "list": "set(items) or .append(item)", "map": "set(item, x)"}[self.kind]
        return f"Write self.{self.name}.{change}, and self.{self.name}.clear() to remove it"

    def __repr__(self) -> str:
        return f"<{self.kind} state {self.name!r}>"


def states_of(function: type[Any]) -> tuple[StateDescriptor, ...]:
    """The states that a class and its bases declare, in order of definition, bases first.

    >>> class Base:
    ...     total = value(0.0, ttl=timedelta(days=1))
    >>> class Derived(Base):
    ...     seen = list_()
    >>> states_of(Derived)
    (<value state 'total'>, <list state 'seen'>)
    """
    found: dict[str, StateDescriptor] = {}
    for base in reversed(function.__mro__):
        for name, attribute in vars(base).items():
            if isinstance(attribute, StateDescriptor):
                found[name] = attribute
            else:
                found.pop(name, None)
    return tuple(found.values())


def value(default: T, *, ttl: timedelta | None = None) -> ValueState[T]:
    """Declare one value per key (`rf.value`). `ttl`: remove it when it has not been set for this long.

    All keys without a value share `default`, so it must not be a list, dict or set. Raises InvalidJob.

    >>> import rayflow as rf
    >>> class Total(rf.ProcessFunction[str, float, float]):
    ...     total = rf.value(0.0)
    ...     def process(self, value, ctx):
    ...         self.total.set(self.total.get() + value)
    ...         return [self.total.get()]
    """
    if isinstance(default, list | dict | set | bytearray):
        raise invalid(
            f"the default of rf.value is a {type(default).__name__}, which all keys would share",
            "Declare rf.list() or rf.map(), or use None or a tuple as the default",
        )
    return cast("ValueState[T]", StateDescriptor("value", default, ttl))


def list_(*, ttl: timedelta | None = None) -> ListState[Any]:
    """Declare a list per key (`rf.list`). `ttl`: remove it when it has not been changed for this long.

    Annotate it for the type checker: `seen: rf.ListState[str] = rf.list()`.

    >>> import rayflow as rf
    >>> class Last(rf.ProcessFunction[str, int, int]):
    ...     seen: rf.ListState[int] = rf.list()
    """
    return cast("ListState[Any]", StateDescriptor("list", None, ttl))


def map_(*, ttl: timedelta | None = None) -> MapState[Any, Any]:
    """Declare a map per key (`rf.map`). `ttl`: remove an entry when it has not been set for this long.

    Annotate it for the type checker: `prices: rf.MapState[str, float] = rf.map()`.

    >>> import rayflow as rf
    >>> class Prices(rf.ProcessFunction[str, int, int]):
    ...     prices: rf.MapState[str, float] = rf.map()
    """
    return cast("MapState[Any, Any]", StateDescriptor("map", None, ttl))
