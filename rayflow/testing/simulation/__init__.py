"""Deterministic simulation: whole jobs in a model world that breaks, from one seed. See docs/concepts/simulation.md."""
