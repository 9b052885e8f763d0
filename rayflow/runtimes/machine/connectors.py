"""The connectors of a run, by the topics that a job refers to."""

from __future__ import annotations

from rayflow.connectors.base import Connector
from rayflow.connectors.registry import open_connector
from rayflow.core.topics import ConnectorSpec, TopicRef
from rayflow.runtimes.hosting.options import RunOptions


class OpenConnectors:
    """Opens each connector once. Topics without a connector use the broker of the run."""

    def __init__(self, broker: ConnectorSpec) -> None:
        self.broker = broker
        self._opened: dict[ConnectorSpec, Connector] = {}

    @classmethod
    def of_run(cls, options: RunOptions) -> OpenConnectors:
        """The connectors of a run, with the settings of its broker."""
        return cls(ConnectorSpec(options.broker_url, tuple(sorted(options.broker_config.items()))))

    def spec(self, topic: TopicRef) -> ConnectorSpec:
        """The connector of a topic, as its specification."""
        return topic.connector or self.broker

    def of(self, topic: TopicRef) -> Connector:
        """The connector of a topic."""
        return self.open(self.spec(topic))

    def open(self, spec: ConnectorSpec) -> Connector:
        """The connector of a spec."""
        if spec not in self._opened:
            self._opened[spec] = open_connector(spec, None if spec == self.broker else self.broker)
        return self._opened[spec]

    def close(self) -> None:
        """Close all."""
        for connector in self._opened.values():
            connector.close()
        self._opened.clear()
