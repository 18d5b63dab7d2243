"""Instrumentation of the ports: a log line for each gateway call, and OpenTelemetry traces.

The container wraps the ports with it; the application does not depend on it.
"""
