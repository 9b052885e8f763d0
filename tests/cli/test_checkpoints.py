"""`rayflow checkpoints JOB` after a run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from rayflow.plan.compile import plan_of
from rayflow.plan.load import load_job
from rayflow.runtimes.hosting.options import RunOptions
from rayflow.runtimes.local.runtime import LocalRuntime
from tests.cli.conftest import JOBS, log_lines

Run = Callable[..., Result]
STORE = Path("rayflow-data/jobs/wordcount/checkpoints")


@pytest.fixture(autouse=True)
def after_a_run(own_folder: Path) -> None:
    plan = plan_of(load_job(str(JOBS / "wordcount.py")))
    LocalRuntime(plan, RunOptions(until_end=True, savepoint_at_stop="file:saved")).run()


@pytest.mark.parametrize("job", ["wordcount", str(JOBS / "wordcount.py")])
def test_checkpoints_are_listed_by_the_jobs_name_or_file(job: str, rayflow: Run) -> None:
    result = rayflow("checkpoints", job, "list")
    assert result.exit_code == 0, result.stderr
    (line,) = result.stdout.splitlines()
    assert line.split()[0] == "1"
    assert "attempt 1" in line


@pytest.mark.parametrize("command", ["list", "verify"])
def test_a_job_without_checkpoints_is_told_so_and_leaves_nothing_behind(
    command: str, rayflow: Run, own_folder: Path
) -> None:
    result = rayflow("checkpoints", "other", command)
    assert (result.exit_code, result.stdout) == (1, "")
    line = log_lines(result.stderr)[-1]
    assert line["code"] == "RF-4008"
    assert line["message"] == f"there are no checkpoints in file:{own_folder / 'rayflow-data/jobs/other/checkpoints'}"
    assert not (own_folder / "rayflow-data/jobs/other").exists()
    assert log_lines(rayflow("checkpoints", "other", "show").stderr)[-1]["code"] == "RF-4008"


def test_one_checkpoint_is_shown_with_its_tasks_and_positions(rayflow: Run) -> None:
    result = rayflow("checkpoints", "wordcount", "show")
    assert result.exit_code == 0, result.stderr
    for text in (
        "job        wordcount",
        "epoch      1",
        "task s1/0: ",
        "positions lines: ",
        "staged   sink-1: ",
    ):
        assert text in result.stdout
    assert rayflow("checkpoints", "wordcount", "show", "1").stdout == result.stdout
    assert rayflow("checkpoints", "wordcount", "show", "9").exit_code == 1


def test_a_savepoint_is_looked_at_by_its_uri(rayflow: Run) -> None:
    result = rayflow("checkpoints", "wordcount", "list", "--checkpoints", "file:saved")
    assert "savepoint" in result.stdout


def test_several_jobs_share_one_uri_for_their_checkpoints(rayflow: Run, own_folder: Path) -> None:
    Path("rayflow.toml").write_text('checkpoints = "file:shared/"\n')
    for name in ("wordcount", "other"):
        text = (JOBS / "wordcount.py").read_text().replace('rf.Job("wordcount")', f'rf.Job("{name}")')
        Path(f"{name}.py").write_text(text)
        result = rayflow("run", f"{name}.py", "--until-end", "--state", f"state-of-{name}")
        assert result.exit_code == 0, result.stderr
        assert f"job        {name}" in rayflow("checkpoints", name, "show").stdout
    assert sorted(path.name for path in Path("shared").iterdir()) == ["other", "wordcount"]


def test_a_sound_store_is_called_sound_and_a_flipped_bit_is_found(rayflow: Run) -> None:
    result = rayflow("checkpoints", "wordcount", "verify")
    assert (result.exit_code, result.stdout.startswith("verified: 1 checkpoint in file:")) == (0, True)
    segment = next(path for path in STORE.rglob("*.segment"))
    data = bytearray(segment.read_bytes())
    data[len(data) // 2] ^= 1
    segment.write_bytes(data)
    result = rayflow("checkpoints", "wordcount", "verify")
    assert result.exit_code == 1
    assert result.stdout.startswith(f"DAMAGED  {segment.relative_to(STORE)}: ")
    assert "(needed by epoch 1)" in result.stdout
