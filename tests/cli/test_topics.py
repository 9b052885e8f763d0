"""`rayflow topics` on the embedded log."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from rayflow.cli.topics.read import shown
from tests.cli.conftest import log_lines

Run = Callable[..., Result]


def records(result: Result) -> list[dict[str, Any]]:
    assert result.exit_code == 0, result.stderr
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_a_topic_is_created_listed_and_deleted(rayflow: Run) -> None:
    assert rayflow("topics", "create", "orders", "--partitions", "3").exit_code == 0
    assert rayflow("topics", "list").stdout == "orders\t3\t0\n"
    assert rayflow("topics", "delete", "orders", stdin="n\n").exit_code == 1
    assert rayflow("topics", "delete", "orders", "--yes").exit_code == 0
    assert rayflow("topics", "list").stdout == ""


def test_what_is_written_is_read(rayflow: Run) -> None:
    rayflow("topics", "create", "orders", "--partitions", "1")
    written = rayflow("topics", "write", "orders", stdin='{"user": "ann", "n": 1}\n\n{"user": "bob", "n": 2}')
    assert (written.exit_code, written.stdout, written.stderr) == (0, "", "wrote 2 records to orders\n")
    first, second = records(rayflow("topics", "read", "orders"))
    assert (first["partition"], first["key"], first["value"]) == (0, None, {"user": "ann", "n": 1})
    assert first["offset"] < second["offset"]
    assert rayflow("topics", "list").stdout == "orders\t1\t2\n"


def test_records_without_a_key_are_spread_evenly_over_the_partitions_however_they_are_written(rayflow: Run) -> None:
    rayflow("topics", "create", "orders", "--partitions", "4")
    for lines in ("1\n", "2\n", "3\n", "4\n5\n6\n", "7\n8\n"):
        rayflow("topics", "write", "orders", stdin=lines)
    written = records(rayflow("topics", "read", "orders"))
    assert {r["value"]: r["partition"] for r in written} == {n: (n - 1) % 4 for n in range(1, 9)}


@pytest.mark.parametrize("time", [-1, 1_700_000_000_000_000_000, 2**70])
def test_an_envelope_with_a_timestamp_that_is_no_time_is_refused(rayflow: Run, time: int) -> None:
    rayflow("topics", "create", "orders", "--partitions", "1")
    result = rayflow("topics", "write", "orders", "--envelope", stdin=f'{{"value": 1, "timestamp": {time}}}\n')
    assert result.exit_code == 1
    assert "Line 1" in result.stderr
    assert records(rayflow("topics", "read", "orders")) == []


def test_the_key_can_be_a_field_of_the_value(rayflow: Run) -> None:
    rayflow("topics", "create", "orders", "--partitions", "1")
    rayflow("topics", "write", "orders", "--key", "user", stdin='{"user": "ann"}\n{"user": 7}\n')
    assert [record["key"] for record in records(rayflow("topics", "read", "orders"))] == ["ann", 7]


def test_an_envelope_gives_key_value_and_time(rayflow: Run) -> None:
    rayflow("topics", "create", "orders", "--partitions", "1")
    lines = '{"key": "a", "value": {"n": 1}, "timestamp": 1000}\n{"key": "a", "value": null}\n'
    assert rayflow("topics", "write", "orders", "--envelope", stdin=lines).exit_code == 0
    first, second = records(rayflow("topics", "read", "orders"))
    assert (first["key"], first["value"], first["timestamp"]) == ("a", {"n": 1}, 1000)
    assert second["value"] is None
    assert second["timestamp"] > 1000


def test_text_is_written_as_it_is(rayflow: Run) -> None:
    rayflow("topics", "create", "lines", "--partitions", "1")
    rayflow("topics", "write", "lines", "--text", stdin="the fox\n\n{x\n")
    assert rayflow("topics", "read", "lines", "--format", "value").stdout == "the fox\n{x\n"
    assert rayflow("topics", "write", "lines", "--text", "--envelope", stdin="x").exit_code == 2


def test_max_ends_the_reading_and_the_value_can_stand_alone(rayflow: Run) -> None:
    rayflow("topics", "create", "numbers", "--partitions", "1")
    rayflow("topics", "write", "numbers", stdin="".join(f"{n}\n" for n in range(2_500)))
    assert rayflow("topics", "read", "numbers", "--format", "value").stdout.split() == [str(n) for n in range(2_500)]
    some = rayflow("topics", "read", "numbers", "--format", "value", "--max", "1200")
    assert some.stdout.split() == [str(n) for n in range(1_200)]


def test_records_of_all_partitions_are_read(rayflow: Run) -> None:
    rayflow("topics", "create", "orders", "--partitions", "4")
    lines = "".join(f'{{"key": "k{n}", "value": {n}}}\n' for n in range(100))
    rayflow("topics", "write", "orders", "--envelope", stdin=lines)
    found = records(rayflow("topics", "read", "orders"))
    assert sorted(record["value"] for record in found) == list(range(100))
    assert len({record["partition"] for record in found}) > 1


@pytest.mark.parametrize(
    ("options", "line", "message"),
    [
        ([], "{broken secret", "Line 2 is not JSON"),
        (["--key", "user"], "[1]", "Line 2 is not a JSON object"),
        (["--key", "user"], "{}", "Line 2 has no field user"),
        (["--envelope"], '{"timestamp": "secret"}', "Line 2 is not a record as --envelope wants it"),
    ],
)
def test_a_bad_line_is_refused_by_its_number_without_its_text(
    options: list[str], line: str, message: str, rayflow: Run
) -> None:
    rayflow("topics", "create", "orders")
    result = rayflow("topics", "write", "orders", *options, stdin=f'{{"user": "a"}}\n{line}\n')
    assert result.exit_code == 1
    assert log_lines(result.stderr)[-1]["message"] == message
    assert "secret" not in result.output
    assert records(rayflow("topics", "read", "orders")) == []


def test_an_unknown_topic_is_refused_by_name(rayflow: Run) -> None:
    for command in (["read"], ["write"], ["delete", "--yes"]):
        result = rayflow("topics", command[0], "missing", *command[1:], stdin="1\n")
        assert result.exit_code == 1
        assert log_lines(result.stderr)[-1]["code"] == "RF-3001"


def test_a_topic_is_not_created_twice(rayflow: Run) -> None:
    rayflow("topics", "create", "orders")
    assert log_lines(rayflow("topics", "create", "orders").stderr)[-1]["code"] == "RF-3010"


def test_the_broker_may_be_named(rayflow: Run) -> None:
    rayflow("topics", "create", "orders", "--broker", "embedded:elsewhere")
    assert rayflow("topics", "list").stdout == ""
    assert rayflow("topics", "list", "--broker", "embedded:elsewhere").stdout == "orders\t4\t0\n"
    assert rayflow("topics", "list", "--broker", "nonsense:x").exit_code == 2


def test_following_prints_new_records_until_it_is_interrupted(rayflow: Run, started: Callable[..., Any]) -> None:
    rayflow("topics", "create", "orders", "--partitions", "1")
    rayflow("topics", "write", "orders", stdin="1\n")
    reader = started("topics", "read", "orders", "--follow", "--from-start", "--format", "value")
    assert reader.stdout.readline() == "1\n"
    rayflow("topics", "write", "orders", stdin="2\n")
    assert reader.stdout.readline() == "2\n"
    reader.send_signal(2)
    assert reader.wait(timeout=30) == 0


def test_records_are_written_as_they_arrive(rayflow: Run, started: Callable[..., Any]) -> None:
    rayflow("topics", "create", "orders", "--partitions", "1")
    reader = started("topics", "read", "orders", "--follow", "--from-start", "--format", "value")
    writer = started("topics", "write", "orders", stdin=-1)
    writer.stdin.write("1\n")
    writer.stdin.flush()
    assert reader.stdout.readline() == "1\n"
    writer.communicate(timeout=30)
    assert writer.returncode == 0


def test_bytes_are_shown_as_json_text_or_base64() -> None:
    assert shown(None) is None
    assert shown(b'{"a": 1}') == {"a": 1}
    assert shown("größer".encode()) == "größer"
    assert shown(b"\xff\x00") == {"base64": "/wA="}


def test_files_that_are_only_read_are_listed_and_read_and_nothing_else(rayflow: Run, own_folder: Path) -> None:
    (own_folder / "prices.csv").write_text("item\npen\n")
    on_csv = ("--broker", "csv:")
    assert rayflow("topics", "list", *on_csv).stdout == "prices.csv\t1\t-\n"
    assert rayflow("topics", "read", "prices.csv", "--format", "value", *on_csv).stdout == '{"item":"pen"}\n'
    for command in (["create", "t"], ["delete", "prices.csv", "--yes"], ["write", "prices.csv"]):
        refused = rayflow("topics", *command, *on_csv, stdin="{}\n")
        assert refused.exit_code == 2
        (told,) = log_lines(refused.stderr)
        assert told["code"] == "RF-3015"
        assert told["message"].startswith("csv: topics can be read and listed, not ")
