"""What is missing for tests on Kafka, and how a person gets it."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.kafka import setup
from tests.kafka.jars import VERSION

Program = Callable[[str, str], None]


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Program:
    """Makes a program on a path that has no others; the broker is not fetched, and nobody is root."""

    def make(name: str, script: str) -> None:
        (tmp_path / name).write_text(f"#!{sys.executable}\nimport sys\n{script}\n")
        (tmp_path / name).chmod(0o755)

    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("RAYFLOW_TEST_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    return make


def java(version: str) -> str:
    return f"sys.stderr.write('openjdk version \"{version}\" 2025-04-15\\n')"


def test_java_that_is_not_there_or_too_old_is_missing(program: Program) -> None:
    assert setup.missing() == ["java", "maven"]
    program("mvn", "")
    for version, missing in (("1.8.0_432", ["java"]), ("11.0.25", ["java"]), ("17.0.15", []), ("21", [])):
        program("java", java(version))
        assert setup.missing() == missing


def test_maven_is_not_needed_once_the_broker_is_fetched(program: Program, tmp_path: Path) -> None:
    program("java", java("21.0.2"))
    (tmp_path / "cache" / f"kafka-{VERSION}").mkdir(parents=True)
    (tmp_path / "cache" / f"kafka-{VERSION}" / "complete").touch()
    assert setup.missing() == []
    assert setup.main() == 0


def test_who_is_not_root_is_told_one_command(program: Program, capsys: pytest.CaptureFixture[str]) -> None:
    program("apt-get", "sys.exit('run by somebody who may not')")
    program("apt-cache", "sys.exit('21' not in sys.argv[2])")
    assert setup.main() == 1
    told = capsys.readouterr().out
    install = "sudo apt-get install --yes --no-install-recommends openjdk-21-jre-headless maven"
    assert f"    sudo apt-get update && {install}\n" in told


def test_root_has_it_installed(
    program: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """And is told when it did not help."""
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    program("apt-get", f"open({str(tmp_path / 'ran')!r}, 'a').write(' '.join(sys.argv[1:]) + '\\n')")
    program("apt-cache", "")
    assert setup.main() == 1
    assert (tmp_path / "ran").read_text().splitlines() == [
        "update",
        "install --yes --no-install-recommends openjdk-17-jre-headless maven",
    ]
    assert "sudo apt-get install" in capsys.readouterr().out


def test_without_apt_it_is_homebrew_or_a_sentence(program: Program, capsys: pytest.CaptureFixture[str]) -> None:
    assert setup.main() == 1
    assert "java and mvn have to be on the path" in capsys.readouterr().out
    program("brew", "")
    assert setup.command_for(["java", "maven"]) == "brew install --cask temurin && brew install maven"
