"""The embedded log (`embedded:PATH`): topics in one LMDB environment, for jobs on one machine, demos and tests."""
