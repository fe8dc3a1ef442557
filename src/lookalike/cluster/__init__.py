"""The work of an indexing run on a Ray cluster; nothing here is imported by other rooms."""

from lookalike.cluster.workers import RayWorkers

__all__ = ["RayWorkers"]
