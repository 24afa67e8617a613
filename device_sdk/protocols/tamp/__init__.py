"""The rules of the Trust Anchor Management Protocol (RFC 5934; RFC 8295 section 7): who may change what, and what is answered.

A store and a message go in, another store and an answer come out; nothing here keeps, sends or reads a clock.
"""

from device_sdk.protocols.tamp.process import Processed, process, refusal
from device_sdk.protocols.tamp.signers import Trusting
from device_sdk.protocols.tamp.store import AnchorStore, HeldAnchor, Role, StoreName

__all__ = ["AnchorStore", "HeldAnchor", "Processed", "Role", "StoreName", "Trusting", "process", "refusal"]
