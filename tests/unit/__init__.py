"""Tests in memory only: without files, sockets or processes."""
