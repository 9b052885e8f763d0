"""The contract of connectors that a job publishes to."""

from __future__ import annotations

import pytest

from rayflow.connectors.base import Sink
from rayflow.core.errors import Fenced, UnknownTopic
from rayflow.core.ids import Marker, SinkTask
from tests.contracts.connector_reading import Basics
from tests.contracts.connector_records import STEPS, MakeConnector, MakeTopic, Values, batch_of, number, run, until


class AppendContract(Basics):
    """Subclasses define `make_connector`, and `values`: all values that readers of a topic see, in any order."""

    def test_what_is_appended_at_least_once_is_there_after_the_flush(
        self, connector: Sink, topic: MakeTopic, job: str, values: Values
    ) -> None:
        name = topic()
        publisher = connector.publisher(job, 0, "at_least_once")
        publisher.open([SinkTask("out", 0)])
        publisher.append([batch_of(name, range(10)), batch_of(name, range(10, 20))])
        publisher.append([batch_of(name, range(20, 30))])
        list(publisher.flush())
        assert sorted(map(number, values(name))) == list(range(30))
        publisher.append([batch_of(name, range(30, 40))])
        list(publisher.flush())
        list(publisher.flush())
        assert sorted(map(number, values(name))) == list(range(40))
        publisher.close()

    def test_closing_a_publisher_of_records_twice_is_closing_it_once(self, connector: Sink, job: str) -> None:
        publisher = connector.publisher(job, 0, "at_least_once")
        publisher.open([SinkTask("out", 0)])
        publisher.close()
        publisher.close()


