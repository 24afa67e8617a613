"""Salts that OpenSSL's client computes wrongly, found before the password is used.

OpenSSL keeps a salt as a number and hashes it without its leading zero octets (SRP_Calc_x), where RFC 5054 section 2.4
hashes what was sent. One user in 256 of GnuTLS's server has such a salt: the right password would fail there as a wrong
one, each time, and would count as a guess.
"""

from __future__ import annotations

import ctypes
from typing import Any

from device_sdk.transports.openssl_provider.libcrypto import Pointer

_HANDSHAKE, _SERVER_KEY_EXCHANGE = 22, 12
_HEADER = 4

MessageCallback = ctypes.CFUNCTYPE(
    None, ctypes.c_int, ctypes.c_int, ctypes.c_int, Pointer, ctypes.c_size_t, Pointer, Pointer
)
"""SSL_CTX_set_msg_callback's: written, version, content type, octets, their number, connection, argument."""


class Salts:
    """Looks at what servers say in handshakes of one context.

    Attributes:
        callback: for SSL_CTX_set_msg_callback; it must live as long as the context.
    """

    def __init__(self) -> None:
        self._spoiled: set[int | None] = set()
        self.callback = MessageCallback(self._see)

    def spoiled(self, connection: int | None) -> bool:
        """Whether the salt of this connection (SSL *) begins with a zero octet."""
        return connection in self._spoiled

    def _see(self, *said: Any) -> None:
        written, _, kind, octets, size, connection, _ = said
        if written or kind != _HANDSHAKE or not octets or size <= _HEADER:
            return
        message = ctypes.string_at(octets, size)
        if message[0] != _SERVER_KEY_EXCHANGE:
            return
        self._spoiled.discard(connection)
        if _begins_with_zero(message[_HEADER:]):
            self._spoiled.add(connection)


def _begins_with_zero(body: bytes) -> bool:
    """Of a ServerKeyExchange: N, g, s, B (RFC 5054 section 2.8.2). What is malformed is OpenSSL's to refuse."""
    at = 0
    for _ in range(2):
        at += 2 + int.from_bytes(body[at : at + 2])
    size, first = body[at : at + 1], body[at + 1 : at + 2]
    return size not in (b"", b"\0") and first == b"\0"
