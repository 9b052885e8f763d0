"""Every spec has its operator."""

from __future__ import annotations

from typing import get_args

import rayflow.api.specs as specs
from rayflow.operators.base import Operator
from rayflow.operators.factory import _OPERATORS, build
from rayflow.plan.physical import OperatorPlan


def test_every_spec_has_an_operator() -> None:
    assert set(_OPERATORS) == set(get_args(specs.OperatorSpec))


def test_each_task_gets_an_operator_of_its_own() -> None:
    plan = OperatorPlan("m", "map", "map", specs.MapSpec(abs), {})
    first, second = build(plan), build(plan)
    assert isinstance(first, Operator)
    assert first is not second
