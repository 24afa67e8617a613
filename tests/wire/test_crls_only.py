"""crls-only messages as openssl writes them, and what is none (RFC 8295 section 4.2; C-02)."""

from __future__ import annotations

import base64
import contextlib
import subprocess
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from device_sdk.errors import WireError
from device_sdk.wire.crls_only import MAX_CRLS_BYTES, MAX_LISTS, read_crls_only

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


def make_crl(name: str = "CA", key=None) -> x509.CertificateRevocationList:
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    builder = x509.CertificateRevocationListBuilder().issuer_name(subject)
    builder = builder.last_update(NOW).next_update(NOW + timedelta(days=7))
    return builder.sign(key or ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())


def by_openssl(*lists: x509.CertificateRevocationList, certificates: bytes = b"", tmp_path) -> bytes:
    """DER of the message."""
    message = b""
    file = tmp_path / "all.pem"
    file.write_bytes(b"".join(one.public_bytes(Encoding.PEM) for one in lists[:1]))
    words = ["openssl", "crl2pkcs7", "-in", str(file), "-outform", "DER"]
    if certificates:
        (tmp_path / "certs.pem").write_bytes(certificates)
        words += ["-certfile", str(tmp_path / "certs.pem")]
    message = subprocess.run(words, capture_output=True, check=True).stdout
    if lists[1:]:  # openssl takes one list; the others go into the same field
        first = lists[0].public_bytes(Encoding.DER)
        message = _with_more(message, first, [one.public_bytes(Encoding.DER) for one in lists[1:]])
    return message


def element(tag: int, contents: bytes) -> bytes:
    size = len(contents)
    length = bytes([size]) if size < 128 else bytes([0x84]) + size.to_bytes(4, "big")
    return bytes([tag]) + length + contents


def _with_more(message: bytes, first: bytes, others: list[bytes]) -> bytes:
    signed = bytes.fromhex("020101") + bytes.fromhex("3100") + bytes.fromhex("300b06092a864886f70d010701")
    signed += element(0xA1, first + b"".join(others)) + bytes.fromhex("3100")
    assert first in message
    return element(0x30, bytes.fromhex("06092a864886f70d010702") + element(0xA0, element(0x30, signed)))


def test_what_openssl_writes(tmp_path):
    crl = make_crl()
    der = by_openssl(crl, tmp_path=tmp_path)
    for body in (der, base64.b64encode(der) + b"\n", base64.encodebytes(der)):
        assert read_crls_only(body) == (crl,)


def test_several_lists_and_one_of_them_twice(tmp_path):
    one, other = make_crl(), make_crl("CB")
    assert read_crls_only(by_openssl(one, other, one, tmp_path=tmp_path)) == (one, other)


def test_certificates_beside_them_are_ignored(tmp_path):
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "CA")])
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    certificate = builder.serial_number(1).not_valid_before(NOW).not_valid_after(NOW).sign(key, hashes.SHA256())
    crl = make_crl(key=key)
    der = by_openssl(crl, certificates=certificate.public_bytes(Encoding.PEM), tmp_path=tmp_path)
    assert read_crls_only(der) == (crl,)


def test_ber_of_indefinite_length(tmp_path):
    """As Bouncy Castle and openssl cms -stream write: every constructed element of the message."""
    crl = make_crl().public_bytes(Encoding.DER)
    contents = crl[2 + (crl[1] & 0x7F if crl[1] > 0x80 else 0) :]
    end = b"\0\0"
    signed = bytes.fromhex("020101") + b"\x31\x80" + end + b"\x30\x80" + bytes.fromhex("06092a864886f70d010701") + end
    signed += b"\xa1\x80" + b"\x30\x80" + contents + end + end + b"\x31\x80" + end
    message = b"\x30\x80" + bytes.fromhex("06092a864886f70d010702") + b"\xa0\x80\x30\x80" + signed + end * 3
    assert [one.public_bytes(Encoding.DER) for one in read_crls_only(message)] == [crl]


def test_pem_files_with_several(tmp_path):
    lists = make_crl(), make_crl("CB")
    assert read_crls_only(b"".join(one.public_bytes(Encoding.PEM) for one in lists)) == lists


def signed_data(field: bytes) -> bytes:
    inner = bytes.fromhex("0201013100300b06092a864886f70d010701") + field + bytes.fromhex("3100")
    return element(0x30, bytes.fromhex("06092a864886f70d010702") + element(0xA0, element(0x30, inner)))


BAD = {
    "nothing": (b"", "empty"),
    "text": (b"<html>", "base64"),
    "another type": (element(0x30, bytes.fromhex("06092a864886f70d010701a0020400")), "not a CMS SignedData"),
    "no content": (element(0x30, bytes.fromhex("06092a864886f70d010702")), "not a CMS SignedData"),
    "an empty message": (element(0x30, b""), "not a CMS SignedData"),
    "an empty content": (element(0x30, bytes.fromhex("06092a864886f70d010702a000")), "not a CMS SignedData"),
    "no lists": (signed_data(b""), "no revocation list"),
    "an empty field": (signed_data(element(0xA1, b"")), "no revocation list"),
    "another kind of information": (signed_data(element(0xA1, element(0xA1, b"\x06\x01\x2a"))), "no revocation list"),
    "a list that is none": (signed_data(element(0xA1, element(0x30, b"\x02\x01\x01"))), "cannot be read"),
    "too many": (signed_data(element(0xA1, b"".join(element(0x30, b"%04d" % n) for n in range(200)))), f"{MAX_LISTS}"),
    "too large": (b"A" * (MAX_CRLS_BYTES + 1), "limit"),
    "another label": (b"-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n", "labelled"),
}


@pytest.mark.parametrize(("body", "says"), BAD.values(), ids=BAD)
def test_what_is_none(body, says):
    with pytest.raises(WireError, match=says):
        read_crls_only(body)


def test_cut_anywhere(tmp_path):
    der = by_openssl(make_crl(), tmp_path=tmp_path)
    for end in range(len(der)):
        with pytest.raises(WireError):
            read_crls_only(der[:end])


@pytest.mark.parametrize("bit", [0x01, 0x80])
def test_flipped_anywhere(bit, tmp_path):
    """Either it is refused, or it is a list whose signature tells."""
    der = by_openssl(make_crl(), tmp_path=tmp_path)
    for place in range(len(der)):
        changed = bytearray(der)
        changed[place] ^= bit
        with contextlib.suppress(WireError):
            read_crls_only(bytes(changed))


def test_what_looks_like_an_indefinite_length_inside():
    with pytest.raises(WireError, match="cannot be read"):
        read_crls_only(signed_data(element(0xA1, bytes.fromhex("308030030205000000"))))
