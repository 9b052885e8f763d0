"""Reports how a job runs (logs, metrics, status), and scales it by its load."""
