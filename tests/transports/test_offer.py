"""What a client offers in its first message, read off the wire: versions and suites (EST-50, EST-51; RFC 8996, RFC 9325)."""

from __future__ import annotations

import ssl

import pytest

from device_sdk.model.trust import ServerTrust
from device_sdk.transports.https.clock import unverified_context
from device_sdk.transports.https.tls import client_ssl_context
from tests.transports.pki import Ca
from tests.transports.test_announce import client_hello

TLS_1_2, TLS_1_3 = 0x0303, 0x0304
SUPPORTED_VERSIONS, HEARTBEAT, EARLY_DATA = 43, 15, 42
RENEGOTIATION_SIGNAL = 0x00FF  # RFC 5746
AEAD = ("GCM", "CCM", "CHACHA20")

CONTEXTS = {
    "with trust anchors": lambda: client_ssl_context(ServerTrust((Ca("Root").certificate,))),
    "with the system's store": lambda: client_ssl_context(ServerTrust(implicit=True)),
    "of bootstrap": unverified_context,
}


def offered(context: ssl.SSLContext) -> list[int]:
    """The suites of the ClientHello, by number."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    with pytest.raises(ssl.SSLWantReadError):
        context.wrap_bio(incoming, outgoing, server_hostname="localhost").do_handshake()
    hello = outgoing.read()[5 + 4 + 2 + 32 :]
    hello = hello[1 + hello[0] :]
    size = int.from_bytes(hello[:2], "big")
    return [int.from_bytes(hello[at : at + 2], "big") for at in range(2, 2 + size, 2)]


@pytest.mark.parametrize("kind", CONTEXTS)
def test_est_50_two_versions_are_offered_and_no_other(kind):
    extensions = client_hello(CONTEXTS[kind]())
    listed = extensions[SUPPORTED_VERSIONS]
    assert listed == bytes([4]) + TLS_1_3.to_bytes(2, "big") + TLS_1_2.to_bytes(2, "big")
    assert HEARTBEAT not in extensions
    assert EARLY_DATA not in extensions


@pytest.mark.parametrize("kind", CONTEXTS)
def test_est_51_suites_with_forward_secrecy_and_aead_and_no_others(kind):
    """No NULL, anonymous, EXPORT, DES, RC4, PSK or SRP suite (EST-69), and none with CBC or without forward secrecy."""
    context = CONTEXTS[kind]()
    names = {suite["id"] & 0xFFFF: suite["name"] for suite in context.get_ciphers()}
    suites = [number for number in offered(context) if number != RENEGOTIATION_SIGNAL]
    assert suites
    for number in suites:
        name = names[number]
        assert name.startswith(("TLS_", "ECDHE-ECDSA-", "ECDHE-RSA-", "DHE-RSA-")), name
        assert any(word in name for word in AEAD), name
        assert not any(word in name for word in ("NULL", "PSK", "SRP", "DES", "RC4", "EXP", "ADH", "AECDH")), name
