"""CSRs as a server's csrattrs wants them: algorithms, templates, values of its own; RFC 9908."""

from __future__ import annotations

import logging
import re
from dataclasses import replace

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa

from device_sdk.errors import CsrAttributesError
from device_sdk.model.csr import CsrSpec, DeviceAttributes
from device_sdk.wire import csrattrs_oids as oids
from device_sdk.wire import der
from device_sdk.wire.csr import build_csr
from device_sdk.wire.names import parse_dn, parse_san
from tests.wire.judges import csr_by_pyasn1
from tests.wire.test_csr import (
    EKU,
    KU,
    MAC_DER,
    P256,
    ROUTER,
    SAN,
    SDA,
    example,
    extension_request,
    judged,
    wishes_of,
)


@pytest.fixture(scope="module")
def rsa_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        (["1.2.840.10045.4.3.3"], "ecdsa-with-SHA384"),
        (["2.16.840.1.101.3.4.2.3"], "ecdsa-with-SHA512"),
    ],
)
def test_signature_wishes_with_an_ec_key(entries: list[bytes | str], expected: str) -> None:
    """EST-177: a signature OID, and a bare hash OID with the key's own scheme."""
    assert f"Signature Algorithm: {expected}" in judged(build_csr(ROUTER, P256, wishes=wishes_of(*entries)))


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        (["1.2.840.113549.1.1.13"], "sha512WithRSAEncryption"),
        (["2.16.840.1.101.3.4.2.2"], "sha384WithRSAEncryption"),
        (["1.2.840.113549.1.1.10"], "rsassaPss"),
    ],
)
def test_signature_wishes_with_an_rsa_key(
    rsa_key: rsa.RSAPrivateKey, entries: list[bytes | str], expected: str
) -> None:
    assert f"Signature Algorithm: {expected}" in judged(build_csr(ROUTER, rsa_key, wishes=wishes_of(*entries)))


def test_pss_parameters(rsa_key: rsa.RSAPrivateKey) -> None:
    """RFC 4055 section 3.1: hash, MGF1 with the same hash, salt as long as the hash."""
    text = judged(build_csr(ROUTER, rsa_key, wishes=wishes_of("1.2.840.113549.1.1.10", "2.16.840.1.101.3.4.2.3")))
    assert "Hash Algorithm: sha512" in text
    assert "Mask Algorithm: mgf1 with sha512" in text
    assert "Salt Length: 0x40" in text


def test_wishes_that_the_key_does_not_fit() -> None:
    """EST-178: an error that names both; a caller who fixed the key goes on without key wishes."""
    wishes = wishes_of("1.3.132.0.34")
    with pytest.raises(CsrAttributesError, match="secp384r1"):
        build_csr(ROUTER, P256, wishes=wishes)
    judged(build_csr(ROUTER, P256, wishes=wishes.without_key_wishes()))
    with pytest.raises(CsrAttributesError, match="sha1"):
        build_csr(ROUTER, P256, wishes=wishes_of("1.3.14.3.2.26"))


def test_acp_example_is_copied() -> None:
    """EST-176, RFC 9908 section 5.1: value and critical bit of the server's SAN."""
    wishes = example("rfc9908/s5.1-acp-san")
    request = build_csr(ROUTER, P256, wishes=wishes)
    _, extensions = csr_by_pyasn1(request)
    assert extensions == {SAN: (True, wishes.extensions[0].value)}
    judged(request)


def test_template_is_followed() -> None:
    """EST-182, EST-183: open parts filled, given parts used, critical copied, nothing beside the template's subject."""
    usage = x509.Extension(x509.ExtendedKeyUsage.oid, True, x509.ExtendedKeyUsage([x509.OID_CLIENT_AUTH]))
    spec = CsrSpec(ROUTER.subject, (parse_san("IP:192.0.2.7"), parse_san("IP:192.0.2.8")), extensions=(usage,))
    request = build_csr(spec, P256, wishes=example("rfc9908/generated-s3.4-template"))
    text = judged(request)
    assert re.search(r"Subject: CN ?= ?router-1, OU ?= ?myDept, OU ?= ?myGroup\n", text)
    assert "DNS:www.myServer.com, IP Address:192.0.2.7, IP Address:192.0.2.8\n" in text
    _, extensions = csr_by_pyasn1(request)
    assert extensions[KU] == (True, b"\x03\x02\x03\x88")
    assert extensions[EKU][0] is False
    assert list(extensions) == [SAN, KU, EKU]


