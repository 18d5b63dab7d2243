"""The worker: background work as jobs of a distributed queue."""
