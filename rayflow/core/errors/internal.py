"""RF-5xxx: rayflow itself."""

from __future__ import annotations

from rayflow.core.errors.base import RayflowError


class InvariantBroken(RayflowError):
    """An internal check failed."""

    code = "RF-5001"
    default_advice = (
        "This is a bug in rayflow: please report it with this text. A restarted job resumes from its last checkpoint"
    )
