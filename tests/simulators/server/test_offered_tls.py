"""What the server agrees to in a handshake, asked by first messages made by hand; and the certificate it shows (EST-50, EST-51, EST-59)."""

from __future__ import annotations

import socket

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID
from device_sdk_simulators.ca.tls import TlsProfile

from tests.simulators.server.support import client_context

TLS_1_0, TLS_1_1, TLS_1_2 = 0x0301, 0x0302, 0x0303
HANDSHAKE, ALERT = 22, 21
SERVER_HELLO, HANDSHAKE_FAILURE, PROTOCOL_VERSION = 2, 40, 70
GOOD = (0xC02B, 0xC02F)  # ECDHE with ECDSA or RSA, AES-128-GCM
OLD_SUITES = (0xC00A, 0xC014, 0x0039, 0x002F, 0x0035)  # what TLS 1.0 and 1.1 had at their best


def vector(data: bytes) -> bytes:
    return len(data).to_bytes(2, "big") + data


def hello(version: int, suites: tuple[int, ...]) -> bytes:
    """A ClientHello for P-256 and SHA-256 with these suites, as a record."""
    extensions = (
        b"\x00\x0a" + vector(vector(b"\x00\x17"))
        + b"\x00\x0b" + vector(b"\x01\x00")
        + b"\x00\x0d" + vector(vector(bytes.fromhex("040308040401")))
    )  # fmt: skip
    offered = b"".join(suite.to_bytes(2, "big") for suite in suites)
    body = version.to_bytes(2, "big") + bytes(32) + b"\0" + vector(offered) + b"\1\0" + vector(extensions)
    message = b"\1" + len(body).to_bytes(3, "big") + body
    return b"\x16\x03\x01" + vector(message)


def answer(port: int, version: int, suites: tuple[int, ...]) -> tuple[int, int]:
    """The type of the first record, and of the message in it: a handshake message, or the alert."""
    with socket.create_connection(("127.0.0.1", port), 20) as sock, sock.makefile("rb") as stream:
        sock.sendall(hello(version, suites))
        head = stream.read(5)
        data = stream.read(int.from_bytes(head[3:], "big"))
        return head[0], data[0] if head[0] == HANDSHAKE else data[1]


def test_the_messages_of_this_file_are_good_enough_for_an_honest_handshake(server):
    assert answer(server.port, TLS_1_2, GOOD) == (HANDSHAKE, SERVER_HELLO)


@pytest.mark.parametrize("version", [TLS_1_0, TLS_1_1], ids=["TLS 1.0", "TLS 1.1"])
@pytest.mark.parametrize("suites", [GOOD, OLD_SUITES], ids=["new suites", "old suites"])
def test_est_50_old_versions_are_refused(server, version, suites):
    """RFC 8996 sections 4 and 5: protocol_version, whatever else is offered."""
    assert answer(server.port, version, suites) == (ALERT, PROTOCOL_VERSION)
    assert server.log() == []


WEAK = {
    "EST-51: NULL": (0x0001, 0x0002, 0x003B, 0xC006, 0xC010),
    "EST-51: anonymous": (0x0018, 0x0034, 0x003A, 0x006C, 0x00A6, 0xC017, 0xC018, 0xC019),
    "EST-51: EXPORT": (0x0003, 0x0006, 0x0008, 0x0011, 0x0014),
    "EST-51: DES": (0x0009, 0x000C, 0x0015, 0x001A),
    "EST-51: 3DES": (0x000A, 0x0016, 0xC008, 0xC012),
    "EST-51: RC4": (0x0004, 0x0005, 0xC007, 0xC011),
    "EST-51: PSK": (0x008C, 0x008D, 0x00A8, 0x00AE, 0xC035, 0xCCAB),
    "EST-51: RSA without forward secrecy": (0x002F, 0x0035, 0x003C, 0x009C, 0x009D),
    "EST-68: SRP on the port with certificates": (0xC01A, 0xC01D, 0xC020, 0xC021),
}


@pytest.mark.parametrize("key_type", ["ec-p256", "rsa-2048"])
@pytest.mark.parametrize("case", WEAK)
def test_weak_suites_are_refused(server, case, key_type):
    """RFC 7030 sections 3.2.3 and 6, RFC 9325 section 4.1; with each kind of key the server may have."""
    server.use_tls(TlsProfile(key_type=key_type))
    assert answer(server.port, TLS_1_2, WEAK[case]) == (ALERT, HANDSHAKE_FAILURE)
    assert server.log() == []


@pytest.mark.slow
@pytest.mark.parametrize("key_type", ["ec-p256", "rsa-2048"])
def test_est_59_the_certificate_that_is_shown_follows_rfc_5280(server, run, tmp_path, key_type):
    """OpenSSL's strict mode judges the path; sections 4.1.2.2, 4.2.1.1, 4.2.1.6, 4.2.1.9 and 4.2.1.12."""
    server.use_tls(TlsProfile(key_type=key_type))
    raw = socket.create_connection(("127.0.0.1", server.port), 20)
    with raw, client_context(server).wrap_socket(raw, server_hostname="localhost") as sock:
        shown = x509.load_der_x509_certificate(sock.getpeercert(binary_form=True))
    (tmp_path / "shown.pem").write_bytes(shown.public_bytes(Encoding.PEM))
    run("openssl", "verify", "-x509_strict", "-purpose", "sslserver", "-verify_hostname", "localhost",
        "-CAfile", server.ca_file, "-untrusted", server.issuer_file, "shown.pem")  # fmt: skip
    assert shown.version is x509.Version.v3
    assert 0 < shown.serial_number < 1 << 159
    extensions = shown.extensions
    assert not extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert list(extensions.get_extension_for_class(x509.ExtendedKeyUsage).value) == [ExtendedKeyUsageOID.SERVER_AUTH]
    issuer = x509.load_pem_x509_certificate(server.issuer_file.read_bytes())
    known = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
    assert extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier == known
    names = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["localhost"]
