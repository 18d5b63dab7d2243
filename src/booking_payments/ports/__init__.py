"""Ports: protocols for storage, gateway, clock and the other dependencies of the use cases.

They import the domain only.
"""
