"""The ports of a real machine: its clocks, its threads, its disk. Used by the runtimes that are not simulated."""
