"""Enrollment over Secure Transport (RFC 7030, RFC 8951): requests, answers and certificate checks; no I/O, no clock."""
