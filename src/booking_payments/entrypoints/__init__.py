"""The ways in: HTTP and the command line. They know the application, never the adapters."""
