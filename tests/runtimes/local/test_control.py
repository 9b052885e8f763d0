"""A run in one process, seen and steered by the socket in its job's folder."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

import rayflow as rf
from rayflow.checkpoint.manifest import newest_manifest, read_savepoint
from rayflow.checkpoint.open import open_store
from rayflow.core.errors import (
    InvalidSetting,
    JobNotFound,
    ObjectExists,
    RayflowError,
    StateDirectoryMismatch,
    UserFunctionFailed,
    VersionMismatch,
    WorkerLost,
)
from rayflow.core.logging import configure_logging
from rayflow.runtimes.hosting.status import JobStatus
from rayflow.runtimes.local import protocol
from rayflow.runtimes.local.control import LocalJob, local_job, local_jobs
from rayflow.runtimes.local.server import CLIENTS
from rayflow.runtimes.local.sockets import connect, holder_of
from rayflow.runtimes.machine.journal import Journal
from tests.e2e.brokers import Broker
from tests.e2e.jobs import counts
from tests.e2e.running import Running, run
from tests.kafka.client import until

ROOT = Path(__file__).parents[3]
WORDS = [("a", "x"), ("b", "y"), ("c", "x")]


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    broker = Broker(f"embedded:{tmp_path / 'log'}", tag="")
    broker.create("in", 3)
    broker.append("in", WORDS)
    yield broker
    broker.close()


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


@contextmanager
def counting(broker: Broker, state: Path, **options: Any) -> Iterator[tuple[Running, LocalJob]]:
    """The job `counts`, once it has read everything, and its control."""
    with Running(counts(broker), broker, state, **options) as running:
        running.until(lambda status: status.records_in >= 3 and status.epoch > 0)
        yield running, local_job(state, "counts")


def test_its_status_is_the_one_that_it_shows_itself(broker: Broker, state: Path) -> None:
    with counting(broker, state) as (running, job):
        status = until(lambda: (found := job.status()).records_out >= 3 and found, 30)
        assert (status.name, status.state, status.runtime, status.pid) == ("counts", "running", "local", os.getpid())
        assert (status.records_in, status.errors, status.rows, status.attempts) == (3, 0, 2, 1)
        assert status.broker == broker.url
        assert status.stages == {"s1": 3, "s2": 3}
        (worker,) = status.workers
        assert len(worker.tasks) == 6
        assert worker.memory > 0
        shown = running.progress
        assert (shown.name, shown.since, shown.checkpoints) == (status.name, status.since, status.checkpoints)


def test_only_its_owner_can_reach_it(broker: Broker, state: Path) -> None:
    folder = state / "jobs" / "counts"
    with counting(broker, state):
        modes = {path: stat.S_IMODE((folder / path).lstat().st_mode) for path in (".", "lock", "control")}
        assert modes == {".": 0o700, "lock": 0o600, "control": 0o700}
        assert stat.S_IMODE((folder / "control" / "socket").lstat().st_mode) == 0o600
        (folder / "control").chmod(0o755)
        with pytest.raises(StateDirectoryMismatch, match="not private to this user"):
            local_job(state, "counts")
        assert local_jobs(state) == []
        (folder / "control").chmod(0o700)
        assert [job.name for job in local_jobs(state)] == ["counts"]


def test_no_link_is_followed_to_it(broker: Broker, state: Path, tmp_path: Path) -> None:
    with counting(broker, state):
        other = tmp_path / "other" / "jobs" / "counts"
        other.mkdir(parents=True)
        (other / "control").symlink_to(state / "jobs" / "counts" / "control")
        with pytest.raises(JobNotFound):
            local_job(tmp_path / "other", "counts")
        (other / "control").unlink()
        (other / "control").mkdir(0o700)
        (other / "control" / "socket").symlink_to(state / "jobs" / "counts" / "control" / "socket")
        with pytest.raises(StateDirectoryMismatch):
            local_job(tmp_path / "other", "counts")


def test_a_path_longer_than_an_address_may_be_works(broker: Broker, tmp_path: Path) -> None:
    long = tmp_path / ("deep" * 30) / ("deeper" * 30)
    assert len(str(long)) > 200
    with counting(broker, long) as (_, job):
        assert job.status().state == "running"
        assert job.stop().state == "stopped"


def test_a_name_that_leads_elsewhere_is_no_job(state: Path) -> None:
    for name in ("../counts", "..", "", "a/b"):
        with pytest.raises(JobNotFound):
            local_job(state, name)


def test_a_savepoint_of_a_running_job_is_its_next_checkpoint(broker: Broker, state: Path, tmp_path: Path) -> None:
    uri = f"file:{tmp_path / 'savepoint'}"
    with Running(counts(broker), broker, state, checkpoint_interval=3_600_000) as running:
        running.until(lambda status: status.records_in == 3)
        job = local_job(state, "counts")
        epoch = job.savepoint(uri)
        assert epoch == 1
        assert read_savepoint(open_store(uri)).epoch == epoch
        with pytest.raises(ObjectExists) as raised:
            job.savepoint(uri)
        assert raised.value.advice == "Choose another URI"
        with pytest.raises(InvalidSetting):
            job.savepoint("nothing:at/all")
        assert job.status().state == "running"
    broker.append("in", WORDS)
    run(counts(broker), broker, tmp_path / "other", from_savepoint=uri)
    assert broker.by_key("out") == {"x": [1, 2, 3, 4], "y": [1, 2]}


def test_a_stop_takes_a_last_checkpoint_and_frees_the_name(broker: Broker, state: Path, tmp_path: Path) -> None:
    uri = f"file:{tmp_path / 'savepoint'}"
    with counting(broker, state) as (running, job):
        status = job.stop(savepoint=uri, timeout=60)
        assert (status.state, status.records_in) == ("stopped", 3)
        assert holder_of(state / "jobs" / "counts") is None
        assert running.finish().state == "stopped"
    newest = newest_manifest(open_store(f"file:{state / 'jobs' / 'counts' / 'checkpoints'}"))
    assert newest is not None
    assert newest.epoch == status.epoch == read_savepoint(open_store(uri)).epoch
    assert broker.by_key("out") == {"x": [1, 2], "y": [1]}
    for asked in (job.status, job.stop, job.remove, job.logs):
        with pytest.raises(JobNotFound):
            asked()


def windows() -> rf.Job:
    """Counts words by the minute; no watermark closes the only window."""
    job = rf.Job("windows")
    words = job.stream("in", value=str, timestamp=lambda word: 1_000, watermark=rf.bounded(seconds=5))
    words.key_by(lambda word: word).window(rf.tumbling(minutes=1)).count().to("per-minute")
    return job


def test_a_drain_fires_every_window_first(broker: Broker, state: Path) -> None:
    with Running(windows(), broker, state) as running:
        running.until(lambda status: status.records_in == 3)
        assert local_job(state, "windows").stop(drain=True, timeout=60).state == "done"
    assert broker.by_key("per-minute") == {"x": [2], "y": [1]}


def test_a_drain_replaces_a_stop_that_waits_for_an_epoch(broker: Broker, state: Path) -> None:
    asked: list[str] = []

    def on_step(name: str) -> None:
        """In the first epoch after all records were read: a stop, and turns later, in the same epoch, a drain."""
        if not asked and name == "before WriteManifest" and running.progress.records_in == 3:
            asked.append("stop")
            running.runtime._requests.stop()
        elif asked == ["stop"] and name == "before CommitEpoch":
            asked.append("drain")
            running.runtime._requests.stop(drain=True)

    with Running(windows(), broker, state, on_step=on_step) as running:
        running.until(lambda status: status.records_in == 3)
        broker.append("in", WORDS)
        assert running.finish().state == "done"
    assert asked == ["stop", "drain"]
    assert broker.by_key("per-minute") == {"x": [4], "y": [2]}


def test_a_drain_that_comes_after_the_last_barrier_is_told_that_the_job_stopped(broker: Broker, state: Path) -> None:
    injected, go_on = threading.Event(), threading.Event()

    def on_step(name: str) -> None:
        if name == "after InjectBarrier":
            injected.set()
            assert go_on.wait(60)

    with Running(windows(), broker, state, on_step=on_step, checkpoint_interval=3_600_000) as running:
        running.until(lambda status: status.records_in == 3)
        running.runtime.stop()
        assert injected.wait(60)
        with connect(state / "jobs" / "windows", "windows", 10) as late:
            late.sendall(protocol.pack(protocol.StopRun(drain=True, savepoint=None, wait=True)))
            until(lambda: len(running.runtime._requests._posted) > 0, 30)
            go_on.set()
            answer = protocol.read_answer(answer_on(late))
        assert isinstance(answer, protocol.StatusAnswer)
        assert answer.status.state == running.finish().state == "stopped"
    assert broker.read("per-minute") == []


def test_a_request_to_stop_is_not_waited_for_and_the_end_is(broker: Broker, state: Path) -> None:
    with counting(broker, state) as (_, job):
        seen: list[JobStatus] = []
        watcher = threading.Thread(target=lambda: seen.extend(job.watch(every=0.05)))
        watcher.start()
        until(lambda: len(seen) > 2, 30)
        job.ask_to_stop()
        watcher.join(60)
        assert [status.state for status in (seen[0], seen[-1])] == ["running", "stopped"]
        assert seen[-1].records_in == 3


def test_an_end_at_once_takes_no_last_checkpoint_and_loses_nothing(broker: Broker, state: Path) -> None:
    with Running(counts(broker), broker, state, checkpoint_interval=3_600_000) as running:
        running.until(lambda status: status.records_in == 3)
        local_job(state, "counts").remove()
        assert running.finish().state == "stopped"
    assert newest_manifest(open_store(f"file:{state / 'jobs' / 'counts' / 'checkpoints'}")) is None
    run(counts(broker), broker, state)
    assert broker.by_key("out") == {"x": [1, 2], "y": [1]}


def test_who_waits_is_told_what_the_job_fails_with(broker: Broker, state: Path) -> None:
    job = rf.Job("failing")
    job.stream("in", value=str).map(lambda word: int(word) if word == "poison" else word).to("out")
    raised: list[RayflowError] = []
    ends: list[JobStatus] = []

    def wait(control: LocalJob) -> None:
        try:
            control.until_ended(60)
        except RayflowError as error:
            raised.append(error)

    running = Running(job, broker, state)
    running.until(lambda status: status.records_in == 3)
    control = local_job(state, "failing")
    waiters = [
        threading.Thread(target=wait, args=(control,)),
        threading.Thread(target=lambda: ends.extend(control.watch())),
    ]
    for waiter in waiters:
        waiter.start()
    until(lambda: len(ends) > 0, 30)
    broker.append("in", [("a", "poison")])
    failure = running.failure()
    for waiter in waiters:
        waiter.join(60)
    (error,) = raised
    assert isinstance(error, UserFunctionFailed)
    assert str(error) == str(failure)
    assert ends[-1].state == "failed"
    assert failure.what in ends[-1].cause


def test_a_savepoint_that_the_jobs_end_comes_before_is_refused(broker: Broker, state: Path, tmp_path: Path) -> None:
    with counting(broker, state) as (running, _), connect(state / "jobs" / "counts", "counts", 10) as asking:
        held = threading.Event()
        running.runtime._requests._posted.append(lambda: held.wait(60) and None)  # the loop is busy meanwhile
        asking.sendall(protocol.pack(protocol.EndAtOnce()))
        until(lambda: len(running.runtime._requests._posted) > 0, 30)
        with connect(state / "jobs" / "counts", "counts", 10) as saving:
            saving.sendall(protocol.pack(protocol.WriteSavepoint(f"file:{tmp_path / 'late'}")))
            until(lambda: len(running.runtime._requests._posted) > 1, 30)
            held.set()
            with pytest.raises(RayflowError, match="ended before"):
                protocol.read_answer(answer_on(saving))


def test_a_run_that_hangs_still_answers_and_says_for_how_long(broker: Broker, state: Path) -> None:
    hangs = threading.Event()

    def map_word(word: str) -> str:
        if word == "hang":
            hangs.wait(60)
        return word

    job = rf.Job("hanging")
    job.stream("in", value=str).map(map_word).to("out")
    with Running(job, broker, state) as running:
        running.until(lambda status: status.records_in == 3)
        broker.append("in", [("a", "hang")])
        control = local_job(state, "hanging")
        status = until(lambda: (found := control.status()).workers[0].heard > 1.0 and found, 30)
        assert (status.state, status.records_in) == ("running", 3)
        assert status.elapsed > running.progress.elapsed
        control.ask_to_stop()
        hangs.set()
        assert running.finish().state == "stopped"


def test_it_is_not_rescaled(broker: Broker, state: Path) -> None:
    with counting(broker, state) as (_, job), pytest.raises(InvalidSetting, match="one worker"):
        job.rescale(2)


def answer_on(connection: socket.socket) -> bytes:
    """The next message on a connection, without its length."""
    with connection.makefile("rb") as file:
        return file.read(int.from_bytes(file.read(protocol.LENGTH), "big"))


def test_clients_that_hang_hold_up_neither_the_job_nor_others(broker: Broker, state: Path) -> None:
    with counting(broker, state) as (running, job):
        folder = state / "jobs" / "counts"
        hanging = [connect(folder, "counts", 10) for _ in range(10)]
        for number, client in enumerate(hanging[:6]):
            client.sendall(protocol.pack(protocol.GetLogs(0))[:number])  # some of the first bytes, then nothing
        for client in hanging[6:]:  # asks as much as it can, and never reads an answer
            client.setblocking(False)
            with suppress(BlockingIOError):
                while True:
                    client.sendall(protocol.pack(protocol.GetStatus()))
        broker.append("in", WORDS)
        running.until(lambda status: status.records_in == 6)
        assert job.status().state == "running"
        assert job.stop(timeout=60).state == "stopped"
        for client in hanging:
            client.close()


def test_a_client_too_many_is_told_so(broker: Broker, state: Path) -> None:
    with counting(broker, state) as (_, job):
        others = [connect(state / "jobs" / "counts", "counts", 10) for _ in range(CLIENTS)]
        try:
            with pytest.raises(WorkerLost):  # and not that there is no such job
                job.status()
        finally:
            for other in others:
                other.close()


def test_a_lock_that_is_a_pipe_is_nobodys(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "lock")
    assert holder_of(tmp_path) is None


def test_what_is_no_request_is_answered_with_an_error(broker: Broker, state: Path) -> None:
    with counting(broker, state) as (_, job):
        for body in (b"", b"\xc1", protocol.pack(protocol.Taken())[protocol.LENGTH :]):
            with connect(state / "jobs" / "counts", "counts", 10) as client:
                client.sendall(len(body).to_bytes(4, "big") + body)
                with pytest.raises(VersionMismatch):
                    protocol.read_answer(answer_on(client))
        with connect(state / "jobs" / "counts", "counts", 10) as client:
            client.sendall((1 << 30).to_bytes(4, "big"))
            with pytest.raises(VersionMismatch, match="too large"):
                protocol.read_answer(answer_on(client))
            assert client.recv(1) == b""
        assert job.status().state == "running"


def test_its_log_is_there_for_other_processes(broker: Broker, state: Path) -> None:
    journal = Journal()
    configure_logging("counts", json=False, also=journal)
    try:
        with Running(counts(broker), broker, state, journal=journal) as running:
            running.until(lambda status: status.epoch > 0)
            number, lines = local_job(state, "counts").logs()
            assert number == len(lines) > 0
            assert all(json.loads(line)["job"] == "counts" for line in lines)
            assert local_job(state, "counts").logs(number) == (number, [])
            journal.add(["x" * 1_000_000] * 10)
            number, lines = local_job(state, "counts").logs(number)
            assert len(lines) == protocol.LARGEST_LOG // 1_000_000
    finally:
        configure_logging()


def test_the_socket_of_a_killed_run_is_told_apart_and_hinders_nobody(broker: Broker, state: Path) -> None:
    broker.close()
    code = (
        "from pathlib import Path; import sys\n"
        "from rayflow.plan.compile import plan_of\n"
        "from rayflow.runtimes.hosting.options import RunOptions\n"
        "from rayflow.runtimes.local.runtime import LocalRuntime\n"
        "from tests.e2e.brokers import Broker\n"
        "from tests.e2e.jobs import counts\n"
        "options = RunOptions(broker=sys.argv[1], state=Path(sys.argv[2]))\n"
        "LocalRuntime(plan_of(counts(Broker(sys.argv[1], tag=''))), options).run()\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen([sys.executable, "-c", code, broker.url, str(state)], env=environment)
    try:

        def met() -> LocalJob | None:
            try:
                return local_job(state, "counts")
            except RayflowError:
                return None

        job = until(met, 60)
        assert job.status().pid == process.pid
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert stat.S_ISSOCK((state / "jobs" / "counts" / "control" / "socket").lstat().st_mode)
    with pytest.raises(JobNotFound, match="is not running"):
        job.status()
    assert local_jobs(state) == []
    again = Broker(broker.url, tag="")
    with counting(again, state) as (_, job):
        assert job.status().pid == os.getpid()
    again.close()
    assert not (state / "jobs" / "counts" / "control" / "socket").exists()


def test_a_run_whose_folder_takes_no_socket_runs_all_the_same(broker: Broker, state: Path) -> None:
    (state / "jobs" / "counts").mkdir(parents=True)
    (state / "jobs" / "counts" / "control").write_text("in the way")
    assert run(counts(broker), broker, state).state == "done"


@pytest.mark.parametrize("kind", sorted(islice(protocol._kinds(RayflowError), 1, None), key=lambda kind: kind.code))
def test_every_error_is_raised_again_as_what_it_was(kind: Callable[..., RayflowError]) -> None:
    error = kind("what", job="words", operator="map", topic="in", partition=1, offset=7, advice="do")
    with pytest.raises(RayflowError) as raised:
        protocol.read_answer(protocol.pack(protocol.answer_of(error))[protocol.LENGTH :])
    assert type(raised.value) is kind
    assert str(raised.value) == str(error)
