"""Refuses a run-time dependency, direct or not, extras included, whose licence is not on the list of permissive ones.

A dependency that is not installed is refused as well: its licence is not known.
"""

import subprocess
import sys

from dependencies import NAME, USERS, needed
from summary import tell

ALLOWED = (
    "0BSD",
    "3-Clause BSD License",
    "Apache 2.0",
    "Apache License 2.0",
    "Apache Software License",
    "Apache-2.0",
    "Apache-2.0 AND BSD-2-Clause",
    "Apache-2.0 OR BSD-2-Clause",
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
IN_EXTRAS = {
    # Ray needs requests, which needs certifi: Mozilla's list of authorities, unchanged. MPL asks only for the source of
    # changed files.
    "certifi": "Mozilla Public License 2.0 (MPL 2.0)",
}
"""Packages that only an extra needs, with a licence that is allowed for each of them alone."""


def refused(packages: list[str], allowed: tuple[str, ...]) -> bool:
    """Whether one of the packages has a licence that is not allowed; prints them all."""
    command = [sys.executable, "-m", "piplicenses", "--from=mixed", "--allow-only", ";".join(allowed), "--packages"]
    return bool(packages) and subprocess.run([*command, *packages], check=False).returncode != 0


def main() -> int:
    core, missing = needed(NAME)
    everything, more = needed(NAME, USERS)
    if missing or more:
        tell(f"licences: NOT CHECKED: {', '.join(sorted({*missing, *more}))}: pip install -e '.[dev]'")
        return 2
    extras = everything.keys() - core.keys()
    groups = [(sorted(core.keys() - {NAME}), ALLOWED), (sorted(extras - IN_EXTRAS.keys()), ALLOWED)]
    groups += [([name], (IN_EXTRAS[name],)) for name in sorted(extras & IN_EXTRAS.keys())]
    failed = [packages for packages, allowed in groups if refused(packages, allowed)]
    tell(f"licences: {'REFUSED' if failed else 'permissive'}, {len(core) - 1} packages and {len(extras)} of extras")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
