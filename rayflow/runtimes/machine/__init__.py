"""The ports of a real machine: its clocks, its threads, its disk. For every runtime that runs on one."""
