"""Which clusters get the login of the environment, and whether a connection's settings protect it as they seem to."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from rayflow.core.errors import InvalidConnector

PROTOCOL = "security.protocol"
_TLS = re.compile(r"ssl\..*|enable\.ssl\..*")
_LOGIN = re.compile(r"sasl\..*|enable\.sasl\..*")
_USED = {"PLAINTEXT": (), "SSL": (_TLS,), "SASL_PLAINTEXT": (_LOGIN,), "SASL_SSL": (_TLS, _LOGIN)}
"""The settings that each protocol uses."""
_MECHANISM = ("sasl.mechanism", "sasl.mechanisms")
_OTHER_LOGINS = {"GSSAPI", "OAUTHBEARER"}
"""Mechanisms without a user and a password."""
_LOGIN_NAMES = ("sasl.username", "sasl.password")


def split_security(settings: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """The settings for a connection's protection (protocol, TLS, login), and all others.

    >>> split_security({"sasl.password": "x", "linger.ms": "5"})
    ({'sasl.password': 'x'}, {'linger.ms': '5'})
    """
    security = {name: value for name, value in settings.items() if name == PROTOCOL or _protects(name)}
    return security, {name: value for name, value in settings.items() if name not in security}


def refuse_without_own(withheld: Mapping[str, str], config: Mapping[str, str], url: str) -> None:
    """Raise InvalidConnector for a pinned cluster that says nothing of its protection, or not its user and password,
    where the environment has them for the broker of the run.

    They are not sent there, and without a protocol the connection would silently be in plain text.
    """
    if PROTOCOL not in config:
        plain = all(name == PROTOCOL and value.upper() == "PLAINTEXT" for name, value in withheld.items())
        missing = "" if plain else PROTOCOL
    elif config[PROTOCOL].upper().startswith("SASL") and not _OTHER_LOGINS & {config.get(name) for name in _MECHANISM}:
        missing = _named(name for name in _LOGIN_NAMES if name in withheld and name not in config)
    else:
        missing = ""
    if missing:
        raise InvalidConnector(
            f"A topic is pinned to {url} without {missing}, and RAYFLOW_KAFKA_* has the login of the run's broker only",
            advice="Give that cluster its own protocol and login: rf.kafka(..., config={...}), with secrets from "
            "rf.setting() or os.environ",
        )


def refuse_plain(settings: Mapping[str, str]) -> None:
    """Raise InvalidConnector, which names them, for settings of TLS or a login without security.protocol."""
    named = _named(name for name in settings if _protects(name))
    if named and not settings.get(PROTOCOL):
        raise InvalidConnector(
            f"{named}: set without {PROTOCOL}, so the connection would be in plain text and without a login",
            advice=f"Set {PROTOCOL}: SSL, SASL_SSL or SASL_PLAINTEXT (RAYFLOW_KAFKA_SECURITY_PROTOCOL); "
            "PLAINTEXT if that is what you want",
        )


def protection(settings: Mapping[str, str]) -> tuple[str, str]:
    """The protocol, in capitals, and the names of settings of TLS or a login that it does not use ("" if none).

    >>> protection({"security.protocol": "ssl", "sasl.username": "ann", "ssl.ca.location": "ca.pem"})
    ('SSL', 'sasl.username')
    """
    protocol = settings.get(PROTOCOL, "PLAINTEXT").upper()
    used = _USED.get(protocol, (_TLS, _LOGIN))  # librdkafka refuses another one
    unused = [name for name in settings if _protects(name) and not any(kind.fullmatch(name) for kind in used)]
    return protocol, _named(unused)


def _protects(name: str) -> bool:
    return bool(_TLS.fullmatch(name) or _LOGIN.fullmatch(name))


def _named(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))
