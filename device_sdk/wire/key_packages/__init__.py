"""Packages of symmetric keys, what encrypts them, and the receipts for them (RFC 6031, RFC 6032, RFC 7191)."""
