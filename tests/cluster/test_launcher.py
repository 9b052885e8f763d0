"""Ray's cluster launcher."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import jsonschema

from tests.cluster.files import SECRET, leaves, loaded


def starts() -> list[str]:
    """What starts Ray on the head, and on the others."""
    content = loaded("ray/cluster.yaml")
    return [content["head_start_ray_commands"][-1], content["worker_start_ray_commands"][-1]]


def test_the_launchers_own_schema_takes_the_file() -> None:
    spec = importlib.util.find_spec("ray")
    assert spec is not None
    assert spec.origin is not None
    schema = json.loads((Path(spec.origin).parent / "autoscaler" / "ray-schema.json").read_text(encoding="utf-8"))
    jsonschema.validate(loaded("ray/cluster.yaml"), schema)


def test_every_node_authenticates_and_the_dashboard_stays_on_the_head() -> None:
    for start in starts():
        assert "RAY_AUTH_MODE=token" in start
    assert "--dashboard-host=127.0.0.1" in starts()[0]


def test_a_machine_that_is_gone_is_noticed_within_ten_seconds() -> None:
    words = [word.strip(";") for word in starts()[0].split()]
    found = dict(word.split("=") for word in words if word.startswith("RAY_health_check_"))
    period, timeout = (int(found[f"RAY_health_check_{name}_ms"]) for name in ("period", "timeout"))
    assert int(found["RAY_health_check_failure_threshold"]) * (period + timeout) <= 10_000


def test_no_secret_stands_in_the_file() -> None:
    for way, value in leaves(loaded("ray/cluster.yaml")):
        if SECRET.search(way[-1]):
            assert str(value).startswith("~/"), way  # a path on the machine that launches
