"""Use cases: what the library does, one file each, over the ports."""
