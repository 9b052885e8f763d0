"""Writes the golden files that are missing: `python -m tests.golden`. One that is there is never written anew.

A file for each format that is written today (`formats.py`), and what the golden job leaves for each version (`job.py`).
"""

from __future__ import annotations

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.golden.archive import archive_path, pack, run_first_parts
from tests.golden.formats import GOLDENS


def main() -> int:
    changed = 0
    for golden in GOLDENS:
        path = golden.path
        if not path.exists():
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(golden.write())
            print(f"{path.name}: written, {path.stat().st_size} bytes")
        elif golden.read(path.read_bytes()) != golden.holds or (golden.exact and golden.write() != path.read_bytes()):
            changed += 1
            print(f"{path.name}: today's code writes or reads this format differently; raise the format's number")
    if not archive_path().exists():
        with TemporaryDirectory() as folder:
            run_first_parts(Path(folder))
            archive_path().write_bytes(pack(Path(folder)))
        print(f"{archive_path().name}: written, {archive_path().stat().st_size} bytes")
    return 1 if changed else 0


if __name__ == "__main__":
    sys.exit(main())
