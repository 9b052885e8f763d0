"""Commands for jobs on a Ray cluster."""
