"""The Ray runtime: a coordinator actor and worker actors. See docs/concepts/ray.md."""
