"""Channels between the tasks of different workers: events are sent in frames, in order, with credit."""
