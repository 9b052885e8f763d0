"""The simulated runtime: the shipped drivers on ports that a schedule moves. One thread, one seed."""
