"""The command line. `main` is what the `rayflow` command calls; each command is a module, loaded when it is used."""

from rayflow.cli.root import main

__all__ = ["main"]
