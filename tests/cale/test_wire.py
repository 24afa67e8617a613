"""The small grammars of CALE: GUIDs, certificates, and Content-Types that come in twos."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from device_sdk.errors import ConfigurationError, LocalProtocolError, WireError
from device_sdk.model.credentials import Credentials
from device_sdk.model.secret import Secret
from device_sdk.protocols.cale.requests import (
    proof_of_identity,
    registration_request,
    resource_request,
    whoami_request,
)
from device_sdk.wire.cale import is_guid, parse_certificate, parse_guid, says_encrypted, split_content_types
from tests.cale.parts import GUID
from tests.cms.messages import VECTORS

ENVELOPE = 'application/x-pkcs7-mime; smime-type=enveloped-data; name="smime.p7m"'


@pytest.mark.parametrize("text", [GUID, GUID.upper(), "00000000-0000-0000-0000-000000000000"])
def test_cale_47_guids(text: str) -> None:
    assert is_guid(text)
    assert parse_guid(text.encode() + b"\n") == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        GUID + "0",
        GUID.replace("-", ""),
        f"urn:uuid:{GUID}",
        f" {GUID}",
        f"{GUID}\n",
        GUID.replace("b", "g"),
        "\N{ARABIC-INDIC DIGIT ONE}" * 36,
    ],
)
def test_no_guids(text: str) -> None:
    assert not is_guid(text)
    with pytest.raises(WireError):
        parse_guid(text.encode() + b"\n")


def test_certificates_pem_and_der() -> None:
    pem = (VECTORS / "enveloped-b3.3.plain.cert.pem").read_bytes()
    certificate = parse_certificate(pem)
    assert certificate.serial_number == 34377
    assert parse_certificate(certificate.public_bytes(Encoding.DER)) == certificate
    for garbage in (
        b"",
        pem[:-60],
        b"\x30\x03\x02\x01\x05",
        b"-----BEGIN CERTIFICATE-----",
        (VECTORS / "client.csr.pem").read_bytes(),
    ):
        with pytest.raises(WireError):
            parse_certificate(garbage)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["text/plain;charset=UTF-8", ENVELOPE], ["text/plain;charset=UTF-8", ENVELOPE]),
        ([f"text/plain;charset=UTF-8, {ENVELOPE}"], ["text/plain;charset=UTF-8", ENVELOPE]),
        ([ENVELOPE.replace("; smime", ";\r\n smime")], [ENVELOPE]),
        (['a/b; x="1, 2", c/d'], ['a/b; x="1, 2"', "c/d"]),
        (['a/b; x="never ended, c/d'], ['a/b; x="never ended, c/d']),
        (['a/b; x="\\", c/d'], ['a/b; x="\\", c/d']),
        (["", " , ,"], []),
        (['"' * 100_000], ['"' * 4096]),
    ],
)
def test_cale_11_content_types(values: list[str], expected: list[str]) -> None:
    assert list(split_content_types(values)) == expected


@pytest.mark.parametrize(
    ("content_type", "expected"),
    [
        (ENVELOPE, True),
        (ENVELOPE.upper(), True),
        ("application/pkcs7-mime; smime-type=authEnveloped-data", True),
        ('application/pkcs7-mime; smime-type = "enveloped-data"', True),
        ("application/pkcs7-mime", True),
        ("application/pkcs7-mime; smime-type=certs-only", False),
        ("application/pkcs7-signature", False),
        ("text/plain;charset=UTF-8", False),
        ("", False),
        (";;;=", False),
    ],
)
def test_cale_12_media_types(content_type: str, expected: bool) -> None:
    assert says_encrypted(content_type) is expected


def test_b_1_1_registration_request() -> None:
    request = registration_request(b"\x30\x00", "Basic eDp5")
    assert (request.method, request.target) == ("POST", "/registration")
    assert request.headers == (("Content-Type", "application/pkcs10"), ("Authorization", "Basic eDp5"))
    assert request.body == b"-----BEGIN CERTIFICATE REQUEST-----\nMAA=\n-----END CERTIFICATE REQUEST-----\n"
    assert "eDp5" not in repr(request)
    assert registration_request(b"\x30\x00").headers == (("Content-Type", "application/pkcs10"),)


def test_cale_02_proofs_of_identity() -> None:
    assert proof_of_identity(None, None) is None
    assert proof_of_identity(Credentials("x", Secret("y")), None) == "Basic eDp5"
    assert proof_of_identity(None, Secret("token\n")) == "Bearer token"
    for bad in ("", "two words", "line\r\nX: y", "ümlaut"):
        with pytest.raises(ConfigurationError) as caught:
            proof_of_identity(None, Secret(bad))
        assert not bad or bad not in str(caught.value)
    with pytest.raises(ConfigurationError):
        proof_of_identity(Credentials("x", Secret("y")), Secret("z"))


def test_cale_06_reading_only() -> None:
    assert resource_request("/a?b=c", GUID, method="HEAD").method == "HEAD"
    for method in ("POST", "PUT", "DELETE", "PATCH", "get", ""):
        with pytest.raises(LocalProtocolError):
            resource_request("/a", GUID, method=method)
    with pytest.raises(LocalProtocolError):
        whoami_request("no guid")


def test_targets_are_safe() -> None:
    assert resource_request("/ü?x=a b#c%41", GUID).target == "/%C3%BC?x=a%20b%23c%41"
    assert resource_request("/a\r\nHost: evil", GUID).target == "/a%0D%0AHost:%20evil"
