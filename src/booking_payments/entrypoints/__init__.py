"""The ways in: HTTP, the command line, the sandbox. They know the application, and of the adapters only the fake."""
