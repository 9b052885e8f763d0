"""Deterministic simulation: whole jobs, one seed, and a model world with faults. See docs/concepts/simulation.md."""
