"""The simulated runtime: coordinator and workers as processes of a model world, one action an event."""
