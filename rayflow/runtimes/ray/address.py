"""Finds the address of this machine's Ray cluster, without importing Ray, and checks that its head answers.

Ray itself tries for minutes to reach a head that is gone.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from rayflow.core.errors import ClusterUnavailable

KNOCK = 10.0
"""Seconds within which a cluster's head must accept a connection, and say something."""
HELLO = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
"""With this an HTTP/2 client begins (RFC 9113, section 3.4). Any server answers it, if only by closing. A frozen
process accepts connections, but does not answer."""
PROCESSES = Path("/proc")
"""Linux has the running processes here."""


def address_here() -> str | None:
    """The address of the cluster that Ray finds by itself: one of which a node runs on this machine. None without.

    Of several it is that of the last `ray start`. "auto" where only Ray can find it (not Linux). Raises
    ClusterUnavailable if the cluster's head does not answer.
    """
    if not (PROCESSES / "self").exists():
        return "auto"
    heads = sorted(set(_heads_of_nodes()))
    if not heads:
        return None
    address = heads[0] if len(heads) == 1 else _last_started() or heads[0]
    try:
        knock(address)
    except ClusterUnavailable as error:
        raise ClusterUnavailable(
            f"a node of a Ray cluster runs on this machine, but {error.what}",
            advice="If the cluster is gone, end what is left of it (ray stop --force), or name another: --ray ADDRESS",
        ) from None
    return address


def knock(address: str) -> None:
    """Raises ClusterUnavailable unless a server accepts a connection there and answers, each within 10 s."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if not colon or not port.isdigit():
        return  # not host:port: Ray reports what it thinks of it
    try:
        with socket.create_connection((host.strip("[]"), int(port)), KNOCK) as connection:
            connection.sendall(HELLO)
            connection.recv(1)
    except ConnectionResetError:
        return
    except OSError as error:
        raise ClusterUnavailable(f"Ray does not answer at {address}: {error.strerror or error}") from None
    except UnicodeError:  # a name with an empty or overlong part
        raise ClusterUnavailable(f"{address} is no address") from None


def _heads_of_nodes() -> Iterator[str]:
    """The head's address of each Ray node on this machine: an argument of its raylet."""
    for process in PROCESSES.glob("[0-9]*"):
        with suppress(OSError):  # a process that has ended meanwhile
            if (process / "comm").read_text().strip() != "raylet":
                continue
            for argument in (process / "cmdline").read_bytes().decode(errors="replace").split("\0"):
                name, _, value = argument.partition("=")
                if name.lstrip("-").replace("_", "-") == "gcs-address" and value:
                    yield value


def _last_started() -> str:
    """What the last `ray start` on this machine has noted, which may be stale."""
    with suppress(OSError):
        return (Path(os.environ.get("RAY_TMPDIR", "/tmp")) / "ray" / "ray_current_cluster").read_text().strip()
    return ""
