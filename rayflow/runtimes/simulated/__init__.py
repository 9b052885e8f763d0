"""The simulated runtime: the production drivers on ports that a schedule controls. One thread, one seed."""
