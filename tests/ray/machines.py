"""A Ray cluster of several nodes on this machine, each a raylet of its own, owned by the process that makes it."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import ray
from ray.cluster_utils import Cluster

ROOT = Path(__file__).parents[2]
STORE = 100 << 20
"""Bytes of each node's object store."""
HEALTH = {
    "health_check_initial_delay_ms": 1_000,
    "health_check_period_ms": 1_000,
    "health_check_timeout_ms": 5_000,
    "health_check_failure_threshold": 3,
}
"""Dead nodes are found within seconds; loaded ones get some time."""


class Machines:
    """A head and further nodes. A context manager; leaving it ends all of its processes.

    Attributes:
        address: what a client is given. nodes: those besides the head. temporary: where their processes put what they
            need for a while.
    """

    def __init__(self, nodes: int, cpus: int = 4, head_cpus: int | None = None) -> None:
        self._cpus = cpus
        self.nodes: list[Any] = []
        self.temporary = Path(tempfile.mkdtemp(prefix="rf-"))
        options: dict[str, Any] = {"object_store_memory": STORE, "include_dashboard": False, "_system_config": HEALTH}
        options["num_cpus"] = cpus if head_cpus is None else head_cpus
        with self._environment():
            self._cluster = Cluster(initialize_head=True, head_node_args=options)
        self.address = str(self._cluster.address)
        for _ in range(nodes - 1):
            self.add()

    def add(self) -> Any:
        """One more node."""
        with self._environment():
            node = self._cluster.add_node(num_cpus=self._cpus, object_store_memory=STORE, include_dashboard=False)
        self.nodes.append(node)
        return node

    @contextmanager
    def _environment(self) -> Iterator[None]:
        """What the nodes, and all that they start, have in their environment."""
        wanted = {
            "PYTHONPATH": os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH")))),
            "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
            "TMPDIR": str(self.temporary),
        }
        before = {name: os.environ.get(name) for name in wanted}
        os.environ.update(wanted)
        try:
            yield
        finally:
            for name, value in before.items():
                if value is None:
                    del os.environ[name]
                else:
                    os.environ[name] = value

    def lose(self, node: Any) -> None:
        """SIGKILL of a node's raylet and of all that it has started, as when its power fails."""
        self.nodes.remove(node)
        raylet = _raylet(node)
        processes = [raylet, *raylet.children(recursive=True)]
        for process in processes:
            process.kill()
        psutil.wait_procs(processes, 10)
        self._cluster.remove_node(node, allow_graceful=False)

    def processes(self) -> list[psutil.Process]:
        """All that the nodes have started."""
        raylets = [_raylet(node) for node in self._cluster.list_all_nodes()]  # type: ignore[no-untyped-call]
        return [child for raylet in raylets for child in raylet.children(recursive=True)]

    def close(self) -> None:
        """End all."""
        ray.shutdown()
        self._cluster.shutdown()  # type: ignore[no-untyped-call]
        shutil.rmtree(self.temporary, ignore_errors=True)

    def __enter__(self) -> Machines:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _raylet(node: Any) -> psutil.Process:
    return psutil.Process(node.all_processes["raylet"][0].process.pid)
