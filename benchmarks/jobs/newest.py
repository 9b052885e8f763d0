"""The newest value of each key, once an epoch (or, with emit=record, every one).

Writes to the file `notes` when its first record came, and when it had to wait for the next one: for the benchmarks of
checkpoints, restores and starts.
"""

import atexit
import json
import time
from pathlib import Path

import rayflow as rf

WORTH_NOTING = 0.001


class Watch:
    """Passes values on."""

    def __init__(self) -> None:
        self.first = self.last = 0.0
        self.waits: list[tuple[float, float]] = []

    def __call__(self, value: bytes) -> bytes:
        now = time.time()
        if now - self.last > WORTH_NOTING:
            if self.first:
                self.waits.append((now, now - self.last))
            else:
                self.first = now
        self.last = now
        return value

    def write(self, file: Path) -> None:
        file.write_text(json.dumps({"first": self.first, "last": self.last, "waits": self.waits}))


watch = Watch()
notes = rf.setting("notes", "")
if notes:
    atexit.register(watch.write, Path(notes))
job = rf.Job(rf.setting("job", "bench-newest"))
(
    job.stream(rf.setting("source", "values"), key=str, value=bytes, sample=[b"hello"])
    .map(watch)
    .group_by_key()
    .reduce(lambda old, new: new, emit="record" if rf.setting("emit", "epoch") == "record" else "epoch")
    .to(rf.setting("sink", "newest"), value=bytes)
)
