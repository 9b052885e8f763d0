"""This machine's Ray cluster is found without Ray, and a dead one costs no wait."""

from __future__ import annotations

import socket
import socketserver
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from rayflow.core.errors import ClusterUnavailable
from rayflow.runtimes.ray import address
from rayflow.runtimes.ray.client import Cluster


@pytest.fixture(autouse=True)
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without Ray; its processes are folders."""
    (tmp_path / "proc" / "self").mkdir(parents=True)
    monkeypatch.setattr(address, "PROCESSES", tmp_path / "proc")
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    return tmp_path


@pytest.fixture
def head() -> Iterator[str]:
    """The address of a head that answers."""

    class Answer(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.recv(100)
            self.request.sendall(b"hello")

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Answer) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"127.0.0.1:{server.server_address[1]}"
        server.shutdown()


@pytest.fixture
def dead() -> str:
    """An address at which nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"127.0.0.1:{server.getsockname()[1]}"


def node(machine: Path, pid: int, head: str) -> None:
    """A node of a cluster."""
    process = machine / "proc" / str(pid)
    process.mkdir()
    (process / "comm").write_text("raylet\n")
    (process / "cmdline").write_bytes(f"/ray/raylet\0--node_ip=127.0.0.1\0--gcs-address={head}\0".encode())


def last_started(machine: Path, head: str) -> None:
    """What the last `ray start` has left."""
    (machine / "ray").mkdir()
    (machine / "ray" / "ray_current_cluster").write_text(head)


def test_without_a_node_there_is_no_cluster_whatever_an_earlier_one_has_left(machine: Path, dead: str) -> None:
    last_started(machine, dead)
    assert address.address_here() is None
    with pytest.raises(ClusterUnavailable, match="no Ray cluster runs on this machine"), Cluster(None):
        pass


def test_a_node_names_its_head(machine: Path, head: str, dead: str) -> None:
    last_started(machine, dead)
    node(machine, 7, head)
    assert address.address_here() == head


def test_of_several_clusters_the_last_one_that_was_started_is_taken(machine: Path, head: str, dead: str) -> None:
    node(machine, 7, dead)
    node(machine, 8, head)
    last_started(machine, head)
    assert address.address_here() == head
    (machine / "ray" / "ray_current_cluster").write_text(dead)
    with pytest.raises(
        ClusterUnavailable, match=f"a node of a Ray cluster runs on this machine, but Ray does not answer at {dead}"
    ):
        address.address_here()


def test_a_node_whose_head_is_gone_is_told_of_at_once(machine: Path, dead: str) -> None:
    node(machine, 7, dead)
    with pytest.raises(
        ClusterUnavailable, match=f"a node of a Ray cluster runs on this machine, but Ray does not answer at {dead}"
    ):
        address.address_here()


def test_a_dead_address_in_the_environment_is_told_of_at_once(dead: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", dead)
    with pytest.raises(ClusterUnavailable, match=f"Ray does not answer at {dead}"), Cluster(None):
        pass


def test_a_head_that_accepts_connections_but_says_nothing_is_dead(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(address, "KNOCK", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as frozen:
        node(machine, 7, f"127.0.0.1:{frozen.getsockname()[1]}")
        with pytest.raises(ClusterUnavailable, match="but Ray does not answer"):
            address.address_here()


@pytest.mark.parametrize("name", ["a..b:80", f"{'x' * 64}.example:80"])
def test_a_name_that_cannot_be_looked_up_is_no_cluster(name: str) -> None:
    with pytest.raises(ClusterUnavailable, match="is no address"):
        address.knock(name)
