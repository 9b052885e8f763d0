"""A Prometheus histogram to which whole distributions are added, from this process or another."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from prometheus_client import CollectorRegistry
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.registry import Collector

from rayflow.core.distribution import SECONDS, Distribution


class DistributionHistogram(Collector):
    """Adds many durations at once. prometheus-client's own Histogram takes one value per call."""

    def __init__(self, name: str, description: str, labels: Sequence[str], registry: CollectorRegistry) -> None:
        self._name = name
        self._description = description
        self._labels = labels
        self._series: dict[tuple[str, ...], Distribution] = {}
        registry.register(self)

    def add(self, labels: tuple[str, ...], more: Distribution) -> None:
        """Add the counts of a distribution."""
        self._series.setdefault(labels, Distribution()).add(more)

    def collect(self) -> Iterable[HistogramMetricFamily]:
        """The values for a scrape."""
        family = HistogramMetricFamily(self._name, self._description, labels=self._labels)
        bounds = [*(str(bound) for bound in SECONDS), "+Inf"]
        for labels, known in list(self._series.items()):
            family.add_metric(list(labels), list(zip(bounds, known.within, strict=True)), known.spent)
        yield family

    def describe(self) -> Iterable[HistogramMetricFamily]:
        """The name, for the registry's check of duplicates."""
        yield HistogramMetricFamily(self._name, self._description, labels=self._labels)