def test_template_without_values_to_fill_in(caplog: pytest.LogCaptureFixture) -> None:
    """EST-185: what the client has no value for is left out, and logged."""
    with caplog.at_level(logging.INFO, logger="device_sdk"):
        request = build_csr(CsrSpec(parse_dn("O=Example")), P256, wishes=example("rfc9908/generated-s3.4-template"))
    assert re.search(r"Subject: OU ?= ?myDept, OU ?= ?myGroup\n", judged(request))
    _, extensions = csr_by_pyasn1(request)
    assert EKU not in extensions
    assert b"\x87" not in extensions[SAN][1]
    logged = " ".join(caplog.messages)
    for word in ("2.5.4.3", "2.5.4.10", EKU):
        assert word in logged


def test_open_parts_of_one_type_are_filled_one_after_the_other() -> None:
    """EST-182: two open OUs take the caller's two, each once; a third stays open and is left out."""
    open_part = der.set_of([der.sequence(der.oid("2.5.4.11"))])
    wishes = wishes_of(
        der.attribute(oids.TEMPLATE, der.sequence(b"\x02\x01\x00", der.sequence(*[open_part] * 3), b"\xa1\x00"))
    )
    request = build_csr(CsrSpec(parse_dn("/OU=one/OU=two")), P256, wishes=wishes)
    assert re.search(r"Subject: OU ?= ?one, OU ?= ?two\n", judged(request))


def test_multi_valued_rdns_of_a_template_stay_together() -> None:
    parts = [der.sequence(der.oid("2.5.4.3")), der.sequence(der.oid("2.5.4.11"), b"\x0c\x01x")]
    name = der.sequence(der.tlv(0x31, b"".join(parts)))
    wishes = wishes_of(der.attribute(oids.TEMPLATE, der.sequence(b"\x02\x01\x00", name, b"\xa1\x00")))
    subject = x509.load_der_x509_csr(build_csr(ROUTER, P256, wishes=wishes)).subject
    assert [len(rdn) for rdn in subject.rdns] == [2]


def test_est_178_a_value_of_the_server_and_another_of_the_callers() -> None:
    """RFC 9908 section 3.4: "the client is required to use the given extension value"; it does not do so silently."""
    usage = x509.KeyUsage(*[True] + [False] * 8)
    spec = CsrSpec(ROUTER.subject, (parse_san("DNS:a.example"),), extensions=(x509.Extension(usage.oid, False, usage),))
    theirs = x509.SubjectAlternativeName([x509.DNSName("b.example")]).public_bytes()
    wishes = wishes_of(
        extension_request(
            der.extension(KU, b"\x03\x02\x03\x88", critical=True), der.extension(SAN, theirs, critical=False)
        )
    )
    with pytest.raises(CsrAttributesError, match=f"extension {KU} .* to 03020388, and 03020780 was given"):
        build_csr(spec, P256, wishes=wishes)
    with pytest.raises(CsrAttributesError, match=r"names .* DNS:b\.example, and .*a\.example.* was given"):
        build_csr(replace(spec, extensions=()), P256, wishes=wishes)
    _, extensions = csr_by_pyasn1(build_csr(CsrSpec(ROUTER.subject), P256, wishes=wishes))
    assert extensions == {KU: (True, b"\x03\x02\x03\x88"), SAN: (False, theirs)}


def test_directory_attributes_of_the_server_are_joined() -> None:
    """Its own attributes stay; a macAddress it names gets our value, once."""
    other = der.attribute("2.5.4.72", b"\x0c\x01r")
    empty_mac = der.sequence(der.oid(oids.MAC_ADDRESS), b"\x31\x00")
    wishes = wishes_of(extension_request(der.extension(SDA, der.sequence(empty_mac, other), critical=False)))
    spec = CsrSpec(ROUTER.subject, device=DeviceAttributes("00:00:92:90:ee:e2"))
    _, extensions = csr_by_pyasn1(build_csr(spec, P256, wishes=wishes))
    assert extensions[SDA][1] == der.sequence(other, der.attribute(oids.MAC_ADDRESS, MAC_DER))
    _, extensions = csr_by_pyasn1(build_csr(ROUTER, P256, wishes=wishes))
    assert extensions[SDA][1] == der.sequence(other)
