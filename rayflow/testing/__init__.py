"""What tests of a job need: `rf.testing.Driver`."""

from rayflow.testing.driver import Driver, OutputRecord

__all__ = ["Driver", "OutputRecord"]
