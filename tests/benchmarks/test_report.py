import json
from io import StringIO
from pathlib import Path
from xml.etree import ElementTree

import pytest
from rich.console import Console

from benchmarks.campaign import NoResult, Run
from benchmarks.chart import svg
from benchmarks.contenders import OWN
from benchmarks.figures import Figure, show
from benchmarks.figures import table as figure_table
from benchmarks.measure import Usage
from benchmarks.peers import PEERS
from benchmarks.report import ratio, summary, table, write_json
from benchmarks.workloads import BY_HAND, KAFKA_STREAMS, QUIX, RAYFLOW, WORKLOADS


def run(contender: str, number: int, microseconds: float, workload: str = "map") -> Run:
    """A run of a million records more, after a short one of 100 that took 2 s of CPU."""
    short, long = Usage(3.0, 2.0, 0, 0), Usage(8.0, 2.0 + microseconds, 50_000_000, 0)
    return Run(workload, contender, number, 1_000_000, 800_000, 100, short, long)


RESULTS: list[Run | NoResult] = [
    run(BY_HAND, 1, 4.0),
    run(RAYFLOW, 1, 5.0),
    run(KAFKA_STREAMS, 1, 10.0),
    run(BY_HAND, 2, 8.0),
    run(RAYFLOW, 2, 8.0),
    run(KAFKA_STREAMS, 2, 20.0),
    run(BY_HAND, 3, 4.0),
    run(RAYFLOW, 3, 3.0),
    run(KAFKA_STREAMS, 3, 10.0),
    NoResult("map", QUIX, "wrong\nrecord 7 is not the next total of its key"),
]
RUNS = [one for one in RESULTS if isinstance(one, Run)]


def text_of(shown: object) -> str:
    file = StringIO()
    Console(width=160, file=file).print(shown)
    return file.getvalue()


def test_a_record_costs_what_a_long_run_uses_more_than_a_short_one() -> None:
    assert RUNS[0].microseconds == pytest.approx(4.0)
    assert RUNS[0].rate == pytest.approx(200_000)


def test_start_up_is_what_does_not_grow_with_the_records() -> None:
    assert RUNS[0].start_up == pytest.approx(2.0 - 100 * 4.0e-6)


def test_ratios_are_taken_within_a_round() -> None:
    assert ratio(RUNS, "map", RAYFLOW, BY_HAND) == pytest.approx(1.0)
    assert ratio(RUNS, "map", RAYFLOW, KAFKA_STREAMS) == pytest.approx(0.4)
    assert ratio(RUNS, "map", RAYFLOW, QUIX) is None


def test_the_table_shows_costs_ratios_targets_and_who_gave_no_result() -> None:
    rows = [line.split("│") for line in text_of(table(RESULTS, "title")).splitlines() if "│" in line]
    cells = {row[2].strip(): [cell.strip() for cell in row] for row in rows}
    assert cells[BY_HAND][3:7] == ["4.00 (4.00)", "", "1.00", "<= 1.30"]
    assert cells[KAFKA_STREAMS][3:7] == ["10.00 (10.00)", "2.50", "0.40", "<= 0.80"]
    assert cells[QUIX][3] == "no result"


def test_the_file_says_what_ran_and_what_did_not(tmp_path: Path) -> None:
    file = tmp_path / "results" / "workloads.json"
    write_json(summary(RESULTS, {"missing": {"bytewax": "cannot be installed: no wheel"}}), file)
    found = json.loads(file.read_text())
    assert found["rayflow_over"]["map"][KAFKA_STREAMS] == {"ratio": 0.4, "at_most": 0.8}
    assert [one["contender"] for one in found["no_result"]] == [QUIX]
    assert found["missing"] == {"bytewax": "cannot be installed: no wheel"}
    assert len(found["runs"]) == len(RUNS)


def test_the_chart_is_a_picture_with_a_bar_for_every_contender() -> None:
    picture = ElementTree.fromstring(svg(RUNS, "title <1>"))
    bars = [one for one in picture.iter("{http://www.w3.org/2000/svg}rect") if one.get("x")]
    widths = [float(bar.attrib["width"]) for bar in bars]
    assert len(widths) == 3
    assert max(widths) == widths[2]
    assert widths[1] == pytest.approx(widths[2] * 0.4, abs=0.1)


def test_every_contender_takes_part_in_workloads_that_there_are() -> None:
    contenders = [*OWN, *PEERS.values()]
    names = {contender.name for contender in contenders}
    for contender in contenders:
        assert contender.answers.keys() <= WORKLOADS.keys()
    for workload in WORKLOADS.values():
        assert workload.at_most.keys() <= names


def test_a_figure_that_misses_its_target_is_shown_beside_it(tmp_path: Path) -> None:
    figures = [Figure("pause", 61.23, "ms", 50.0), Figure("rows", 1234.4, "")]
    text = text_of(figure_table("title", figures))
    assert "61.2 ms" in text
    assert "<= 50 ms" in text
    assert "1,234" in text
    show("title", figures, tmp_path / "figures.json", {"keys": 5})
    found = json.loads((tmp_path / "figures.json").read_text())
    assert found["keys"] == 5
    assert found["figures"][0] == {"name": "pause", "value": 61.23, "unit": "ms", "at_most": 50.0}
