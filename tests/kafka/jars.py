"""The jars of the Kafka broker, fetched once by Maven and kept in a cache folder between runs."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from pathlib import Path

VERSION = "4.3.1"
POM = Path(__file__).with_name("pom.xml")


def program(name: str, package: str) -> str:
    """The path of a program that the tests need; raises RuntimeError with advice when it is missing."""
    found = shutil.which(name)
    if found is None:
        raise RuntimeError(
            f"{name} is missing: the tests start a real Kafka broker. Install it (`make set-up`, or on Debian: apt-get "
            f"install {package}), or name a running broker: RAYFLOW_TEST_KAFKA=host:port"
        )
    return found


def java() -> str:
    """The path of the Java launcher."""
    return program("java", "openjdk-17-jre-headless")


def cache() -> Path:
    """Where they are kept."""
    folder = Path(os.environ.get("RAYFLOW_TEST_CACHE") or Path.home() / ".cache" / "rayflow-tests")
    return folder / f"kafka-{VERSION}"


def are_there() -> bool:
    """Whether they have been fetched."""
    return (cache() / "complete").exists()


def jars() -> Path:
    """The folder of the jars; the first caller on a machine fetches them (10 to 60 s), others wait for it."""
    folder = cache()
    complete = folder / "complete"
    if are_there():
        return folder / "libs"
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not complete.exists():
            maven = program("mvn", "maven")
            shutil.rmtree(folder / "libs", ignore_errors=True)
            done = subprocess.run(
                [maven, "-q", "-B", "-f", str(POM), "dependency:copy-dependencies", f"-DoutputDirectory={folder}/libs"],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=600,
            )
            if done.returncode:
                raise RuntimeError(f"Maven could not fetch Kafka's jars into {folder}:\n{done.stdout}{done.stderr}")
            complete.touch()
    return folder / "libs"
