"""A failing seed becomes a small case: few faults, a small job, and it still fails in the same way."""

from __future__ import annotations

import math

import pytest
from click.testing import CliRunner

from rayflow.testing.simulate import main
from rayflow.testing.simulation.shrinking import Case, CaseRun, Shrinker, kind_of
from rayflow.testing.simulation.simulation import Simulation, SimulationFailed
from tests.simulation.mutants import MUTANTS


def apply(name: str, patch: pytest.MonkeyPatch) -> None:
    next(mutant for mutant in MUTANTS if mutant.name == name).apply(patch)


def failing_seed() -> tuple[int, SimulationFailed]:
    """The first that fails of those whose runs are short."""
    for seed in range(400):
        drawn = Case.of_seed(seed)
        if drawn.records > 30 or drawn.seconds > 2:
            continue
        try:
            Simulation(seed).run()
        except SimulationFailed as error:
            return seed, error
    raise AssertionError("none of the seeds fails")


def test_a_case_that_lists_what_a_seed_drew_runs_as_the_seed_does() -> None:
    def trace(simulation: Simulation) -> list[tuple[float, str, str]]:
        notes: list[tuple[float, str, str]] = []
        simulation.on_note = lambda *note: notes.append(note)
        simulation.run()
        return notes

    drawn = CaseRun(Case.of_seed(5))
    expected = trace(Simulation(5))
    assert trace(drawn) == expected
    listed = Case.parse(Case.of_seed(5).text().replace('"faults":null', '"faults":[]'))
    assert trace(CaseRun(listed)) != expected
    again = CaseRun(Case.of_seed(5))
    assert again.listed.names == []
    trace(again)
    assert again.listed.names == drawn.listed.names != []


def test_a_failing_seed_shrinks_to_few_faults_and_a_small_job(monkeypatch: pytest.MonkeyPatch) -> None:
    apply("timers not in the checkpoint", monkeypatch)
    seed, error = failing_seed()
    sizes: list[tuple[float, ...]] = []
    shrunk = Shrinker(seed, most_runs=150, on_smaller=lambda case: sizes.append(case.size)).shrink()
    assert len(shrunk.smallest.faults or ()) <= 4
    assert shrunk.smallest.shape.stages == 1
    assert shrunk.smallest.records <= 30
    assert math.prod(shrunk.smallest.size) < math.prod(shrunk.original.size) / 10
    assert shrunk.smallest.size < shrunk.original.size
    assert shrunk.smallest.size in sizes
    assert shrunk.runs <= 150
    with pytest.raises(SimulationFailed) as smallest:
        CaseRun(Case.parse(shrunk.smallest.text())).run()
    assert str(smallest.value) == shrunk.message
    assert kind_of(smallest.value) == kind_of(error)
    monkeypatch.undo()
    CaseRun(shrunk.smallest).run()


def test_the_command_shrinks_a_seed_and_replays_what_it_came_to(monkeypatch: pytest.MonkeyPatch) -> None:
    apply("staged output dropped at recovery", monkeypatch)
    seed, _ = failing_seed()
    monkeypatch.setattr("rayflow.testing.simulate.MOST_RUNS", 40)
    result = CliRunner().invoke(main, ["--replay", str(seed), "--shrink"])
    assert result.exit_code == 1, result.output
    case = result.output.rpartition("--trace --case '")[2].strip().rstrip("'")
    replayed = CliRunner().invoke(main, ["--trace", "--case", case])
    assert replayed.exit_code == 1, replayed.output
    assert result.output.splitlines()[-2] in replayed.output


def test_a_seed_that_holds_has_nothing_to_shrink() -> None:
    result = CliRunner().invoke(main, ["--replay", "0", "--shrink"])
    assert result.exit_code == 2
    assert "seed 0 does not fail" in result.output


@pytest.mark.parametrize(
    "arguments",
    [["--shrink"], ["--trace"], ["--pairs"], ["--replay", "1", "--shrink", "--trace"], ["--case", "{}"]],
    ids=" ".join,
)
def test_options_that_do_not_go_together_are_refused(arguments: list[str]) -> None:
    assert CliRunner().invoke(main, arguments).exit_code == 2


def test_processes_give_the_same_in_the_same_order_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rayflow.testing.simulation.parallel.WORTH", 2)
    outputs = []
    for jobs in ("1", "2"):
        result = CliRunner().invoke(main, ["--seeds", "4", "--first", "100", "--jobs", jobs])
        assert result.exit_code == 0, result.output
        outputs.append([line.partition(";")[0] for line in result.output.splitlines() if line[:1].isalnum()])
    assert outputs[0] == outputs[1]
    assert outputs[0][0].startswith("4 exact")
