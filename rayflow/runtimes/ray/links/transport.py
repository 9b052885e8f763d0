"""Sends frames between workers over their own TCP connections, one per direction between two workers, not through Ray.

A call of an actor costs 1 to 5 ms of CPU, whatever its size, and async actors do not keep the order of calls. A frame
on a connection costs 0.03 to 0.2 ms and stays in order (docs/concepts/ray.md). Ray calls carry control messages only.
"""

from __future__ import annotations

import asyncio
import hmac
import os
import ssl
from collections.abc import Callable, Mapping
from typing import cast

from rayflow.core.ids import Attempt, WorkerId
from rayflow.core.logging import get_logger

Address = tuple[str, int]

_SIZE = 4
_LARGEST = 1 << 30

log = get_logger("rayflow.worker")


class Transport:
    """Sends frames to other workers and receives theirs. Runs on an event loop; `send` may be called from any thread.

    `on_frame` is called with the bytes of each frame, `on_lost` with the attempt and the slot whose connection has
    ended during it: frames in flight are lost, so the attempt cannot continue. A connection begins with the job's
    secret, and is closed if that is wrong. With RAY_USE_TLS=1, connections are encrypted with the same files as Ray's.
    """

    def __init__(
        self, secret: str, on_frame: Callable[[bytes], None], on_lost: Callable[[Attempt, WorkerId], None]
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._secret = secret.encode()
        self._on_frame = on_frame
        self._on_lost = on_lost
        self._lines: dict[WorkerId, _Line] = {}
        self._server: asyncio.Server | None = None

    async def listen(self, host: str) -> Address:
        """Accept connections on a free port of `host`. Returns the address."""
        self._server = await self._loop.create_server(
            lambda: _Incoming(self._secret, self._on_frame), host, 0, ssl=_tls(True)
        )
        return cast(Address, self._server.sockets[0].getsockname()[:2])

    def meet(self, attempt: Attempt, peers: Mapping[WorkerId, Address]) -> None:
        """Use these addresses from now on. Each attempt opens its own connections."""
        for line in self._lines.values():
            line.close()
        self._lines = {slot: _Line(self, attempt, slot, address) for slot, address in peers.items()}

    def send(self, slot: WorkerId, data: bytes) -> None:
        """Send a frame. From any thread; in order per thread."""
        self._loop.call_soon_threadsafe(self._write, slot, data)

    def close(self) -> None:
        """Close everything."""
        for line in self._lines.values():
            line.close()
        self._lines.clear()
        if self._server is not None:
            self._server.close()

    def _write(self, slot: WorkerId, data: bytes) -> None:
        line = self._lines.get(slot)
        if line is not None:
            line.write(data)


class _Line(asyncio.Protocol):
    """The connection to one worker in one attempt; connects with the first frame."""

    def __init__(self, owner: Transport, attempt: Attempt, slot: WorkerId, address: Address) -> None:
        self._owner = owner
        self._attempt = attempt
        self._slot = slot
        self._address = address
        self._waiting: list[bytes] | None = None
        self._transport: asyncio.WriteTransport | None = None
        self._closed = False
        self._task: asyncio.Task[None] | None = None

    def write(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(_sized(data))
        elif self._waiting is None:
            self._waiting = [data]
            self._task = self._owner._loop.create_task(self._connect())
        else:
            self._waiting.append(data)

    def close(self) -> None:
        self._closed = True
        if self._transport is not None:
            self._transport.close()
        elif self._task is not None:
            self._task.cancel()

    async def _connect(self) -> None:
        try:
            await self._owner._loop.create_connection(lambda: self, *self._address, ssl=_tls(False))
        except (OSError, KeyError, ValueError) as error:  # the latter two: certificates that are not set, or unusable
            host, port = self._address
            reason = f"{type(error).__name__}: {error}"
            log.warning("no connection to a worker", slot=self._slot, address=f"{host}:{port}", reason=reason)
            self._lost()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.WriteTransport, transport)
        self._transport.write(_sized(self._owner._secret))
        for data in self._waiting or ():
            self._transport.write(_sized(data))
        self._waiting = None

    def connection_lost(self, error: Exception | None) -> None:
        self._lost()

    def _lost(self) -> None:
        if not self._closed:
            self._closed = True
            self._owner._on_lost(self._attempt, self._slot)


class _Incoming(asyncio.Protocol):
    """Receives the frames of another worker."""

    def __init__(self, secret: bytes, on_frame: Callable[[bytes], None]) -> None:
        self._secret = secret
        self._on_frame = on_frame
        self._known = False
        self._data = bytearray()
        self._transport: asyncio.BaseTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._data += data
        at, held = 0, len(self._data)
        while held - at >= _SIZE:
            size = int.from_bytes(self._data[at : at + _SIZE], "little")
            if size > (_LARGEST if self._known else len(self._secret)):
                self._refuse()
                return
            if held - at - _SIZE < size:
                break
            frame = bytes(memoryview(self._data)[at + _SIZE : at + _SIZE + size])
            at += _SIZE + size
            if self._known:
                self._on_frame(frame)
            elif hmac.compare_digest(frame, self._secret):
                self._known = True
            else:
                self._refuse()
                return
        if at:
            del self._data[:at]

    def _refuse(self) -> None:
        log.warning("refused a connection without the job's secret")
        self._data.clear()
        if self._transport is not None:
            self._transport.close()


def _sized(data: bytes) -> bytes:
    return len(data).to_bytes(_SIZE, "little") + data


def _tls(server: bool) -> ssl.SSLContext | None:
    """Ray's own certificates, if Ray uses TLS."""
    if os.environ.get("RAY_USE_TLS", "0").lower() not in ("1", "true"):
        return None
    purpose = ssl.Purpose.CLIENT_AUTH if server else ssl.Purpose.SERVER_AUTH
    context = ssl.create_default_context(purpose, cafile=os.environ.get("RAY_TLS_CA_CERT"))
    context.load_cert_chain(os.environ["RAY_TLS_SERVER_CERT"], os.environ["RAY_TLS_SERVER_KEY"])
    context.check_hostname = False  # workers are identified by certificate authority and secret; addresses are bare IPs
    context.verify_mode = ssl.CERT_REQUIRED
    return context
