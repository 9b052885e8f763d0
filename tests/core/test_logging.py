"""Log lines: JSON for machines, a plain line for people, ordinary records for programs that embed rayflow."""

import json
import logging
from collections.abc import Iterator
from datetime import datetime

import pytest

from rayflow.core.errors import BrokerUnavailable
from rayflow.core.logging import configure_logging, error_fields, get_logger


@pytest.fixture(autouse=True)
def handlers_as_before() -> Iterator[None]:
    root, ours = logging.getLogger(), logging.getLogger("rayflow")
    handlers, levels = root.handlers[:], (root.level, ours.level)
    yield
    root.handlers[:] = handlers
    root.setLevel(levels[0])
    ours.setLevel(levels[1])


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    out, err = capsys.readouterr()
    assert out == ""
    return [json.loads(line) for line in err.splitlines()]


def test_a_line_has_time_level_message_job_and_the_fields_of_its_event(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("revenue", json=True)
    get_logger("rayflow.test").info("checkpoint complete", epoch=3)
    (line,) = lines(capsys)
    time = datetime.fromisoformat(str(line.pop("timestamp")).replace("Z", "+00:00"))
    assert time.utcoffset() is not None
    assert line == {
        "level": "info",
        "message": "checkpoint complete",
        "job": "revenue",
        "logger": "rayflow.test",
        "epoch": 3,
    }


def test_a_field_may_have_any_name_and_bound_fields_stay(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(json=True)
    get_logger("rayflow.test").bind(worker=1).warning("found", name="x", msg="y", args="z")
    (line,) = lines(capsys)
    assert (line["name"], line["msg"], line["args"], line["worker"]) == ("x", "y", "z", 1)


def test_other_libraries_log_through_it_from_warnings_on(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("revenue", json=True)
    logging.getLogger("another.library").info("not this")
    logging.getLogger("another.library").warning("disk %s", "full", extra={"free": 0})
    (line,) = lines(capsys)
    assert (line["message"], line["logger"], line["free"], line["job"]) == (
        "disk full",
        "another.library",
        0,
        "revenue",
    )


def test_the_level_holds_and_configuring_again_replaces_it(capsys: pytest.CaptureFixture[str]) -> None:
    log = get_logger("rayflow.test")
    configure_logging(json=True, level="warning")
    log.info("not this")
    log.warning("this")
    configure_logging(json=True, level="debug")
    log.debug("and this")
    assert [line["message"] for line in lines(capsys)] == ["this", "and this"]


def test_off_a_terminal_lines_are_json_and_for_people_they_are_not(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging()
    get_logger("rayflow.test").info("one")
    assert lines(capsys)[0]["message"] == "one"
    configure_logging(json=False)
    get_logger("rayflow.test").info("two", epoch=4)
    text = capsys.readouterr().err
    assert "two" in text
    assert "epoch=4" in text
    assert not text.startswith("{")


def test_without_configuration_an_event_is_an_ordinary_logging_record(caplog: pytest.LogCaptureFixture) -> None:
    get_logger("rayflow.test").warning("lost", topic="orders")
    (record,) = caplog.records
    assert (record.name, record.levelname, record.getMessage()) == ("rayflow.test", "WARNING", "lost topic=orders")


def test_an_error_is_logged_with_code_place_and_advice() -> None:
    error = BrokerUnavailable("No answer", job="revenue", topic="orders", advice="Start it")
    assert error_fields(error) == {"code": "RF-3002", "job": "revenue", "topic": "orders", "advice": "Start it"}
