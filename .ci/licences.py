"""Refuses a run-time dependency, direct or not, whose licence is not on the list of permissive ones."""

import re
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, requires

ALLOWED = (
    "0BSD",
    "3-Clause BSD License",
    "Apache 2.0",
    "Apache License 2.0",
    "Apache Software License",
    "Apache-2.0",
    "Apache-2.0 AND BSD-2-Clause",
    "BSD License",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "ISC",
    "MIT",
    "MIT License",
    "MIT OR Apache-2.0",
    "OLDAP-2.8",  # LMDB: permissive, approved by the OSI
    "PSF-2.0",
    "Python Software Foundation License",
)


def closure(name: str) -> set[str]:
    """A distribution and everything that it needs at run time."""
    found: set[str] = set()
    waiting = [name]
    while waiting:
        package = waiting.pop()
        try:
            needs = requires(package) or []
        except PackageNotFoundError:
            continue  # for another platform or Python
        if package not in found:
            found.add(package)
            waiting += [re.split(r"[^\w.-]", need)[0] for need in needs if "extra ==" not in need]
    return found


packages = sorted(closure("rayflow-streams") - {"rayflow-streams"})
if not packages:
    sys.exit("rayflow-streams is not installed: pip install -e '.[dev]'")
command = [
    sys.executable,
    "-m",
    "piplicenses",
    "--from=mixed",
    "--allow-only",
    ";".join(ALLOWED),
    "--packages",
    *packages,
]
sys.exit(subprocess.run(command, check=False).returncode)
