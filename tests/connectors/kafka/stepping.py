"""A process that publishes two epochs and stops in the middle of the second: killed, or waiting to be told to go on.

    python -m tests.connectors.kafka.stepping URL JOB TOPIC STEP kill|wait [MILLISECONDS]

With `kill` it ends by SIGKILL so many milliseconds after the first STEP of epoch 2, while it goes on publishing; with
`wait` it prints "there", reads a line, goes on and prints how that ended: "published", or the class of the error.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time

from rayflow.connectors.kafka.connector import KafkaConnector
from rayflow.core.batch import EncodedBatch
from rayflow.core.errors import RayflowError
from rayflow.core.ids import Marker, SinkTask

TASK = SinkTask("out", 0)
COUNT = 3_000


def epoch(topic: str, number: int) -> list[EncodedBatch]:
    """The records of an epoch."""
    values: list[bytes | None] = [b"%d-%d" % (number, n) for n in range(COUNT)]
    return [EncodedBatch(topic, [b"k"] * COUNT, values, [1] * COUNT)]


def main(url: str, job: str, topic: str, step: str, how: str, delay: str = "0") -> None:
    """Publish, and stop where told."""
    publisher = KafkaConnector(url, {}, {}).publisher(job, 0, "exactly_once")
    publisher.open([TASK])
    list(publisher.publish(Marker("l", 1), {TASK: epoch(topic, 1)}, {}))
    steps = publisher.publish(Marker("l", 2), {TASK: epoch(topic, 2)}, {})
    while next(steps) != step:
        pass
    if how == "kill":
        if int(delay) == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        threading.Timer(int(delay) / 1_000, os.kill, (os.getpid(), signal.SIGKILL)).start()
        list(steps)
        time.sleep(60)
    print("there", flush=True)
    sys.stdin.readline()
    try:
        list(steps)
    except RayflowError as error:
        print(type(error).__name__, flush=True)
    else:
        print("published", flush=True)
    publisher.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
