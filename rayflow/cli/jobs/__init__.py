"""Commands for running jobs: on this machine and on a Ray cluster."""
