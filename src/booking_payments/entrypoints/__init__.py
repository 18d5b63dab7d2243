"""The ways in: HTTP, pages, the command line, the worker. Each receives the services that ``runtime`` has built."""
