"""The operator console: pages with the state of payments, and forms for the commands of operators."""
