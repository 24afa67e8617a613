"""CALE, the client's part: requests and the reading of answers; no I/O, no clock, no state.

draft-deutch-lamps-client-app-encrypt-00, hardened where it leaves room.
"""
