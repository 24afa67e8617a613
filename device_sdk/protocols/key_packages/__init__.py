"""Packages of keys, symmetric or asymmetric: out of what protects them, and what goes back (RFC 8295 sections 5 and 8)."""
