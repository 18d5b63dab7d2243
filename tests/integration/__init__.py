"""Against real databases, files and sockets."""
