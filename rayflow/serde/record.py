"""`rf.Record`: the base class of typed records."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from typing_extensions import dataclass_transform

    @dataclass_transform(frozen_default=True, field_specifiers=(msgspec.field,))
    class _Immutable(msgspec.StructMeta):
        """The metaclass that type checkers see, so that they treat classes derived from Record as immutable, too."""
else:
    _Immutable = type(msgspec.Struct)


class Record(msgspec.Struct, metaclass=_Immutable, frozen=True, gc=False):
    """A typed record: fast to make, to decode and to encode, immutable, compared by its fields.

    Subclasses are immutable as well (`msgspec.structs.replace` makes a changed copy) and hashable when their fields
    are. The garbage collector does not track records: one must not hold, by way of a list or a dict, itself.

    >>> class Order(Record):
    ...     id: int
    ...     price: float = 0.0
    >>> Order(id=5)
    Order(id=5, price=0.0)
    >>> msgspec.structs.replace(Order(id=5), price=1.5).price
    1.5
    """
