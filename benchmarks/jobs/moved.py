"""Records as they come, each moved to the partition of its last bytes: copies that go through an exchange."""

import rayflow as rf

job = rf.Job(rf.setting("job", "bench-moved"))
(
    job.stream(rf.setting("source", "records"), value=bytes)
    .key_by(lambda value: value[-2:])
    .reduce(lambda old, new: new, emit="record")
    .to(rf.setting("sink", "moved"), value=bytes)
)
