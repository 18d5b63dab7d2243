"""Ports: what the use cases need of the world, as small protocols. They import the domain only."""
