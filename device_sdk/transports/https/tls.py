"""TLS contexts: who is trusted, what is shown, and the server's authorization right after the handshake."""

from __future__ import annotations

import contextlib
import socket
import ssl
from functools import cached_property
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from device_sdk.errors import ConfigurationError, ServerNotAuthorizedError, TlsKeyUnavailableError
from device_sdk.model.trust import ServerTrust, TlsIdentity
from device_sdk.transports.https.authorize import authorize, refuse_path
from device_sdk.transports.https.sessions import Sessions
from device_sdk.transports.https.timed import TimedTlsSocket
from device_sdk.transports.openssl_provider import (
    accept_any_purpose,
    announce_anchors,
    forget_errors,
    has_extended_master_secret,
    use_private_key,
)
from device_sdk.transports.openssl_provider.context import KeyObject, KeySocket
from device_sdk.wire.path_inputs import NO_INPUTS, PathInputs

# RFC 9325 section 4.2, and RFC 7030 sections 3.2.3, 3.3.3 and 6 (EST-51): forward secrecy and AEAD only.
_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20:ECDHE+AESCCM:DHE+AESGCM:DHE+CHACHA20:!aNULL:!eNULL:!PSK:!SRP:!aDSS:@SECLEVEL=2"
_VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}


class TrustedSocket(TimedTlsSocket, KeySocket):
    """A TLS socket that is open only towards an authorized server."""

    _session_key: tuple[str, int] | None = None

    def do_handshake(self, block: bool = False) -> None:
        """Handshake, then authorize the server, before anybody can send a byte.

        Raises:
            ServerNotAuthorizedError: see `authorize`; the connection is closed.
            ServerNotTrustedError: see `refuse_path`; the connection is closed.
            ssl.SSLError: the handshake failed or the server is not trusted.
        """
        port = self.getpeername()[1]  # now: a server that refuses the certificate may be gone after the handshake
        super().do_handshake(block)
        try:
            _authorize(self)
        except BaseException:
            self.close()
            raise
        self._session_key = (self.server_hostname or "", port)

    def say_goodbye(self) -> None:
        """See TimedTlsSocket."""
        self._keep_session()
        super().say_goodbye()

    def close(self) -> None:
        """Close; the session of an authorized connection is kept for the next one."""
        self._keep_session()
        super().close()

    def _keep_session(self) -> None:
        if self._session_key is None or self.session is None:
            return
        context = self.context
        if isinstance(context, ClientContext) and _is_bound(self):
            context.sessions.keep(*self._session_key, self.session)


class TrustedObject(KeyObject):
    """The same without a socket, for asyncio and TLS inside TLS."""

    def do_handshake(self) -> None:
        """See TrustedSocket."""
        super().do_handshake()
        _authorize(self)


class ClientContext(ssl.SSLContext):
    """An SSLContext whose trust cannot be switched off."""

    sslsocket_class = TrustedSocket
    sslobject_class = TrustedObject
    explicit_anchors: frozenset[bytes] = frozenset()
    path_inputs: PathInputs = NO_INPUTS
    announced: object = None

    @cached_property
    def sessions(self) -> Sessions:
        """Sessions to resume."""
        return Sessions()

    def wrap_socket(
        self,
        sock: socket.socket,
        server_side: bool = False,
        do_handshake_on_connect: bool = True,
        suppress_ragged_eofs: bool = True,
        server_hostname: str | bytes | None = None,
        session: ssl.SSLSession | None = None,
    ) -> ssl.SSLSocket:
        """As in the ssl module; offers a session of an earlier connection to the same server."""
        if session is None and isinstance(server_hostname, str):
            with contextlib.suppress(OSError):  # not connected yet
                session = self.sessions.take(server_hostname, sock.getpeername()[1])
        return super().wrap_socket(
            sock, server_side, do_handshake_on_connect, suppress_ragged_eofs, server_hostname, session
        )

    @property  # type: ignore[override]  # typeshed: an attribute
    def verify_mode(self) -> ssl.VerifyMode:
        """Always CERT_REQUIRED; setting anything else raises ConfigurationError."""
        return ssl.VerifyMode.CERT_REQUIRED

    @verify_mode.setter
    def verify_mode(self, value: ssl.VerifyMode) -> None:
        if value != ssl.CERT_REQUIRED:
            raise ConfigurationError("this TLS context always verifies the server", hint="leave out verify=False")
        ssl.SSLContext.verify_mode.__set__(self, value)  # type: ignore[attr-defined]  # a property at run time


