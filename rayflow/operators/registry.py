"""Maps each spec to its operator: each operator registers itself.

Specs are in a layer below operators, so that a plan can be compiled and described without operators. So a spec cannot
name its operator. Instead, a decorator of the operator names the spec, which a type checker can follow.
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
    """Register the decorated operator for these specs. Its only argument is the spec."""

    def register(operator: type[Made]) -> type[Made]:
        _OPERATORS.update(dict.fromkeys(specs, operator))
        return operator

    return register


def build(operator: OperatorPlan) -> Operator:
    """Create the operator of a plan, for one task. Call `open` before use."""
    spec = operator.spec
    if type(spec) not in _OPERATORS:
        _import_all()
    if type(spec) not in _OPERATORS:
        raise InvariantBroken(f"nothing runs a {type(spec).__name__}", operator=operator.id)
    return _OPERATORS[type(spec)](spec)


@cache
def _import_all() -> None:
    """Import every module of this package, so that each operator is registered."""
    package = __name__.rpartition(".")[0]
    for module in iter_modules(import_module(package).__path__):
        import_module(f"{package}.{module.name}")
