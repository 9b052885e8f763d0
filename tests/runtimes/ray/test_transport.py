"""A connection between workers that cannot be opened ends the attempt, and the log says why."""

from __future__ import annotations

import asyncio

import pytest

from rayflow.core.ids import Attempt, WorkerId
from rayflow.runtimes.ray.links import transport
from rayflow.runtimes.ray.links.transport import Transport


@pytest.mark.parametrize("variable", ["RAY_TLS_SERVER_CERT", "RAY_TLS_CA_CERT"])
def test_unusable_certificates_end_the_attempt(
    variable: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without a certificate, and with one that is not there."""
    monkeypatch.setenv("RAY_USE_TLS", "1")
    monkeypatch.delenv("RAY_TLS_SERVER_CERT", raising=False)
    if variable == "RAY_TLS_CA_CERT":
        monkeypatch.setenv(variable, "/nowhere/ca.pem")
    told: list[dict[str, object]] = []
    monkeypatch.setattr(transport.log, "warning", lambda event, **more: told.append({"event": event, **more}))

    async def lost() -> tuple[Attempt, WorkerId]:
        gone: asyncio.Future[tuple[Attempt, WorkerId]] = asyncio.get_running_loop().create_future()
        own = Transport("secret", lambda frame: None, lambda attempt, slot: gone.set_result((attempt, slot)))
        own.meet(7, {1: ("127.0.0.1", 9)})
        own.send(1, b"frame")
        try:
            return await asyncio.wait_for(gone, 30)
        finally:
            own.close()

    assert asyncio.run(lost()) == (7, 1)
    assert [(each["event"], each["address"]) for each in told] == [("no connection to a worker", "127.0.0.1:9")]
    assert "Error" in str(told[0]["reason"])