def client_ssl_context(
    trust: ServerTrust, identity: TlsIdentity | None = None, *, max_tls_version: str | None = None
) -> ssl.SSLContext:
    """An `ssl.SSLContext` for any program: TLS 1.2 and 1.3, our trust anchors and no others, a key from anywhere.

    The server's name (or id-kp-cmcRA under an Explicit anchor) is checked in `do_handshake()`, so `check_hostname` is off
    and `server_hostname` must be given. Requirements EST-50 to EST-53, EST-60 to EST-67, EST-95.

    Args:
        trust: the two trust anchor databases.
        identity: certificate chain and key for TLS client authentication.
        max_tls_version: "1.2" for peers that need tls-unique; None for the newest.

    Raises:
        ConfigurationError: no trust anchor, an unknown version, or a chain that does not fit the key.
        TlsKeyUnavailableError: this Python's OpenSSL cannot be given the key.
    """
    if not trust.explicit and not trust.implicit:
        raise ConfigurationError(
            "there is no trust anchor for the server", hint="give its CA certificate, or bootstrap with a fingerprint"
        )
    context = ClientContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    harden(context, max_tls_version)
    context.verify_flags |= ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN  # an Explicit anchor may be an intermediate
    context.path_inputs = PathInputs(lists=trust.lists)
    if trust.explicit:
        _load_explicit(context, trust)
    if trust.implicit:
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
    if identity is not None:
        _load_identity(context, identity)
    return context


def harden(context: ssl.SSLContext, max_tls_version: str | None) -> None:
    """Versions, suites and options that hold for every connection of the SDK.

    Raises:
        ConfigurationError: `max_tls_version` is neither "1.2" nor "1.3".
    """
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if max_tls_version is not None:
        try:
            context.maximum_version = _VERSIONS[max_tls_version.removeprefix("TLSv")]
        except KeyError as exc:
            raise ConfigurationError(f"TLS version {max_tls_version!r}: there are 1.2 and 1.3") from exc
    context.set_ciphers(_CIPHERS)
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    context.set_alpn_protocols(["http/1.1"])


def insist_on_close_notify(context: ssl.SSLContext) -> None:
    """Take the end of the connection for the end of the data only after a close_notify (EST-14).

    Some Pythons switch that off for OpenSSL 3, that of Debian 12 among them.
    """
    context.options &= ~getattr(ssl, "OP_IGNORE_UNEXPECTED_EOF", 0)


def _load_explicit(context: ClientContext, trust: ServerTrust) -> None:
    anchors = [anchor.public_bytes(Encoding.DER) for anchor in trust.explicit]
    forget_errors()
    try:
        context.load_verify_locations(cadata=b"".join(anchors))
    except ssl.SSLError as exc:
        raise ConfigurationError(f"a trust anchor cannot be used: {exc.reason or exc}") from exc
    context.explicit_anchors = frozenset(anchors)
    if trust.announce:
        context.announced = announce_anchors(context, trust.explicit)
    try:
        accept_any_purpose(context)
    except TlsKeyUnavailableError:
        return  # then servers that have id-kp-cmcRA only are not trusted; all others are


def _load_identity(context: ssl.SSLContext, identity: TlsIdentity) -> None:
    if not identity.chain:
        raise ConfigurationError("a TLS client key without a certificate", hint="enrol first, or leave the key out")
    certified, held = (
        public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        for public in (identity.chain[0].public_key(), identity.key.public_key())
    )
    if certified != held:
        raise ConfigurationError("the TLS client certificate is for another key", hint="give the matching pair")
    use_private_key(context, b"".join(c.public_bytes(Encoding.PEM) for c in identity.chain), identity.key)


def _authorize(sock: TrustedSocket | TrustedObject) -> None:
    context = sock.context
    if not isinstance(context, ClientContext):
        raise ServerNotAuthorizedError("the TLS context was exchanged for one that trusts differently")
    host = sock.server_hostname
    if not host:
        raise ConfigurationError("TLS without a server_hostname cannot tell one server from another")
    if sock.session_reused:
        context.sessions.check(host, sock.getpeercert(binary_form=True))
        return
    chain = verified_chain(sock)
    refuse_path(chain, context.path_inputs)
    authorize(chain, host, context.explicit_anchors)
    context.sessions.authorized(host, chain[0])


def _is_bound(sock: ssl.SSLSocket) -> bool:
    """Whether a resumed session would be tied to its first handshake (RFC 7627), as channel bindings need it."""
    try:
        return sock.version() == "TLSv1.3" or has_extended_master_secret(sock)
    except TlsKeyUnavailableError:
        return False


def verified_chain(sock: ssl.SSLSocket | ssl.SSLObject) -> list[bytes]:
    """The path OpenSSL built and verified, DER, leaf first, trust anchor last."""
    public = getattr(sock, "get_verified_chain", None)
    if public is not None:  # Python 3.13
        return list(public())
    inner: Any = sock._sslobj  # type: ignore[union-attr]  # not in typeshed
    return [ssl.PEM_cert_to_DER_cert(certificate.public_bytes()) for certificate in inner.get_verified_chain()]