class PublishContract(AppendContract):
    """Fixtures as in `AppendContract`."""

    def test_publishing_takes_the_steps_of_the_contract(
        self, connector: Sink, topic: MakeTopic, job: str, values: Values
    ) -> None:
        name, task = topic(), SinkTask("out", 0)
        publisher = connector.publisher(job, 0, "exactly_once")
        assert publisher.open([task]) == {task: None}
        steps = [
            step for step in run(publisher, Marker("l", 1), {task: [batch_of(name, range(10))]}) if step != "waiting"
        ]
        assert list(dict.fromkeys(steps)) == STEPS
        assert sorted(map(number, values(name))) == list(range(10))
        publisher.close()

    def test_nothing_is_visible_before_the_commit(
        self, connector: Sink, topic: MakeTopic, job: str, values: Values
    ) -> None:
        name, task = topic(), SinkTask("out", 0)
        publisher = connector.publisher(job, 0, "exactly_once")
        publisher.open([task])
        for step in publisher.publish(Marker("l", 1), {task: [batch_of(name, range(10))]}, {}):
            if step not in ("committing", "committed"):
                assert values(name) == []
        assert sorted(map(number, values(name))) == list(range(10))
        publisher.close()

    def test_a_publisher_opened_again_reads_the_markers(
        self, connector: Sink, make_connector: MakeConnector, topic: MakeTopic, job: str, values: Values
    ) -> None:
        name, first, second, idle = topic(2), SinkTask("out", 0), SinkTask("out", 1), SinkTask("other op", 1)
        publisher = connector.publisher(job, 0, "exactly_once")
        publisher.open([first, second, idle])
        run(publisher, Marker("l", 1), {first: [batch_of(name, [1])], second: [batch_of(name, [2])], idle: []})
        run(publisher, Marker("l", 2), {first: [batch_of(name, [3])], second: []})
        publisher.close()
        other = make_connector()
        again = other.publisher(job, 0, "exactly_once")
        assert again.open([first, second, idle, SinkTask("new", 0)]) == {
            first: Marker("l", 2),
            second: Marker("l", 2),
            idle: Marker("l", 1),
            SinkTask("new", 0): None,
        }
        run(again, Marker("l", 3), {first: [batch_of(name, [4])], second: [], idle: []})
        assert sorted(map(number, values(name))) == [1, 2, 3, 4]
        again.close()
        other.close()

    def test_a_marker_of_a_new_lineage_replaces_the_old_one(
        self, connector: Sink, topic: MakeTopic, job: str, values: Values
    ) -> None:
        name, task = topic(), SinkTask("out", 0)
        publisher = connector.publisher(job, 0, "exactly_once")
        publisher.open([task])
        run(publisher, Marker("old", 9), {task: [batch_of(name, [1])]})
        publisher.close()
        publisher = connector.publisher(job, 0, "exactly_once")
        assert publisher.open([task]) == {task: Marker("old", 9)}
        run(publisher, Marker("new", 3), {task: [batch_of(name, [2])]})
        publisher.close()
        publisher = connector.publisher(job, 0, "exactly_once")
        assert publisher.open([task]) == {task: Marker("new", 3)}
        assert sorted(map(number, values(name))) == [1, 2]
        publisher.close()

    def test_a_sink_task_that_moves_to_another_slot_keeps_its_marker(
        self, connector: Sink, topic: MakeTopic, job: str, values: Values
    ) -> None:
        name, task, stays = topic(), SinkTask("out", 3), SinkTask("out", 4)
        zero, one = connector.publisher(job, 0, "exactly_once"), connector.publisher(job, 1, "exactly_once")
        zero.open([task, stays])
        run(zero, Marker("l", 1), {task: [batch_of(name, [1])], stays: []})
        assert one.open([task]) == {task: Marker("l", 1)}
        run(one, Marker("l", 2), {task: [batch_of(name, [2])]})
        run(zero, Marker("l", 2), {stays: [batch_of(name, [3])]})
        assert sorted(map(number, values(name))) == [1, 2, 3]
        zero.close()
        one.close()
        back = connector.publisher(job, 0, "exactly_once")
        assert back.open([task, stays]) == {task: Marker("l", 2), stays: Marker("l", 2)}
        back.close()

    def test_markers_of_another_job_are_not_mixed_up(
        self, connector: Sink, topic: MakeTopic, job: str, values: Values
    ) -> None:
        name, task = topic(), SinkTask("out", 0)
        mine, other = connector.publisher(job, 0, "exactly_once"), connector.publisher(job + "x", 0, "exactly_once")
        mine.open([task])
        run(mine, Marker("l", 7), {task: [batch_of(name, [1])]})
        assert other.open([task]) == {task: None}
        run(other, Marker("m", 2), {task: [batch_of(name, [2])]})
        run(mine, Marker("l", 8), {task: [batch_of(name, [3])]})
        mine.close()
        other.close()
        for owner, marker in ((job, Marker("l", 8)), (job + "x", Marker("m", 2))):
            publisher = connector.publisher(owner, 0, "exactly_once")
            assert publisher.open([task]) == {task: marker}
            publisher.close()

    def test_a_publisher_opened_earlier_is_fenced(
        self, connector: Sink, make_connector: MakeConnector, topic: MakeTopic, job: str, values: Values
    ) -> None:
        name, task = topic(), SinkTask("out", 0)
        old = connector.publisher(job, 0, "exactly_once")
        old.open([task])
        run(old, Marker("l", 1), {task: [batch_of(name, [1])]})
        other = make_connector()
        new = other.publisher(job, 0, "exactly_once")
        assert new.open([task]) == {task: Marker("l", 1)}
        with pytest.raises(Fenced):
            run(old, Marker("l", 2), {task: [batch_of(name, [2])]})
        run(new, Marker("l", 2), {task: [batch_of(name, [3])]})
        old.close()
        new.close()
        other.close()
        assert sorted(map(number, values(name))) == [1, 3]

    @pytest.mark.parametrize("step", STEPS[:-1])
    def test_a_publisher_that_is_fenced_while_it_publishes_leaves_nothing_visible(
        self,
        connector: Sink,
        make_connector: MakeConnector,
        topic: MakeTopic,
        job: str,
        values: Values,
        step: str,
    ) -> None:
        name, task = topic(), SinkTask("out", 0)
        old = connector.publisher(job, 0, "exactly_once")
        old.open([task])
        steps = old.publish(Marker("l", 1), {task: [batch_of(name, range(100))]}, {})
        until(steps, step)
        other = make_connector()
        new = other.publisher(job, 0, "exactly_once")
        held = new.open([task])
        assert held == {task: None} or (step == "committing" and held == {task: Marker("l", 1)})
        if held[task] is None:
            with pytest.raises(Fenced):
                list(steps)
            assert values(name) == []
            run(new, Marker("l", 1), {task: [batch_of(name, range(100))]})
        assert sorted(map(number, values(name))) == list(range(100))
        old.close()
        new.close()
        other.close()

    @pytest.mark.parametrize("step", STEPS)
    def test_markers_can_be_looked_at_while_another_publishes(
        self, connector: Sink, make_connector: MakeConnector, topic: MakeTopic, job: str, step: str
    ) -> None:
        name, task = topic(), SinkTask("out", 0)
        publisher = connector.publisher(job, 0, "exactly_once")
        publisher.open([task])
        run(publisher, Marker("l", 1), {task: [batch_of(name, [0])]})
        steps = publisher.publish(Marker("l", 2), {task: [batch_of(name, [1])]}, {})
        until(steps, step)
        other = make_connector()
        looking = other.publisher(job, 0, "exactly_once")
        held = looking.markers([task])[task]
        assert held == Marker("l", 2 if step == "committed" else 1) or (step == "committing" and held == Marker("l", 2))
        list(steps)  # nobody was fenced
        publisher.close()
        looking.close()
        other.close()

    @pytest.mark.parametrize("step", STEPS[:-1])
    def test_an_unfinished_publish_that_is_closed_leaves_nothing_visible(
        self, connector: Sink, topic: MakeTopic, job: str, values: Values, step: str
    ) -> None:
        name, task = topic(), SinkTask("out", 0)
        publisher = connector.publisher(job, 0, "exactly_once")
        publisher.open([task])
        run(publisher, Marker("l", 1), {task: [batch_of(name, [0])]})
        steps = publisher.publish(Marker("l", 2), {task: [batch_of(name, range(1, 100))]}, {})
        until(steps, step)
        publisher.close()
        again = connector.publisher(job, 0, "exactly_once")
        held = again.open([task])[task]
        if held == Marker("l", 1):
            assert sorted(map(number, values(name))) == [0]
            run(again, Marker("l", 2), {task: [batch_of(name, range(1, 100))]})
        else:
            assert step == "committing"
            assert held == Marker("l", 2)
        assert sorted(map(number, values(name))) == list(range(100))
        again.close()

    def test_a_publish_to_an_unknown_topic_leaves_nothing_visible(
        self, connector: Sink, topic: MakeTopic, job: str, unknown: str, values: Values
    ) -> None:
        name, task = topic(), SinkTask("out", 0)
        publisher = connector.publisher(job, 0, "exactly_once")
        publisher.open([task])
        with pytest.raises(UnknownTopic):
            run(publisher, Marker("l", 1), {task: [batch_of(name, [1]), batch_of(unknown, [2])]})
        publisher.close()
        again = connector.publisher(job, 0, "exactly_once")
        assert again.open([task]) == {task: None}
        assert values(name) == []
        again.close()

    def test_closing_a_publisher_twice_is_closing_it_once(self, connector: Sink, job: str) -> None:
        publisher = connector.publisher(job, 0, "exactly_once")
        publisher.open([SinkTask("out", 0)])
        publisher.close()
        publisher.close()
        unopened = connector.publisher(job, 0, "exactly_once")
        unopened.close()
