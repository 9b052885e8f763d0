"""Carries frames and messages between the processes of a job."""
