"""Operators as the job file defines them, as data: a module for each family. `rayflow.operators` runs them."""
