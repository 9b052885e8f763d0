"""Starts a real Apache Kafka broker (one KRaft node) for tests and benchmarks, without Docker.

For people, in the foreground until Ctrl-C:

    python -m tests.kafka.broker --port 19092 [--data DIR]
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import fcntl
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path

from tests.kafka.client import PASSWORD, USER, Kafka, until
from tests.kafka.jars import jars, java

QUICK = ("-Xmx512m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xshare:auto", "-Djava.awt.headless=true")
SUPERVISOR = Path(__file__).with_name("supervisor.py")

PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{plain},SASL_PLAINTEXT://127.0.0.1:{sasl},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{plain},SASL_PLAINTEXT://127.0.0.1:{sasl}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,SASL_PLAINTEXT:SASL_PLAINTEXT,CONTROLLER:PLAINTEXT
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
sasl.enabled.mechanisms=SCRAM-SHA-256
listener.name.sasl_plaintext.scram-sha-256.sasl.jaas.config=\
org.apache.kafka.common.security.scram.ScramLoginModule required;
log.dirs={data}
num.partitions=1
auto.create.topics.enable=false
offsets.topic.replication.factor=1
offsets.topic.num.partitions=8
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=8
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
log.retention.ms=-1
broker.heartbeat.interval.ms=500
broker.session.timeout.ms=5000
"""


def free_ports(count: int) -> list[int]:
    """Free loopback ports from below those that the system gives to outgoing connections.

    So a broker's port stays its own while the broker is down and clients try again and again.
    """
    found: list[int] = []
    while len(found) < count:
        port = random.SystemRandom().randrange(20_000, 32_000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            found.append(port)
    return found


class Broker(Kafka):
    """One broker process with its data under `folder`. It ends when this process ends, however that happens.

    Args:
        folder: made if need be; data stays over `stop`, `kill` and `start`.
        port: of the plain listener; default: a free one.
        remove: delete the folder when the broker ends for lack of users.
    """

    def __init__(self, folder: Path, port: int | None = None, remove: bool = False) -> None:
        self.folder = folder
        self._remove = remove
        self._given_port = port
        self._lock: int | None = None
        self._supervisor: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True, exist_ok=True)
        self._format()
        plain, sasl = self._ports[:2]
        super().__init__(f"127.0.0.1:{plain}", f"127.0.0.1:{sasl}")

    @property
    def lock_file(self) -> Path:
        """Held (shared) by everyone who uses the broker."""
        return self.folder / "users.lock"

    def start(self) -> Broker:
        """Start the process and wait until it serves; returns itself."""
        if self._lock is None:
            self._lock = os.open(self.lock_file, os.O_RDWR | os.O_CREAT)
            fcntl.lockf(self._lock, fcntl.LOCK_SH)
        pid_file = self.folder / "pid"
        pid_file.unlink(missing_ok=True)
        command = [java(), *QUICK, *self._logging, "-cp", f"{jars()}/*", "kafka.Kafka", str(self._settings)]
        remove = str(self.folder) if self._remove else "-"
        self._supervisor = subprocess.Popen(
            [sys.executable, SUPERVISOR, self.lock_file, pid_file, self.folder / "log", remove, *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )
        until(lambda: pid_file.exists() or self._ended(), 30)
        try:
            until(lambda: self._listening() or self._ended(), 90, 0.1)
            until(lambda: self.answers() or self._ended(), 60, 0.1)
        except TimeoutError:
            raise RuntimeError(f"the broker did not come up:\n{self._tail()}") from None
        return self

    def stop(self) -> None:
        """End the process in an orderly way and wait for it."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End the process by SIGKILL."""
        self._end(signal.SIGKILL)

    def freeze(self) -> None:
        """Make the process hang: connections stay, nothing is answered until `thaw`."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let the process go on."""
        os.kill(self.pid, signal.SIGCONT)

    def close(self) -> None:
        """Kill it if it runs, and let go of it."""
        self.kill()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def release(self) -> None:
        """Let go of it; it ends when nobody else uses it."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None
        if self._supervisor is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._supervisor.wait(2)

    @property
    def pid(self) -> int:
        """The process id of the JVM."""
        return int((self.folder / "pid").read_text())

    @property
    def _settings(self) -> Path:
        return self.folder / "server.properties"

    @property
    def _logging(self) -> tuple[str, ...]:
        return ("-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-Dorg.slf4j.simpleLogger.showDateTime=true")

    def _format(self) -> None:
        ports_file = self.folder / "ports.json"
        if ports_file.exists():
            self._ports: list[int] = json.loads(ports_file.read_text())
            return
        self._ports = free_ports(3)
        if self._given_port is not None:
            self._ports[0] = self._given_port
        plain, sasl, controller = self._ports
        self._settings.write_text(
            PROPERTIES.format(plain=plain, sasl=sasl, controller=controller, data=self.folder / "data")
        )
        cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        done = subprocess.run(
            [
                *(java(), *QUICK, *self._logging, "-cp", f"{jars()}/*", "kafka.tools.StorageTool", "format"),
                *(f"--cluster-id={cluster}", "-c", str(self._settings)),
                *("--add-scram", f"SCRAM-SHA-256=[name={USER},password={PASSWORD}]"),
            ],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
        )
        if done.returncode:
            raise RuntimeError(f"the broker's folder could not be formatted:\n{done.stdout}{done.stderr}")
        ports_file.write_text(json.dumps(self._ports))

    def _ended(self) -> bool:
        if self._supervisor is not None and self._supervisor.poll() is not None:
            raise RuntimeError(f"the broker ended by itself:\n{self._tail()}")
        return False

    def _listening(self) -> bool:
        with socket.socket() as probe:
            probe.settimeout(1)
            return probe.connect_ex(("127.0.0.1", self._ports[0])) == 0

    def _tail(self) -> str:
        log = self.folder / "log"
        return log.read_text(errors="replace")[-4_000:] if log.exists() else ""

    def _end(self, how: signal.Signals) -> None:
        if self._supervisor is None:
            return
        with contextlib.suppress(ProcessLookupError, FileNotFoundError):
            os.kill(self.pid, how)
            if how is signal.SIGTERM:
                os.kill(self.pid, signal.SIGCONT)
        try:
            self._supervisor.wait(60)
        except subprocess.TimeoutExpired:
            self._supervisor.terminate()
            self._supervisor.wait(30)
        self._supervisor = None


def main() -> None:
    """Run a broker in the foreground until Ctrl-C."""
    options = argparse.ArgumentParser(prog="python -m tests.kafka.broker", description=__doc__)
    options.add_argument("--port", type=int, default=19092)
    options.add_argument(
        "--data", type=Path, help="where data is kept; default: a temporary folder, deleted at the end"
    )
    given = options.parse_args()
    folder = given.data or Path(tempfile.mkdtemp(prefix="rayflow-kafka-"))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    began = time.monotonic()
    broker = Broker(folder, port=given.port)
    try:
        broker.start()
        print(f"kafka://{broker.bootstrap} is ready after {time.monotonic() - began:.1f} s", flush=True)
        print(f"SCRAM-SHA-256 on {broker.sasl}: user {USER}, password {PASSWORD}; data in {folder}", flush=True)
        while not broker._ended():
            time.sleep(1)
    except KeyboardInterrupt:
        print("stopping", flush=True)
    finally:
        broker.stop()
        broker.close()
        if given.data is None:
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
