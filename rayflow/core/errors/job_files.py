"""RF-1xxx: the job file and how it is run."""

from __future__ import annotations

from rayflow.core.errors.base import RayflowError


class JobFileFailed(RayflowError):
    """The job file could not be imported."""

    code = "RF-1001"
    exit_code = 2
    default_advice = "Run the file with python to see the full traceback"


class NoJobFound(RayflowError):
    """The job file defines no Job at module level."""

    code = "RF-1002"
    exit_code = 2
    default_advice = 'Define one at module level: job = rf.Job("name")'


class SeveralJobs(RayflowError):
    """The job file defines more than one Job."""

    code = "RF-1003"
    exit_code = 2
    default_advice = "Name the one to run: FILE:VARIABLE"


class InvalidJob(RayflowError, ValueError):
    """The dataflow is invalid; the message names the line in the job file."""

    code = "RF-1004"
    exit_code = 2


class InvalidSetting(RayflowError, ValueError):
    """A flag, an environment variable or an entry of rayflow.toml is invalid."""

    code = "RF-1005"
    exit_code = 2
