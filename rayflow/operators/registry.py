"""Which operator runs which spec: each says so itself.

Specs are below operators in the layers, so that the plan can be made and described without them: a spec cannot name its
operator. A decorator at the operator keeps the two together instead, and a type checker follows it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib import import_module
from pkgutil import iter_modules
from typing import Any, TypeVar

from rayflow.api.specs.base import OperatorSpec
from rayflow.core.errors import InvariantBroken
from rayflow.operators.base import Operator
from rayflow.plan.physical import OperatorPlan

Made = TypeVar("Made", bound=Operator)

_OPERATORS: dict[type[OperatorSpec], Callable[[Any], Operator]] = {}


def runs(*specs: type[OperatorSpec]) -> Callable[[type[Made]], type[Made]]:
    """Have tasks run the decorated operator for these specs. It is made with the spec alone."""

    def register(operator: type[Made]) -> type[Made]:
        _OPERATORS.update(dict.fromkeys(specs, operator))
        return operator

    return register


def build(operator: OperatorPlan) -> Operator:
    """A new operator from its plan, for one task; it still has to be opened."""
    spec = operator.spec
    if type(spec) not in _OPERATORS:
        _import_all()
    if type(spec) not in _OPERATORS:
        raise InvariantBroken(f"nothing runs a {type(spec).__name__}", operator=operator.id)
    return _OPERATORS[type(spec)](spec)


@cache
def _import_all() -> None:
    """Import every module beside this one, so that each operator has registered."""
    package = __name__.rpartition(".")[0]
    for module in iter_modules(import_module(package).__path__):
        import_module(f"{package}.{module.name}")
