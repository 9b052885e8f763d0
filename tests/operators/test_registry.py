"""Every spec has its operator, and says of itself what a plan needs."""

from __future__ import annotations

from dataclasses import dataclass, fields, is_dataclass
from importlib import import_module
from pkgutil import iter_modules

import pytest

import rayflow.api.specs
from rayflow.api.specs.base import OperatorSpec
from rayflow.api.specs.functions import FunctionSpec, MapSpec
from rayflow.core.errors import InvariantBroken
from rayflow.core.outputs import IN
from rayflow.operators import registry
from rayflow.operators.base import Operator
from rayflow.operators.registry import build
from rayflow.plan.physical import OperatorPlan


def specs() -> list[type[OperatorSpec]]:
    """Every spec that a job file can make."""
    modules = [import_module(f"rayflow.api.specs.{m.name}") for m in iter_modules(rayflow.api.specs.__path__)]
    found = {each for m in modules for each in vars(m).values() if isinstance(each, type)}
    return sorted(
        (each for each in found if issubclass(each, OperatorSpec) and each not in (OperatorSpec, FunctionSpec)),
        key=lambda each: each.__name__,
    )


@pytest.mark.parametrize("spec", specs())
def test_every_spec_has_an_operator(spec: type[OperatorSpec]) -> None:
    registry._import_all()
    assert issubclass(registry._OPERATORS[spec], Operator)  # type: ignore[arg-type]


@pytest.mark.parametrize("spec", specs())
def test_every_spec_is_plain_data_whose_inputs_have_names(spec: type[OperatorSpec]) -> None:
    assert is_dataclass(spec)
    assert not {"label", "states", "inputs"} & {field.name for field in fields(spec)}
    assert spec.inputs == (IN,) or IN not in spec.inputs
    assert len(set(spec.inputs)) == len(spec.inputs) > 0


def test_each_task_gets_an_operator_of_its_own() -> None:
    plan = OperatorPlan("m", "map", "map", MapSpec(abs), {})
    first, second = build(plan), build(plan)
    assert isinstance(first, Operator)
    assert first is not second


@dataclass(frozen=True)
class Unknown(OperatorSpec):
    """Nobody runs it."""


def test_a_spec_without_an_operator_is_named() -> None:
    with pytest.raises(InvariantBroken, match="nothing runs a Unknown"):
        build(OperatorPlan("m", "map", "map", Unknown(), {}))
