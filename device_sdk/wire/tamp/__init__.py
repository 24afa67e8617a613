"""The messages of the Trust Anchor Management Protocol (RFC 5934) and the trust anchors in them (RFC 5914); DER only.

Read are the five that a device gets, written the six that it gives; each has a file. What is in a message is worth nothing
before `protocols.tamp` has found out who signed it.
"""
