"""`python -m benchmarks.start`: from `rayflow run` to the first record on the embedded log, and the import."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import click

from benchmarks.command import rayflow_command
from benchmarks.figures import Figure, json_option, show
from benchmarks.measure import measured

IMPORT = "import time; began = time.perf_counter(); import rayflow; print(time.perf_counter() - began)"


@click.command()
@click.option("--rounds", default=9, show_default=True)
@json_option("start")
def main(rounds: int, json_file: Path) -> None:
    """Measure starts; medians."""
    imports: list[float] = []
    firsts: list[float] = []
    wholes: list[float] = []
    with tempfile.TemporaryDirectory(prefix="rayflow-bench-") as name:
        folder = Path(name)
        for number in range(rounds):
            imports.append(
                float(subprocess.run([sys.executable, "-c", IMPORT], capture_output=True, check=True).stdout)
            )
            notes = folder / f"{number}.notes"
            command = rayflow_command("newest", folder / str(number), settings={"notes": notes})
            began = time.time()
            wholes.append(measured(command, folder / f"{number}.log").wall)
            firsts.append(json.loads(notes.read_text())["first"] - began)
    figures = [
        Figure("import rayflow", median(imports), "s", 0.3),
        Figure("rayflow run to the first record, embedded log", median(firsts), "s", 1.5),
        Figure("rayflow run --until-end of one record", median(wholes), "s"),
    ]
    show("start", figures, json_file, {"rounds": rounds})


if __name__ == "__main__":
    main()
