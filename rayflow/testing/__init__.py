"""Tools for tests of a job: `rf.testing.Driver`."""

from rayflow.testing.driver import Driver, OutputRecord

__all__ = ["Driver", "OutputRecord"]
