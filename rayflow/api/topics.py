"""Topics that are pinned to a system, instead of the broker of the run."""

from __future__ import annotations

import os
from collections.abc import Mapping

from rayflow.api.location import invalid
from rayflow.core.topics import ConnectorSpec, TopicRef


def kafka(topic: str, *, bootstrap: str, config: Mapping[str, str] | None = None) -> TopicRef:
    """A topic on a specific Kafka cluster, independent of the broker of the run.

    Args:
        bootstrap: "host:9092,host:9092". config: settings of librdkafka; they never appear in logs.

    >>> import rayflow as rf
    >>> orders = rf.kafka("orders", bootstrap="eu:9092", config={"security.protocol": "SSL"})
    >>> orders.connector
    ConnectorSpec(url='kafka://eu:9092')
    """
    if not bootstrap:
        raise invalid("rf.kafka() is given no bootstrap servers", 'Write bootstrap="host:9092"')
    url = bootstrap if bootstrap.startswith("kafka://") else f"kafka://{bootstrap}"
    settings = tuple(sorted((str(name), str(value)) for name, value in (config or {}).items()))
    return topic_ref(TopicRef(topic, ConnectorSpec(url, settings)))


def embedded(topic: str, *, path: str | os.PathLike[str]) -> TopicRef:
    """A topic in the embedded log in the directory `path`.

    >>> import rayflow as rf
    >>> rf.embedded("orders", path="shared-log").connector
    ConnectorSpec(url='embedded:shared-log')
    """
    return topic_ref(TopicRef(topic, ConnectorSpec(f"embedded:{os.fspath(path)}")))


def jsonl(path: str | os.PathLike[str]) -> TopicRef:
    """A file of JSON lines as a topic: one record per line.

    >>> import rayflow as rf
    >>> rf.jsonl("orders.jsonl")
    TopicRef(name='orders.jsonl', connector=ConnectorSpec(url='jsonl:'))
    """
    return topic_ref(TopicRef(os.fspath(path), ConnectorSpec("jsonl:")))


def csv(path: str | os.PathLike[str]) -> TopicRef:
    """A CSV file with a header line as a topic: one record per row.

    >>> import rayflow as rf
    >>> rf.csv("orders.csv")
    TopicRef(name='orders.csv', connector=ConnectorSpec(url='csv:'))
    """
    return topic_ref(TopicRef(os.fspath(path), ConnectorSpec("csv:")))


def topic_ref(topic: str | TopicRef) -> TopicRef:
    """A reference from what a user gives. Raises InvalidJob for anything but a name or a reference."""
    ref = TopicRef(topic) if isinstance(topic, str) else topic
    if not isinstance(ref, TopicRef) or not isinstance(ref.name, str) or not ref.name.strip():
        raise invalid(
            f"a topic is given as {type(topic).__name__}" if not isinstance(topic, str) else "a topic has no name",
            'Give its name, or rf.kafka("topic", bootstrap=...), rf.jsonl("file.jsonl"), rf.csv("file.csv")',
        )
    return ref
