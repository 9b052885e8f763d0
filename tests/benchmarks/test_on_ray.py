"""The benchmarks of the Ray runtime: what counts as whose CPU, and what the figures are compared with."""

from __future__ import annotations

import asyncio
from io import StringIO

import pytest
from click.testing import CliRunner
from msgspec.structs import replace
from rich.console import Console

from benchmarks import frames, ray_usage
from benchmarks.__main__ import main, taking_part
from benchmarks.campaign import NoResult, Run
from benchmarks.frames import Costs, figures_of, through
from benchmarks.measure import Usage
from benchmarks.ray_report import ray_summary, ray_table
from benchmarks.ray_usage import COORDINATOR, WORKER, RayTree, RayUsage
from benchmarks.workloads import RAYFLOW
from rayflow.runtimes.hosting.channels.outgoing import FRAME, Frame, decode_frame

Stats = dict[int, tuple[str, str, float]]


@pytest.fixture
def stats(monkeypatch: pytest.MonkeyPatch) -> Stats:
    """Name, state and CPU seconds of the processes that a tree sees; all lie below process 1."""
    found: Stats = {}
    monkeypatch.setattr(ray_usage, "stat", lambda pid: found.get(pid, ("", "", 0.0)))
    monkeypatch.setattr(ray_usage, "children", lambda pid: [each for each in found if each != 1] if pid == 1 else [])
    monkeypatch.setattr(ray_usage, "private_memory_of", lambda pid: 100)
    return found


def test_an_actor_counts_from_when_its_process_became_one(stats: Stats) -> None:
    tree = RayTree(1)
    stats.update(
        {1: ("python", "S", 1.0), 2: ("ray::IDLE", "S", 2.0), 3: ("ray::IDLE", "S", 2.5), 4: ("raylet", "S", 0.5)}
    )
    tree.walk()
    tree.look(0.0)
    stats.update({2: (WORKER, "R", 2.25), 3: (COORDINATOR, "R", 2.75)})
    tree.look(1.0)
    stats.update({2: (WORKER, "R", 5.0), 3: (COORDINATOR, "R", 3.0), 4: ("raylet", "S", 0.75)})
    assert tree.walk() == 100
    tree.look(3.0)
    assert (tree.cpu(WORKER), tree.cpu(COORDINATOR), tree.others) == (3.0, 0.5, 0.25)
    assert (tree.began, tree.ended) == (1.0, 0.0)


def test_a_process_that_has_ended_counts_once_and_ray_after_it_no_more(stats: Stats) -> None:
    tree = RayTree(1)
    stats.update({1: ("python", "S", 1.0), 2: ("ray::IDLE", "S", 2.0)})
    tree.walk()
    tree.look(0.0)
    stats[2] = WORKER, "R", 3.0
    tree.look(1.0)
    stats[2] = WORKER, "Z", 4.0
    tree.look(2.0)
    stats[1] = "python", "S", 9.0
    tree.walk()  # still listed, as a zombie is
    tree.look(3.0)
    assert (tree.cpu(WORKER), tree.others) == (2.0, 0.0)
    assert (tree.began, tree.ended) == (1.0, 2.0)


def runs_of(microseconds: float) -> list[Run | NoResult]:
    """One round of `shuffle`: 6 us in one process, so many on Ray."""
    local = Run("shuffle", RAYFLOW, 1, 1_000_000, 9, 100, Usage(1.0, 1.0, 0, 0), Usage(7.0, 7.0, 0, 0))
    short = RayUsage(1.0, 1.0, 0, 0, 0.1, 0.1)
    results: list[Run | NoResult] = [local]
    for workers, wall in ((1, 9.0), (2, 5.0)):
        long = RayUsage(wall, 1.0 + microseconds, 0, 0, wall / 10, wall / 20)
        results.append(Run("shuffle", f"ray-{workers}", 1, 1_000_000, 9, 100, short, long))
    return results


def test_the_table_shows_the_share_of_one_process_its_target_and_what_a_second_worker_brings() -> None:
    file = StringIO()
    Console(width=160, file=file).print(ray_table([*runs_of(8.0), NoResult("map", "ray-2", "it broke")], "title"))
    row = next(line for line in file.getvalue().splitlines() if "ray-2" in line)
    cells = [cell.strip() for cell in row.split("│")[1:-1]]
    assert cells == ["shuffle", "ray-2", "8.00 (8.00)", "0.75", ">= 0.60", "250,000", "2.00", "0.050", "0.100", "0"]
    assert "no result" in file.getvalue()


def test_the_file_has_shares_and_targets() -> None:
    facts = ray_summary(runs_of(12.0), {"rounds": 1})
    assert facts["of_local"]["shuffle"]["ray-2"] == {"share": 0.5, "at_least": 0.6}
    assert facts["runs"][2]["long"]["others"] == 0.25


def test_one_process_takes_part_and_ray_with_each_number_of_workers() -> None:
    assert [each.name for each in taking_part("ray", (1, 2), (), None)] == [RAYFLOW, "ray-1", "ray-2"]


@pytest.mark.parametrize("flags", [["--workers", "0"], ["--workers", "1,x"], ["--runtime", "ray", "--only", RAYFLOW]])
def test_what_makes_no_sense_is_refused(flags: list[str]) -> None:
    assert CliRunner().invoke(main, flags).exit_code == 2


def test_what_goes_through_frames_comes_out_and_each_part_costs_something() -> None:
    costs = asyncio.run(through(4_000, 100))
    assert costs.records == 4_000
    assert costs.size > costs.frames * FRAME > 0
    assert min(costs.encode, costs.socket, costs.decode) > 0


def test_other_records_than_went_in_are_no_result(monkeypatch: pytest.MonkeyPatch) -> None:
    def without_the_first(data: bytes) -> Frame:
        frame = decode_frame(data)
        return replace(frame, events=frame.events[1:])

    monkeypatch.setattr(frames, "decode_frame", without_the_first)
    with pytest.raises(ValueError, match="other records"):
        asyncio.run(through(4_000, 100))


def test_costs_are_told_by_frame_and_by_record() -> None:
    costs = Costs(encode=1.0, socket=2.0, decode=5.0, frames=4, records=1_000, size=8_192)
    figures = figures_of(100, costs)
    assert [figure.value for figure in figures] == [250_000, 500_000, 1_250_000, 2_000_000, 8_000]
    assert [figure.name.partition(": ")[2] for figure in figures] == [
        *("encode", "socket", "decode", "a frame of 2 KiB", "a record of 8 bytes")
    ]
