"""Records as they come, in any delivery mode: what the benchmark of latency times."""

import rayflow as rf

mode = rf.setting("delivery", "exactly_once")
job = rf.Job(rf.setting("job", "bench-relay"), delivery="at_least_once" if mode == "at_least_once" else "exactly_once")
job.stream(rf.setting("source", "records"), value=bytes).to(rf.setting("sink", "relayed"))
