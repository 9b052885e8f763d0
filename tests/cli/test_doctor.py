"""`rayflow doctor`: what it checks, and that it says what to do."""

from __future__ import annotations

import resource
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from rayflow.cli import checks
from rayflow.cli.checks import file_system_of

Run = Callable[..., Result]


def test_a_machine_in_order_is_ready(rayflow: Run) -> None:
    result = rayflow("doctor")
    assert result.exit_code == 0, result.output
    for subject in ("python", "libraries", "state directory", "disk space", "open files", "broker"):
        assert f"ok      {subject}" in result.stdout
    assert result.stdout.endswith("Ready: rayflow run JOB\n")


def test_a_broker_out_of_reach_is_named_with_advice_and_exit_code_3(rayflow: Run) -> None:
    result = rayflow("doctor", "--broker", "kafka://127.0.0.1:1")
    assert result.exit_code == 3
    assert "FAILED  broker           [RF-3002]" in result.stdout
    assert "-> " in result.stdout


def test_a_login_without_a_protocol_is_not_ready(rayflow: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAYFLOW_KAFKA_SASL_USERNAME", "ann")
    monkeypatch.setenv("RAYFLOW_KAFKA_SSL_CA_LOCATION", "/etc/ca.pem")
    result = rayflow("doctor", "--broker", "kafka://127.0.0.1:1")
    assert result.exit_code == 2
    assert "[RF-3009] sasl.username, ssl.ca.location: set without security.protocol" in result.stdout
    assert "Ready" not in result.stdout


def test_a_state_directory_that_cannot_be_written_fails(rayflow: Run, own_folder: Path) -> None:
    (own_folder / "file").write_text("")
    result = rayflow("doctor", "--state", "file/below", "--broker", "embedded:log")
    assert result.exit_code == 1
    assert "FAILED  state directory" in result.stdout


def test_little_space_and_few_files_are_noted(rayflow: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "FREE_LEAST", 1 << 62)
    monkeypatch.setattr(resource, "getrlimit", lambda _which: (256, 4_096))
    result = rayflow("doctor")
    assert result.exit_code == 0
    assert "note    disk space" in result.stdout
    assert "-> Raise the limit: ulimit -n 4096" in result.stdout


def test_a_missing_library_fails(rayflow: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "LIBRARIES", ("msgspec", "no-such-library"))
    result = rayflow("doctor")
    assert result.exit_code == 1
    assert "missing: no-such-library" in result.stdout


def test_the_file_system_is_that_of_the_nearest_mount(tmp_path: Path) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text("a / ext4 rw 0 0\nb /data nfs4 rw 0 0\nc /data/my\\040disk xfs rw 0 0\n")
    assert file_system_of(Path("/home"), mounts) == "ext4"
    assert file_system_of(Path("/data/x"), mounts) == "nfs4"
    assert file_system_of(Path("/data/my disk/x"), mounts) == "xfs"
    assert file_system_of(Path("/"), tmp_path / "missing") is None


def test_a_network_disk_under_the_state_fails(rayflow: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "file_system_of", lambda _place: "nfs4")
    result = rayflow("doctor")
    assert result.exit_code == 1
    assert "is on nfs4" in result.stdout
    assert "-> Put --state on a local disk" in result.stdout
