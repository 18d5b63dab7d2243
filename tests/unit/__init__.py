"""In memory only: no file, no socket, no process."""
