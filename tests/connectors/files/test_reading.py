"""Files as sources, besides the contract."""

from __future__ import annotations

import csv
import io
import json
import os
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rayflow.connectors.base import Reader, Source
from rayflow.connectors.files import csv_rows
from rayflow.connectors.files import reader as reading
from rayflow.connectors.files.connector import CsvConnector, JsonLinesConnector
from rayflow.core.errors import DecodeFailed, SourceDataLost, UnknownTopic
from rayflow.core.ids import TopicPartition


def reader_of(connector: Source, topic: str, position: int | None = None, partition: int = 0) -> Reader:
    reader = connector.reader("g")
    reader.assign({TopicPartition(topic, partition): position})
    return reader


def values(reader: Reader, at_once: int = 1_000) -> list[bytes]:
    """All records that are there now."""
    found: list[bytes] = []
    while polled := reader.poll(at_once, 0.0):
        found += [value for one in polled for value in one.batch.values]
    return found


def end(reader: Reader) -> int:
    (position,) = reader.ends().values()
    return position


def test_a_line_that_is_still_being_written_is_not_there_yet(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    file.write_bytes(b'{"n":1}\n{"n":')
    reader = reader_of(JsonLinesConnector(tmp_path), "a.jsonl")
    assert end(reader) == 8
    assert values(reader) == [b'{"n":1}']
    file.write_bytes(b'{"n":1}\n{"n":22}')
    assert values(reader) == []
    file.write_bytes(b'{"n":1}\n{"n":22}\n')
    assert values(reader) == [b'{"n":22}']
    assert end(reader) == 17


def test_a_last_line_without_a_newline_belongs_to_a_bounded_run(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b'{"n":1}\n{"n":2}')
    reader = reader_of(JsonLinesConnector(tmp_path), "a.jsonl")
    assert end(reader) == 15
    assert values(reader) == [b'{"n":1}', b'{"n":2}']
    (tmp_path / "a.jsonl").write_bytes(b'{"n":1}\n{"n":2}\n{"n":3}\n')
    assert values(reader) == [b'{"n":3}']


def test_a_last_record_that_grew_after_it_was_read_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("a,b\n1,2")
    reader = reader_of(CsvConnector(tmp_path), "a.csv")
    assert end(reader) == 7
    assert values(reader) == [b'{"a":"1","b":"2"}']
    (tmp_path / "a.csv").write_text("a,b\n1,234\n")
    with pytest.raises(SourceDataLost):
        values(reader)


def test_blank_lines_and_carriage_returns_are_no_records(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b'\r\n{"n":1}\r\n\n\n{"n":2}\n\n')
    reader = reader_of(JsonLinesConnector(tmp_path), "a.jsonl")
    (one,) = reader.poll(10, 0.0)
    assert one.batch.values == [b'{"n":1}', b'{"n":2}']
    assert one.batch.offsets == [2, 13]
    assert one.next_position == end(reader) == 22


def test_a_record_longer_than_a_chunk_is_read_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "_CHUNK", 4)
    lines = [json.dumps({"n": "x" * size}).encode() for size in (0, 100, 1, 3000, 5)]
    (tmp_path / "a.jsonl").write_bytes(b"\n".join(lines))
    reader = reader_of(JsonLinesConnector(tmp_path), "a.jsonl")
    assert end(reader) == sum(map(len, lines)) + 4
    assert values(reader) == lines


def test_a_record_without_an_end_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "_CHUNK", 4)
    monkeypatch.setattr(reading, "_LONGEST", 100)
    (tmp_path / "a.jsonl").write_bytes(b"x" * 1000)
    reader = reader_of(JsonLinesConnector(tmp_path), "a.jsonl")
    with pytest.raises(DecodeFailed, match=r"a\.jsonl"):
        values(reader)


def test_records_have_the_time_at_which_the_file_changed(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b"1\n2\n")
    os.utime(tmp_path / "a.jsonl", ns=(0, 1_700_000_000_123_000_000))
    (one,) = reader_of(JsonLinesConnector(tmp_path), "a.jsonl").poll(10, 0.0)
    assert one.batch.timestamps == [1_700_000_000_123] * 2
    assert one.batch.keys == [None, None]


