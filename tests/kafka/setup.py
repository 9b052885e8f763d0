"""Sets up what tests on Kafka need besides Python; `make test` runs it: `python -m tests.kafka.setup`.

As root with apt-get it installs Java and Maven if they are missing. Anybody else is told the one command that does, and
it ends with 1. Then it fetches the broker.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence

from tests.kafka.jars import are_there, jars

OLDEST_JAVA = 17
PACKAGES = ("openjdk-17-jre-headless", "openjdk-21-jre-headless", "openjdk-25-jre-headless")
"""Java for Debian and Ubuntu; each release has one or two of them."""
UPDATE = "apt-get update"
INSTALL = "apt-get install --yes --no-install-recommends"


def missing() -> list[str]:
    """What is to be installed: java, maven, or both."""
    found = []
    if java_version() < OLDEST_JAVA:
        found.append("java")
    if not are_there() and shutil.which("mvn") is None:
        found.append("maven")
    return found


def java_version() -> int:
    """The major version of the Java on the path; 0 if there is none."""
    if (java := shutil.which("java")) is None:
        return 0
    told = subprocess.run([java, "-version"], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
    match = re.search(r'version "(\d+)', told.stderr)
    return int(match[1]) if match and told.returncode == 0 else 0


def command_for(lacking: Sequence[str]) -> str | None:
    """What a person runs to have it; None where neither apt-get nor Homebrew is."""
    if shutil.which("apt-get"):
        return f"sudo {UPDATE} && sudo {INSTALL} {' '.join(packages(lacking))}"
    if shutil.which("brew"):
        casks = {"java": "brew install --cask temurin", "maven": "brew install maven"}
        return " && ".join(casks[each] for each in lacking)
    return None


def packages(lacking: Sequence[str]) -> list[str]:
    """Their names on this release of Debian or Ubuntu."""
    return [java_package() if each == "java" else each for each in lacking]


def java_package() -> str:
    """The oldest Java that is new enough and that apt knows."""
    for name in PACKAGES:
        if subprocess.run(["apt-cache", "show", name], capture_output=True, check=False).returncode == 0:
            return name
    return PACKAGES[0]


def install(lacking: Sequence[str]) -> None:
    """Install by apt-get, as root. Raises CalledProcessError."""
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    subprocess.run(UPDATE.split(), check=True, env=environment, stdin=subprocess.DEVNULL)
    subprocess.run([*INSTALL.split(), *packages(lacking)], check=True, env=environment, stdin=subprocess.DEVNULL)


def main() -> int:
    """Set up; the exit code."""
    lacking = missing()
    if lacking and os.geteuid() == 0 and shutil.which("apt-get"):
        install(lacking)
        lacking = missing()
    if lacking:
        command = command_for(lacking)
        print("The tests start a real Kafka broker, which needs Java 17 or newer, and Maven to fetch it. Install them:")
        print(f"\n    {command}\n" if command else "\njava and mvn have to be on the path.\n")
        return 1
    jars()
    return 0


if __name__ == "__main__":
    sys.exit(main())
