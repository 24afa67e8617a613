"""The server's end of TLS 1.2 with SRP (RFC 5054), on one connection."""

from __future__ import annotations

import ctypes
import socket
import weakref
from collections.abc import Callable
from typing import Any

from device_sdk_simulators.backoff import Guard
from device_sdk_simulators.http.address import peer_address
from device_sdk_simulators.http.messages import TlsFacts
from device_sdk_simulators.http.parser import ConnectionEnded
from device_sdk_simulators.http.tls import EXPORTER_LABEL, Accept
from device_sdk_simulators.srp import libssl as c
from device_sdk_simulators.srp.users import SrpUsers
from device_sdk_simulators.srp.verifier import GENERATOR, PRIME, Verifier

Report = Callable[[str, str, str], None]
"""Told about every handshake that failed: user name, address, and why."""

# no certificate in any of them; RFC 7030 section 6 forbids the one with _DES_
_SUITES = b"SRP-AES-256-CBC-SHA:SRP-AES-128-CBC-SHA:@SECLEVEL=2"
_ACCESS_DENIED, _INTERNAL_ERROR = 49, 80


def srp_tls(users: SrpUsers, guard: Guard, report: Report) -> Accept:
    """What a listener without a certificate needs; SrpUnavailableError."""
    c.libssl()
    return lambda sock: SrpTls(sock, users, guard, report)


class SrpTls:
    """TLS with a client that names a user in its first message, and knows the user's password or fails.

    Sessions are never resumed, so every connection proves the password anew and counts for the back-off.

    Args:
        sock: the accepted socket.
        users: verifiers.
        guard: asked before anything is computed for a user.
        report: told about failures.
    """

    def __init__(self, sock: socket.socket, users: SrpUsers, guard: Guard, report: Report) -> None:
        self._lib = lib = c.libssl()
        self._users, self._guard, self._report = users, guard, report
        self._address = peer_address(sock)
        self._user: str | None = None
        self._refusal: str | None = None
        # a context for each connection, so that its callback belongs to the connection
        context = lib.SSL_CTX_new(lib.TLS_server_method())
        lib.SSL_CTX_ctrl(context, c.SET_MIN_VERSION, c.TLS12, None)
        lib.SSL_CTX_ctrl(context, c.SET_MAX_VERSION, c.TLS12, None)
        lib.SSL_CTX_ctrl(context, c.SET_SESSION_CACHE_MODE, 0, None)
        lib.SSL_CTX_set_options(context, c.OPTIONS)
        lib.SSL_CTX_set_cipher_list(context, _SUITES)
        ours = weakref.ref(self)
        self._callback = c.UsernameCallback(lambda ssl, alert, _argument: _choose(ours, ssl, alert))
        lib.SSL_CTX_set_srp_username_callback(context, self._callback)
        self._ssl = lib.SSL_new(context)
        lib.SSL_CTX_free(context)
        lib.SSL_set_fd(self._ssl, sock.fileno())
        weakref.finalize(self, lib.SSL_free, self._ssl).atexit = False

    def handshake(self) -> TlsFacts:
        """See ServerTls."""
        lib = self._lib
        lib.ERR_clear_error()
        if lib.SSL_accept(self._ssl) != 1:
            self._report(self._user or "", self._address, self._refusal or lib.last_error() or "given up by the client")
            raise ConnectionEnded
        if self._user is None:  # not reached: no suite works without
            raise ConnectionEnded
        self._guard.succeed(self._user, self._address)
        finished, exported = ctypes.create_string_buffer(64), ctypes.create_string_buffer(32)
        size = lib.SSL_get_peer_finished(self._ssl, finished, len(finished))
        lib.SSL_export_keying_material(self._ssl, exported, 32, EXPORTER_LABEL, len(EXPORTER_LABEL), b"", 0, 1)
        return TlsFacts(
            version=lib.SSL_get_version(self._ssl).decode(),
            cipher=lib.SSL_CIPHER_get_name(lib.SSL_get_current_cipher(self._ssl)).decode(),
            # always a full handshake: the first Finished is the client's (RFC 5929 section 3.1)
            tls_unique=finished.raw[:size],
            tls_exporter=exported.raw,
            client_finished=finished.raw[:size],
            srp_user=self._user,
        )

    def recv(self, size: int, /) -> bytes:
        """See ServerTls."""
        self._lib.ERR_clear_error()
        buffer = ctypes.create_string_buffer(size)
        count = self._lib.SSL_read(self._ssl, buffer, size)
        return buffer.raw[: max(0, count)]

    def sendall(self, data: bytes, /) -> None:
        """See ServerTls."""
        self._lib.ERR_clear_error()
        if data and self._lib.SSL_write(self._ssl, data, len(data)) != len(data):
            raise ConnectionEnded

    def shutdown(self) -> None:
        """See ServerTls."""
        self._lib.ERR_clear_error()
        self._lib.SSL_shutdown(self._ssl)

    def choose(self, ssl: int) -> int | None:
        """The client has named its user: give OpenSSL the verifier, or return the alert that ends the handshake."""
        self._user = self._lib.SSL_get_srp_username(ssl).decode(errors="replace")
        if not self._guard.begin(self._user, self._address):
            self._refusal = "too many failures: pause or lock"
            return _ACCESS_DENIED
        done = self._set(ssl, self._users.verifier(self._user))
        return None if done else _INTERNAL_ERROR

    def _set(self, ssl: int, verifier: Verifier) -> bool:
        lib = self._lib
        values = (PRIME.to_bytes(384), bytes([GENERATOR]), verifier.salt, verifier.value)
        numbers = [lib.BN_bin2bn(value, len(value), None) for value in values]
        try:
            return bool(lib.SSL_set_srp_server_param(ssl, *numbers, None) == 1)
        finally:
            for number in numbers:
                lib.BN_clear_free(number)


def _choose(ours: weakref.ref[SrpTls], ssl: int, alert: Any) -> int:
    """The C callback: whatever fails ends the handshake."""
    try:
        connection = ours()
        code = _INTERNAL_ERROR if connection is None else connection.choose(ssl)
    except Exception as error:  # noqa: BLE001 - nobody above this can be told
        code = _INTERNAL_ERROR
        if connection is not None:
            connection._refusal = f"{type(error).__name__}: {error}"
    if code is None:
        return 0
    alert[0] = code
    return c.FATAL
