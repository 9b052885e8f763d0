"""Channels between the tasks of different workers: events as frames, in order, with credit."""
