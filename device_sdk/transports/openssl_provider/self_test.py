"""Prove, before the first real key is used, that this libcrypto asks the provider for signatures."""

from __future__ import annotations

import datetime as dt
import ssl
from collections.abc import Callable

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from device_sdk.errors import TlsKeyUnavailableError
from device_sdk.model.keys import PrivateKey

_ROUND_TRIPS = 6


def run(load: Callable[[ssl.SSLContext, bytes, PrivateKey], None]) -> None:
    """A TLS handshake in memory, both ends authenticated by a throw-away key that went through the provider.

    Args:
        load: gives a context its certificate chain (PEM) and key.

    Raises:
        TlsKeyUnavailableError: the handshake failed.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = _certificate(key)
    try:
        server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        client.check_hostname = False
        for context in (server, client):
            load(context, certificate.public_bytes(Encoding.PEM), key)
            context.load_verify_locations(cadata=certificate.public_bytes(Encoding.DER))
            context.verify_mode = ssl.CERT_REQUIRED
        shown = _handshake(server, client)
    except ssl.SSLError as exc:
        raise TlsKeyUnavailableError(f"OpenSSL does not use the provider for hardware keys ({exc})") from exc
    if shown != certificate.public_bytes(Encoding.DER):
        raise TlsKeyUnavailableError("OpenSSL leaves out the client certificate of a hardware key")


def _certificate(key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "self-test")])
    # Any clock will do: a device may think it is 1970.
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(dt.datetime(1960, 1, 1, tzinfo=dt.UTC))
        .not_valid_after(dt.datetime(9999, 12, 31, tzinfo=dt.UTC))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )


def _handshake(server: ssl.SSLContext, client: ssl.SSLContext) -> bytes | None:
    """The client certificate as the server got it."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [client.wrap_bio(to_client, to_server), server.wrap_bio(to_server, to_client, server_side=True)]
    for _ in range(_ROUND_TRIPS):
        for end in ends:
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
    return ends[1].getpeercert(binary_form=True)
