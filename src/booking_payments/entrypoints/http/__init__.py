"""The HTTP API. Start at ``app.py``; one file per resource declares its endpoints as values.

A request travels: ``middleware`` (request id, headers, time) -> ``limits`` (how often) -> ``auth`` (who) -> ``parsing``
(what, strictly) -> ``idempotency`` (once) -> the resource's handler -> ``render`` -> ``audit``. Errors become problem
details in ``problems``; ``openapi`` prints the same declarations as a document.
"""
