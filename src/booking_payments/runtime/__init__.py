"""Wires the service: settings, container, services, background tasks, process set-up, logging."""
