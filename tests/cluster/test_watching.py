"""Alerts and dashboard: they ask for metrics that exist, and each alert has a page to read."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from rayflow.core.metrics import METRICS
from tests.cluster.files import CLUSTER, GUIDE, loaded

_GROUPED = re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)")
_WORD = re.compile(r"[a-zA-Z_:][\w:]*")
_OPERATORS = {"and", "or", "unless", "offset", "bool"}

LABELS = {"job_name", "instance", "le", *(label for metric in METRICS for label in metric.labels)}


def series() -> set[str]:
    """Every name under which a sample of ours can be asked for."""
    names = set()
    for metric in METRICS:
        parts = ("_bucket", "_sum", "_count") if metric.kind == "histogram" else ("",)
        names |= {metric.name + part for part in parts}
    return names


def asked(query: str) -> tuple[set[str], set[str]]:
    """The metrics and the labels that a PromQL query names."""
    text = re.sub(r'"[^"]*"', "", query)
    labels = {label for group in _GROUPED.findall(text) for label in _WORD.findall(group)}
    labels |= {label for inner in re.findall(r"\{([^}]*)\}", text) for label in _WORD.findall(inner)}
    text = _GROUPED.sub(" ", re.sub(r"\{[^}]*\}|\[[^\]]*\]", " ", text))
    found = {
        match[0]
        for match in _WORD.finditer(text)
        if match[0] not in _OPERATORS
        and not text[match.end() :].lstrip().startswith("(")
        and not text[: match.start()].endswith(tuple("0123456789"))  # the unit of a duration
    }
    return found, labels


def rules() -> list[dict[str, Any]]:
    return [rule for group in loaded("prometheus/alerts.yml")["groups"] for rule in group["rules"]]


def dashboard() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((CLUSTER / "grafana" / "dashboard.json").read_text(encoding="utf-8"))
    return found


def queries() -> list[tuple[str, str]]:
    """Every query, with where it stands."""
    alerts = [(rule["alert"], rule["expr"]) for rule in rules()]
    return alerts + [(panel["title"], target["expr"]) for panel in dashboard()["panels"] for target in panel["targets"]]


def test_the_names_in_a_query_are_found() -> None:
    query = 'histogram_quantile(0.9, sum by (job, le) (rate(a_bucket{x=~"b.*"}[5m]))) > 2 * (c offset 1h) and on (y) d'
    assert asked(query) == ({"a_bucket", "c", "d"}, {"job", "le", "x", "y"})


@pytest.mark.parametrize(("place", "query"), queries())
def test_a_query_asks_for_metrics_and_labels_that_exist(place: str, query: str) -> None:
    metrics, labels = asked(query)
    assert metrics, place
    assert metrics <= series(), metrics - series()
    assert labels <= LABELS, labels - LABELS


def test_each_alert_has_a_section_of_the_docs_and_each_section_its_alert() -> None:
    part = GUIDE.read_text(encoding="utf-8").split("## Alerts\n")[1].split("\n## ")[0]
    sections = {heading.lower().replace(" ", "-") for heading in re.findall(r"^### (.+)$", part, re.MULTILINE)}
    books = [rule["annotations"]["runbook"] for rule in rules()]
    assert {book.split("#")[0] for book in books} == {"guides/cluster.html"}
    assert sorted(book.split("#")[1] for book in books) == sorted(sections)


def test_alerts_say_how_grave_they_are_and_what_has_happened() -> None:
    for rule in rules():
        assert rule["labels"]["severity"] in ("warning", "critical")
        assert "{{ $labels.job_name }}" in rule["annotations"]["summary"]


def test_the_rules_are_the_ones_that_prometheus_reads() -> None:
    [name] = loaded("prometheus/prometheus.yml")["rule_files"]
    assert (CLUSTER / "prometheus" / name).is_file()


def test_the_dashboards_panels_have_a_place_and_a_source_that_is_there() -> None:
    [source] = loaded("grafana/provisioning/datasources/prometheus.yaml")["datasources"]
    taken: set[tuple[int, int]] = set()
    panels = dashboard()["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    for panel in panels:
        place = panel["gridPos"]
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert place["x"] + place["w"] <= 24
        assert not cells & taken, panel["title"]
        taken |= cells
        assert panel["datasource"]["uid"] == source["uid"]
        assert panel["description"]
