"""The server's end of TLS: pyOpenSSL, whose OpenSSL is not the one Python's own clients use."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from OpenSSL import SSL, crypto

from device_sdk_simulators.http.messages import TlsFacts
from device_sdk_simulators.http.peer_chains import PeerChains

ServerKey: TypeAlias = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey

EXPORTER_LABEL = b"EXPORTER-Channel-Binding"
_EXPIRED_OR_NOT_YET_VALID = (9, 10)
# SSL_MODE_NO_AUTO_CHAIN: the chain is sent as it was given, not as OpenSSL can complete it
_NO_AUTO_CHAIN = 8
_CIPHERS = b"ECDHE+AESGCM:ECDHE+CHACHA20:ECDHE+AES256+SHA384:ECDHE+AES128+SHA256:ECDHE+AES+SHA1:!aNULL:!eNULL:!PSK"


@dataclass(frozen=True)
class TlsSettings:
    """What a listener shows and whom it lets in.

    Attributes:
        chain: the server's certificates, leaf first.
        key: the leaf's private key.
        client_anchors: CAs of clients (EST-21); a client may show a certificate and need not (EST-24).
        minimum: "TLSv1.2" or "TLSv1.3".
        maximum: "TLSv1.2" or "TLSv1.3".
        client_required: end the handshake with clients that show no certificate, or one that is not in its validity.
        suites: OpenSSL names of the cipher suites that are spoken; all that this server knows if there are none.
    """

    chain: Sequence[x509.Certificate]
    key: ServerKey = field(repr=False)
    client_anchors: Sequence[x509.Certificate] = ()
    minimum: str = "TLSv1.2"
    maximum: str = "TLSv1.3"
    client_required: bool = False
    suites: tuple[str, ...] = ()


class ServerTls(Protocol):
    """The server's end of TLS on one connection. Whatever goes wrong is an OSError, an SSL.Error or ConnectionEnded."""

    def handshake(self) -> TlsFacts:
        """Shake hands with the client, as the server."""

    def recv(self, size: int, /) -> bytes:
        """The next bytes of the client; none when it has ended."""

    def sendall(self, data: bytes, /) -> object:
        """Send all bytes."""

    def shutdown(self) -> object:
        """Send a close_notify."""


Accept: TypeAlias = Callable[[socket.socket], ServerTls]
"""Takes an accepted socket into TLS; the handshake comes later."""


class CertificateTls:
    """TLS with a server certificate.

    Args:
        context: the listener's.
        chains: what the clients of that context sent along with their certificates.
        sock: the accepted socket.
    """

    def __init__(self, context: SSL.Context, chains: PeerChains, sock: socket.socket) -> None:
        self._connection, self._chains = SSL.Connection(context, sock), chains
        self.recv = self._connection.recv
        self.sendall = self._connection.sendall
        self.shutdown = self._connection.shutdown

    def handshake(self) -> TlsFacts:
        """See ServerTls."""
        self._connection.set_accept_state()
        self._connection.do_handshake()
        return connection_facts(self._connection, self._chains)


def certificate_tls(settings: TlsSettings) -> Accept:
    """What a listener with a server certificate needs; all its connections share a context."""
    context, chains = make_context(settings), PeerChains()
    return lambda sock: CertificateTls(context, chains, sock)


def make_context(settings: TlsSettings) -> SSL.Context:
    """A context for all connections of a listener; it holds the key of its session tickets."""
    versions = {"TLSv1.2": SSL.TLS1_2_VERSION, "TLSv1.3": SSL.TLS1_3_VERSION}
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    context.set_min_proto_version(versions[settings.minimum])
    context.set_max_proto_version(versions[settings.maximum])
    context.set_options(SSL.OP_NO_RENEGOTIATION | SSL.OP_NO_COMPRESSION | SSL.OP_CIPHER_SERVER_PREFERENCE)
    context.set_mode(_NO_AUTO_CHAIN)
    _set_suites(context, settings.suites)
    context.use_privatekey(settings.key)
    context.use_certificate(settings.chain[0])
    for certificate in settings.chain[1:]:
        context.add_extra_chain_cert(certificate)
    context.check_privatekey()
    # OpenSSL resumes sessions of a server that asks for certificates only if the context has a name
    context.set_session_id(os.urandom(16))
    store = context.get_cert_store()
    if store is None:
        raise RuntimeError("the TLS context has no certificate store")
    for anchor in settings.client_anchors:
        store.add_cert(crypto.X509.from_cryptography(anchor))
        context.add_client_ca(anchor)
    store.set_flags(crypto.X509StoreFlags.PARTIAL_CHAIN)
    if settings.client_required:
        context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_CLIENT_ONCE | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, None)
    else:
        context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_CLIENT_ONCE, _verify)
    return context


def _set_suites(context: SSL.Context, suites: tuple[str, ...]) -> None:
    """Offer these suites; SSL.Error for a name OpenSSL does not know."""
    old = [name for name in suites if not name.startswith("TLS_")]
    context.set_cipher_list(":".join(old).encode() if old else _CIPHERS)
    if suites and not old:
        context.set_min_proto_version(SSL.TLS1_3_VERSION)
    if suites:
        context.set_tls13_ciphersuites(":".join(name for name in suites if name.startswith("TLS_")).encode())


def _verify(_connection: SSL.Connection, _certificate: crypto.X509, error: int, _depth: int, good: int) -> bool:
    # Time is judged by the handler, with the server's own clock and with a sentence the client can read.
    return bool(good) or error in _EXPIRED_OR_NOT_YET_VALID


def connection_facts(connection: SSL.Connection, chains: PeerChains) -> TlsFacts:
    """What the handshake that has just ended established; ConnectionEnded if a resumed one cannot be judged."""
    resumed = _resumed(connection)
    leaf = connection.get_peer_certificate(as_cryptography=True)
    rest = connection.get_peer_cert_chain(as_cryptography=True) or []
    chain = () if leaf is None else chains.whole(leaf, rest, resumed=resumed)
    version = connection.get_protocol_version_name()
    # RFC 5929 section 3.1: the first Finished of the handshake is the client's, in a resumed one the server's
    first_finished = connection.get_finished() if resumed else connection.get_peer_finished()
    return TlsFacts(
        version=version,
        cipher=connection.get_cipher_name() or "",
        client_chain=chain,
        tls_unique=first_finished if version == "TLSv1.2" else None,
        tls_exporter=_exporter(connection, version),
        # as libest does it on every version
        client_finished=first_finished,
        resumed=resumed,
    )


def _exporter(connection: SSL.Connection, version: str) -> bytes | None:
    """The channel binding; None on TLS 1.2 without extended master secret, where it binds nothing (RFC 9266 section 4.2)."""
    library: Any = vars(SSL)["_lib"]
    if version != "TLSv1.3" and library.SSL_get_extms_support(connection._ssl) != 1:
        return None
    return connection.export_keying_material(EXPORTER_LABEL, 32, b"")


def _resumed(connection: SSL.Connection) -> bool:
    # pyOpenSSL has no public call for it
    library: Any = vars(SSL)["_lib"]
    return bool(library.SSL_session_reused(connection._ssl))
