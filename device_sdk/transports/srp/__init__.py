"""Certificate-less TLS: user name and password prove client and server to each other (SRP, RFC 5054).

RFC 7030 section 3.3.3 allows it; it is off unless asked for. It exists for TLS 1.2 with CBC and SHA-1 only, and only where
Python's OpenSSL was built with it.
"""

from device_sdk.transports.srp.transport import SrpTransport

__all__ = ["SrpTransport"]
