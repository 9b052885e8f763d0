"""A Prometheus histogram that takes distributions, counted here or in another process."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from prometheus_client import CollectorRegistry
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.registry import Collector

from rayflow.core.distribution import SECONDS, Distribution


class DistributionHistogram(Collector):
    """Durations of many records at once. prometheus-client's own Histogram takes one value a call."""

    def __init__(self, name: str, description: str, labels: Sequence[str], registry: CollectorRegistry) -> None:
        self._name = name
        self._description = description
        self._labels = labels
        self._series: dict[tuple[str, ...], Distribution] = {}
        registry.register(self)

    def add(self, labels: tuple[str, ...], more: Distribution) -> None:
        """Count what a distribution has counted."""
        self._series.setdefault(labels, Distribution()).add(more)

    def collect(self) -> Iterable[HistogramMetricFamily]:
        """What a scrape shows."""
        family = HistogramMetricFamily(self._name, self._description, labels=self._labels)
        bounds = [*(str(bound) for bound in SECONDS), "+Inf"]
        for labels, known in list(self._series.items()):
            family.add_metric(list(labels), list(zip(bounds, known.within, strict=True)), known.spent)
        yield family

    def describe(self) -> Iterable[HistogramMetricFamily]:
        """The name, for the registry's check of duplicates."""
        yield HistogramMetricFamily(self._name, self._description, labels=self._labels)
