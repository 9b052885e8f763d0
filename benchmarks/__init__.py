"""What a record costs: rayflow beside a loop written by hand, on a real broker. Run `python -m benchmarks`."""
