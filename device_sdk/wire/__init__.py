"""Bytes to dataclasses and back, one structure a file; no I/O, no clock."""
