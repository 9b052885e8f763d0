"""The Ray runtime: a coordinator actor and worker actors; docs/concepts/ray.md."""
