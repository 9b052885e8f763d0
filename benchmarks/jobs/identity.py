"""Records as they come: what reading, checkpointing and publishing cost by themselves."""

import rayflow as rf

job = rf.Job(rf.setting("job", "bench-identity"))
job.stream(rf.setting("source", "orders"), value=bytes).to(rf.setting("sink", "copies"))
