"""Every crash point of a small job is survived, they are counted, and each can be replayed."""

from __future__ import annotations

from collections import Counter
from functools import partial

import pytest
from click.testing import CliRunner

from rayflow.testing.simulate import main
from rayflow.testing.simulation.crashes import HOWS, TARGETS, Crash, CrashRun, How
from rayflow.testing.simulation.enumeration import PAIRS, parse_crashes, singles, total, try_pairs, try_single
from tests.simulation.mutants import MUTANTS

SMALLEST = TARGETS["smallest"]


def break_the_protocol(patch: pytest.MonkeyPatch) -> None:
    next(mutant for mutant in MUTANTS if mutant.name == "staged output dropped at recovery").apply(patch)


@pytest.mark.parametrize("name", TARGETS)
def test_a_target_goes_through_all_that_an_epoch_has(name: str) -> None:
    target = TARGETS[name]
    run = CrashRun(target)
    report = run.run()
    assert (report.attempts, report.records) == (1, target.records)
    assert report.epochs >= 2
    done = {step for _, _, step in run.steps[0].taken}
    assert {"ClaimAttempt", "WriteSegment", "manifest written", "publish committed", "base written"} <= done
    assert set(run.steps[0].counts) == {"coordinator", *(f"worker {slot}" for slot in range(target.workers[0]))}
    assert sum(run.steps[0].counts.values()) == len(run.steps[0].taken)


@pytest.mark.no_cover  # counting lines takes longer than running them; other tests go the same ways
@pytest.mark.slow
@pytest.mark.parametrize("how", HOWS)
def test_every_single_crash_of_the_smallest_job_is_survived(how: How) -> None:
    crashes = singles(SMALLEST, [how])
    assert len(crashes) == len(singles(SMALLEST)) / len(HOWS) > 100
    tried = total(map(partial(try_single, SMALLEST), crashes))
    assert tried.points == len(crashes)
    assert [failure.replay for failure in tried.failures] == []


@pytest.mark.no_cover  # counting lines takes longer than running them; other tests go the same ways
@pytest.mark.slow
@pytest.mark.parametrize("pair", PAIRS, ids=" then ".join)
def test_crashes_in_the_recovery_from_every_eighth_crash_of_the_smallest_job_are_survived(
    pair: tuple[How, How],
) -> None:
    first, second = pair
    crashes = singles(SMALLEST, [first])[::8]
    tried = total(try_pairs(SMALLEST, crash, second) for crash in crashes)
    assert tried.points > 15 * len(crashes)
    assert [failure.replay for failure in tried.failures] == []


@pytest.mark.parametrize("how", HOWS)
def test_a_crash_of_a_job_with_an_exchange_costs_one_attempt_or_two_if_a_zombie_commits(how: How) -> None:
    run = CrashRun(TARGETS["exchange-shrinks"], (Crash("worker 1", 40, how),))
    assert run.run().attempts == (3 if how == "suspend" else 2)
    assert set(run.steps[1].counts) == {"coordinator", "worker 0"}


def test_a_second_crash_happens_in_the_recovery_from_the_first() -> None:
    notes: list[tuple[str, str]] = []
    crashes = (Crash("worker 0", 32), Crash("coordinator", 5, "restart"))
    run = CrashRun(SMALLEST, crashes, on_note=lambda _, who, what: notes.append((who, what)))
    assert run.run().attempts == 3
    told = [(who, what.split()[0]) for who, what in notes if " before " in what]
    assert told == [("1/worker 0", "CRASH"), ("2/coordinator", "RESTART")]


def test_a_frozen_process_goes_on_while_the_next_attempt_runs_and_can_do_no_harm() -> None:
    notes: list[tuple[str, str]] = []
    run = CrashRun(SMALLEST, (Crash("worker 0", 50, "freeze"),), on_note=lambda _, who, what: notes.append((who, what)))
    assert run.run().attempts == 2
    freezes = next(at for at, (who, what) in enumerate(notes) if who == "1/worker 0" and what.startswith("FREEZE"))
    thaws = notes.index(("1/worker 0", "goes on as a zombie"))
    assert ("2/coordinator", "receives Started") in notes[freezes:thaws]
    assert Counter(who for who, _ in notes[freezes:thaws])["1/worker 0"] == 1
    assert Counter(who for who, _ in notes[thaws:])["1/worker 0"] > 1


def test_a_crash_that_is_never_reached_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"worker-0:5000 of attempt 1 is never reached"):
        CrashRun(SMALLEST, (Crash("worker 0", 5000),)).run()


def test_a_crash_that_is_not_survived_is_told_with_what_replays_it(monkeypatch: pytest.MonkeyPatch) -> None:
    break_the_protocol(monkeypatch)
    tried = (try_single(SMALLEST, crash) for crash in singles(SMALLEST, ["crash"]))
    failure = next(failure for one in tried for failure in one.failures)
    assert "pass: " in failure.message
    assert parse_crashes(failure.replay, TARGETS) == ("smallest", failure.crashes)
    result = CliRunner().invoke(main, ["--crash", failure.replay, "--trace"])
    assert result.exit_code == 1
    assert failure.message in result.output
    assert "CRASH before" in result.output


def test_the_command_counts_crash_points_and_fails_if_one_does(monkeypatch: pytest.MonkeyPatch) -> None:
    few = singles(SMALLEST, ["crash"])[60:61]
    monkeypatch.setattr("rayflow.testing.simulate.singles", lambda target: few)
    arguments = ["--enumerate", "--target", "smallest", "--jobs", "1"]
    result = CliRunner().invoke(main, [*arguments, "--pairs"])
    assert result.exit_code == 0, result.output
    assert "smallest: 1 runs (crash points), 0 failed" in result.output
    assert "(crash then crash), 0 failed" in result.output
    break_the_protocol(monkeypatch)
    few[:] = singles(SMALLEST, ["suspend"])[:60:3]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 1
    assert "--crash smallest:" in result.output


@pytest.mark.parametrize("text", ["nothing:worker-0:1", "smallest:worker-0", "smallest:worker-0:1:drown"])
def test_what_is_no_crash_is_refused(text: str) -> None:
    result = CliRunner().invoke(main, ["--crash", text])
    assert result.exit_code == 2
