"""The drivers of a worker and of the coordinator: the only code that turns the engine's orders into calls.

Every runtime runs them, and gives them its own `ports`: `local` and `ray` those of a machine, `simulated` models.
"""
