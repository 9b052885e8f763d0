"""The drivers of a worker and of the coordinator: the only code that turns the engine's orders into calls.

Every runtime runs them with its own `ports`: `local` and `ray` with those of a machine, `simulated` with models.
"""
