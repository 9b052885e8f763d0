"""The contracts of connectors whose topics are made, and written from outside of a job."""

from __future__ import annotations

import pytest

from rayflow.core.errors import TopicExists, UnknownTopic
from tests.contracts.connector_reading import Basics
from tests.contracts.connector_records import MakeConnector, MakeTopic, Values, Whole, batch_of, number, until_is


def write(connector: Whole, topic: str, count: int) -> None:
    """Append records to a topic."""
    appender = connector.appender()
    appender.append(batch_of(topic, range(count)))
    appender.close()


class TopicContract(Basics):
    """Subclasses define `make_connector`; the connector is `Appendable` as well."""

    def test_a_topic_with_records_is_listed_and_is_not_created_again(
        self, connector: Whole, make_connector: MakeConnector, topic: MakeTopic
    ) -> None:
        first, second = sorted((topic(), topic()))
        other = make_connector()
        for name in (second, first):
            write(connector, name, 3)
        assert [info.name for info in other.topics() if info.name in (first, second)] == [first, second]
        with pytest.raises(TopicExists):
            other.create(first, 1)
        other.close()

    def test_a_topic_is_created_where_there_is_none(self, connector: Whole, unknown: str) -> None:
        assert connector.ensure(unknown, 1)
        write(connector, unknown, 3)
        assert not connector.ensure(unknown, 1)
        connector.delete(unknown)

    def test_a_topic_that_is_deleted_is_unknown(
        self, connector: Whole, make_connector: MakeConnector, topic: MakeTopic, unknown: str
    ) -> None:
        name, other = topic(), make_connector()
        write(connector, name, 3)
        assert other.partitions(name) == 1
        connector.delete(name)
        until_is(lambda: name in [info.name for info in other.topics()], False)
        for gone in (name, unknown):
            with pytest.raises(UnknownTopic):
                other.partitions(gone)
            with pytest.raises(UnknownTopic):
                connector.delete(gone)
        other.close()


class WriterContract(Basics):
    """Subclasses define `make_connector`, and `values`: all values that readers of a topic see, in any order."""

    def test_records_written_from_outside_are_seen_after_their_flush(
        self, connector: Whole, topic: MakeTopic, values: Values
    ) -> None:
        name = topic()
        appender = connector.appender()
        for n in range(5):
            appender.append(batch_of(name, [n]))
        appender.flush()
        assert sorted(map(number, values(name))) == [0, 1, 2, 3, 4]
        appender.append(batch_of(name, [5]))
        appender.close()
        assert sorted(map(number, values(name))) == [0, 1, 2, 3, 4, 5]

    def test_closing_an_appender_twice_is_closing_it_once(
        self, connector: Whole, topic: MakeTopic, values: Values
    ) -> None:
        name = topic()
        appender = connector.appender()
        appender.append(batch_of(name, [1]))
        appender.close()
        appender.close()
        assert list(map(number, values(name))) == [1]
