"""Makes paths absolute, because a relative path means something else in each process of a cluster."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rayflow.core.errors import InvalidSetting

if TYPE_CHECKING:
    from rayflow.core.settings import Settings


def absolute_uri(uri: str) -> str:
    """A checkpoint store's URI whose path begins at the root, if it has one. Raises InvalidSetting for `memory:`, and
    for `file:` without a path.

    >>> absolute_uri("s3:bucket/x"), absolute_uri("file:/x")
    ('s3:bucket/x', 'file:/x')
    """
    scheme, colon, path = uri.partition(":")
    if scheme == "memory" and colon:
        raise InvalidSetting("memory: belongs to one process", advice="Use a store that all nodes reach: s3:, gs:, az:")
    if scheme == "file" and colon and not path:
        raise InvalidSetting("file: has no path", advice="Use file:/absolute or file:relative")
    return f"{scheme}:{Path(path).absolute()}" if scheme == "file" and colon else uri


def absolute_settings(settings: Settings) -> Settings:
    """Settings with absolute paths. Raises InvalidConnector for a broker that is not known."""
    from rayflow.connectors.registry import absolute_url

    return settings.model_copy(
        update={
            "state": settings.state.absolute(),
            "broker": None if settings.broker is None else absolute_url(settings.broker),
            "checkpoints": None if settings.checkpoints is None else absolute_uri(settings.checkpoints),
        }
    )


def absolute_flags(flags: Mapping[str, Any]) -> dict[str, Any]:
    """Flags whose savepoints have absolute paths."""
    return {
        name: absolute_uri(value) if value is not None and name in ("from_savepoint", "savepoint_at_stop") else value
        for name, value in flags.items()
    }
