"""The HTTP API. Start at ``app.py``; one file per resource declares its endpoints as values.

A request travels: ``frame`` (request id, headers, time) -> ``limits`` (how often) -> ``auth`` (who) -> ``door``
(what, strictly) -> ``idempotency`` (once) -> the resource's handler -> ``render`` -> ``audit``. Errors become problem
details in ``problems``; ``openapi`` prints the same declarations as a document.
"""
