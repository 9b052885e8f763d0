"""A task's state: its tables, the open epoch's overlay, the sealed epoch, and the store beneath."""