def test_a_topic_is_a_file_a_directory_or_a_pattern(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    for name in ("d/b.jsonl", "d/a.jsonl", "d/.hidden.jsonl", "d/c.txt", "top.jsonl"):
        (tmp_path / name).write_bytes(b'"%s"\n' % name.encode())
    files = JsonLinesConnector(tmp_path)
    assert [(info.name, info.partitions) for info in files.topics()] == [("d", 2), ("top.jsonl", 1)]
    for topic, partitions in (("d", 2), ("d/*", 3), ("**/*.jsonl", 3), (str(tmp_path / "top.jsonl"), 1)):
        assert files.partitions(topic) == partitions
    assert values(reader_of(files, "d", partition=1)) == [b'"d/b.jsonl"']
    (tmp_path / "empty").mkdir()
    for topic in ("empty", "none", "none/*"):
        with pytest.raises(UnknownTopic, match=str(tmp_path)):
            files.partitions(topic)


def test_a_file_that_became_shorter_has_lost_data(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    file.write_bytes(b"1\n2\n3\n")
    reader = reader_of(JsonLinesConnector(tmp_path), "a.jsonl")
    assert values(reader) == [b"1", b"2", b"3"]
    file.write_bytes(b"1\n")
    with pytest.raises(SourceDataLost):
        reader.poll(10, 0.0)
    with pytest.raises(SourceDataLost):
        reader_of(JsonLinesConnector(tmp_path), "a.jsonl", 6)


def test_a_file_that_was_written_anew_has_lost_data(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b"100000\n200000\n")
    with pytest.raises(SourceDataLost):
        reader_of(JsonLinesConnector(tmp_path), "a.jsonl", 4).poll(10, 0.0)


def test_a_file_that_is_gone_is_an_unknown_topic(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b"1\n")
    reader = reader_of(JsonLinesConnector(tmp_path), "a.jsonl")
    (tmp_path / "a.jsonl").unlink()
    with pytest.raises(UnknownTopic):
        reader.poll(10, 0.0)


@pytest.mark.parametrize("partition", [-1, 1])
def test_a_partition_is_one_of_the_files(tmp_path: Path, partition: int) -> None:
    (tmp_path / "a.jsonl").write_bytes(b"1\n")
    with pytest.raises(UnknownTopic, match="There is no such file, only 1"):
        reader_of(JsonLinesConnector(tmp_path), "a.jsonl", partition=partition)


def test_rows_become_objects_by_the_names_of_the_header(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(
        b'\xef\xbb\xbfid,"the ""name""",note\r\n1,"x, y","two\nlines"\r\n\r\n2,\xc3\xa9\n3,a,b,c,d\n'
    )
    reader = reader_of(CsvConnector(tmp_path), "a.csv")
    assert list(map(json.loads, values(reader))) == [
        {"id": "1", 'the "name"': "x, y", "note": "two\nlines"},
        {"id": "2", 'the "name"': "é"},
        {"id": "3", 'the "name"': "a", "note": "b", "": ["c", "d"]},
    ]


def test_a_csv_file_with_only_a_header_is_read_to_its_end(tmp_path: Path) -> None:
    for content in ("a,b\n", "a,b"):
        (tmp_path / "a.csv").write_text(content)
        reader = reader_of(CsvConnector(tmp_path), "a.csv")
        assert end(reader) == len(content)
        (one,) = reader.poll(10, 0.0)
        assert (len(one.batch), one.next_position) == (0, len(content))


def test_a_header_that_is_still_being_written_is_not_there_yet(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("a,lo")
    reader = reader_of(CsvConnector(tmp_path), "a.csv")
    assert values(reader) == []
    (tmp_path / "a.csv").write_text("a,long\n1,2\n")
    assert values(reader) == [b'{"a":"1","long":"2"}']


def test_a_row_whose_quotes_are_open_waits_for_the_rest(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('a,b\n1,2\n3,"x\n')
    reader = reader_of(CsvConnector(tmp_path), "a.csv")
    assert values(reader) == [b'{"a":"1","b":"2"}']
    (tmp_path / "a.csv").write_text('a,b\n1,2\n3,"x\ny"\n')
    assert values(reader) == [b'{"a":"3","b":"x\\ny"}']


def test_a_bounded_run_refuses_a_file_that_ends_within_quotes(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('a,b\n1,2\n3,"x\n')
    reader = reader_of(CsvConnector(tmp_path), "a.csv")
    end(reader)
    assert len(reader.poll(10, 0.0)[0].batch) == 1
    with pytest.raises(DecodeFailed, match="middle of a record"):
        reader.poll(10, 0.0)


def test_an_unfinished_last_row_with_too_few_columns_is_not_counted(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("a,b\n1,2\n3")
    reader = reader_of(CsvConnector(tmp_path), "a.csv")
    assert end(reader) == 8
    assert values(reader) == [b'{"a":"1","b":"2"}']


@pytest.mark.parametrize("content", [b"a\n\xff\xfe\n", b'a\n"' + b"x" * 200_000 + b'"\n'])
def test_what_is_no_csv_is_refused_by_name(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.csv").write_bytes(content)
    with pytest.raises(DecodeFailed, match=r"a\.csv"):
        values(reader_of(CsvConnector(tmp_path), "a.csv"))


CELL = st.text(alphabet='a",\n\r é;', max_size=6)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
@given(
    st.lists(st.lists(CELL, min_size=2, max_size=2), max_size=12), st.integers(1, 60), st.sampled_from(["\n", "\r\n"])
)
def test_any_rows_come_back_from_every_position(
    tmp_path: Path, rows: list[list[str]], chunk: int, terminator: str
) -> None:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator=terminator, quoting=csv.QUOTE_ALL).writerows([["k", "v"], *rows])
    (tmp_path / "a.csv").write_bytes(text.getvalue().encode())
    expected = [{"k": row[0], "v": row[1]} for row in rows]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reading, "_CHUNK", chunk)
        reader = reader_of(CsvConnector(tmp_path), "a.csv")
        polled = []
        while one := reader.poll(3, 0.0):
            polled += one
        assert [json.loads(value) for one in polled for value in one.batch.values] == expected
        offsets = [offset for one in polled for offset in one.batch.offsets]
        assert polled[-1].next_position == end(reader)
        for n, offset in enumerate(offsets):
            assert list(map(json.loads, values(reader_of(CsvConnector(tmp_path), "a.csv", offset)))) == expected[n:]


def test_a_header_that_was_read_unfinished_is_read_again(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("a,lo")
    reader = reader_of(CsvConnector(tmp_path), "a.csv")
    assert end(reader) == 4
    (tmp_path / "a.csv").write_text("a,long\n1,2\n")
    assert values(reader) == [b'{"a":"1","long":"2"}']


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", 0),
        (b"a", 1),
        (b"a,b\n1,2\n\xff", 8),
        (b"a,b\n1,2\n\xff,\xff", 8),
        (b"a,b\n1,2\r3,4", 4),
        (b"a,b\n1,2,3", 9),
    ],
)
def test_only_a_last_row_that_looks_complete_belongs_to_a_bounded_run(
    tmp_path: Path, content: bytes, expected: int
) -> None:
    (tmp_path / "a.csv").write_bytes(content)
    assert end(reader_of(CsvConnector(tmp_path), "a.csv")) == expected


def test_a_header_without_an_end_is_looked_for_in_the_first_bytes_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(csv_rows, "_HEADER_BYTES", 8)
    (tmp_path / "a.csv").write_bytes(b"a,b\n1,2\n3,4")
    reader = reader_of(CsvConnector(tmp_path), "a.csv")
    assert end(reader) == 11
    assert values(reader) == [b'{"a":"1","b":"2"}', b'{"a":"3","b":"4"}']


@pytest.mark.parametrize(("content", "expected"), [(b"\n{", 1), (b"\n1", 2), (b"{", 0), (b"1", 1), (b"1\n", 2)])
def test_only_a_last_line_that_looks_complete_belongs_to_a_bounded_run(
    tmp_path: Path, content: bytes, expected: int
) -> None:
    (tmp_path / "a.jsonl").write_bytes(content)
    assert end(reader_of(JsonLinesConnector(tmp_path), "a.jsonl")) == expected


def test_a_record_may_be_as_long_as_the_limit_and_no_longer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(reading, "_CHUNK", 4)
        patch.setattr(reading, "_LONGEST", 64)
        (tmp_path / "a.jsonl").write_bytes(b"x" * 63 + b"\n")
        assert values(reader_of(JsonLinesConnector(tmp_path), "a.jsonl")) == [b"x" * 63]
        (tmp_path / "a.jsonl").write_bytes(b"x" * 64 + b"\n")
        with pytest.raises(DecodeFailed, match="longer than 64 bytes"):
            values(reader_of(JsonLinesConnector(tmp_path), "a.jsonl"))
    with (tmp_path / "b.jsonl").open("wb") as file:
        file.truncate(65 << 20)
    with pytest.raises(DecodeFailed, match=f"longer than {64 << 20} bytes"):
        values(reader_of(JsonLinesConnector(tmp_path), "b.jsonl"))


@pytest.mark.parametrize("partition", [-1, 2])
def test_a_partition_outside_of_the_topic_is_refused(tmp_path: Path, partition: int) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.jsonl").write_bytes(b"1\n")
    with pytest.raises(UnknownTopic, match="only 2"):
        reader_of(JsonLinesConnector(tmp_path), "*.jsonl", partition=partition)


@pytest.mark.parametrize("position", [-1, 5])
def test_a_position_outside_of_the_file_is_refused(tmp_path: Path, position: int) -> None:
    (tmp_path / "a.jsonl").write_bytes(b"1\n2\n")
    with pytest.raises(SourceDataLost, match="shorter"):
        reader_of(JsonLinesConnector(tmp_path), "a.jsonl", position)


@pytest.mark.parametrize("count", [2, 3])
def test_each_poll_starts_with_the_file_after_the_one_that_the_last_poll_started_with(
    tmp_path: Path, count: int
) -> None:
    for n in range(count):
        (tmp_path / f"{n}.jsonl").write_bytes(b"1\n" * 100)
    reader = JsonLinesConnector(tmp_path).reader("g")
    reader.assign({TopicPartition("*.jsonl", n): None for n in range(count)})
    first = [reader.poll(5, 0.0)[0].batch.origin.partition for _ in range(2 * count)]
    assert first == [*range(count)] * 2


def test_a_poll_that_is_filled_by_one_file_gives_nothing_of_the_others(tmp_path: Path) -> None:
    for n in range(3):
        (tmp_path / f"{n}.jsonl").write_bytes(b"1\n" * 10)
    reader = JsonLinesConnector(tmp_path).reader("g")
    reader.assign({TopicPartition("*.jsonl", n): None for n in range(3)})
    polls = [reader.poll(at_once, 0.0) for at_once in (10, 14, 10, 10)]
    found = [[(one.batch.origin.partition, one.batch.offsets[0], len(one.batch)) for one in polled] for polled in polls]
    assert found == [[(0, 0, 10)], [(1, 0, 10), (2, 0, 4)], [(2, 8, 6)], []]
    reader.close()
    assert reader.poll(10, 0.0) == []
    assert reader.ends() == {}


def test_a_poll_waits_in_short_pauses_and_gives_what_has_come(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "a.jsonl"
    file.write_bytes(b"")
    reader = reader_of(JsonLinesConnector(tmp_path), "a.jsonl")
    pauses: list[float] = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 3:
            file.write_bytes(b"1\n")

    monkeypatch.setattr(time, "sleep", pause)
    assert [one.batch.values for one in reader.poll(10, 5.0)] == [[b"1"]]
    assert len(pauses) == 3
    assert all(0 < seconds < 0.1 for seconds in pauses)
    pauses.clear()
    began = time.monotonic()
    assert reader.poll(10, 0.05) == []
    assert time.monotonic() - began >= 0.05
    assert pauses
    pauses.clear()
    assert reader.poll(10, 0.0) == []
    assert pauses == []


def test_hidden_folders_and_folders_that_look_like_files_are_no_topics(tmp_path: Path) -> None:
    for name in (".hidden", "d", "d/dir.jsonl", "dir.jsonl"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.jsonl").write_bytes(b"1\n")
    files = JsonLinesConnector(tmp_path)
    assert [(info.name, info.partitions) for info in files.topics()] == [("d", 1), ("dir.jsonl", 1)]
    assert files.partitions("d") == 1
    assert files.partitions("d/*") == 1
    assert files.check() == f"2 topics of .jsonl files in {tmp_path}"
    assert JsonLinesConnector(tmp_path / "none").topics() == []
