"""Packages of symmetric keys and what belongs to them: RFC 6031, RFC 6032, RFC 7191; judged by pyasn1-alt-modules."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography import x509
from pyasn1.codec.der.decoder import decode
from pyasn1.codec.der.encoder import encode
from pyasn1_alt_modules import rfc5280, rfc5652, rfc7191

from device_sdk.errors import EnvelopeError, WireError
from device_sdk.model.decryption import KEY_PACKAGES
from device_sdk.model.secret import Secret
from device_sdk.model.shared_key import SharedKey
from device_sdk.wire import der
from device_sdk.wire.cms.encrypted_data import open_encrypted_data
from device_sdk.wire.cms.signed_data import read_signed_data
from device_sdk.wire.key_packages import attributes as pskc
from device_sdk.wire.key_packages.encrypted import read_encrypted_key_package
from device_sdk.wire.key_packages.receipts import (
    KEY_PACKAGE_ERROR,
    KEY_PACKAGE_RECEIPT,
    RECEIPT_REQUEST,
    key_package_error,
    key_package_receipt,
    read_receipt_request,
)
from device_sdk.wire.key_packages.symmetric import SYMMETRIC_KEY_PACKAGE, read_symmetric_key_package
from tests.est.pki import name
from tests.packages.sealing import VALUE, entity, key_package, receipt_request, written

VECTORS = Path(__file__).parents[1] / "vectors" / "key_packages"


def vector(stem: str) -> bytes:
    return (VECTORS / f"{stem}.der").read_bytes()


def inside(stem: str) -> bytes:
    """The content of a ContentInfo, by the judge."""
    return bytes(decode(vector(stem), asn1Spec=rfc5652.ContentInfo())[0]["content"])


def test_k_11_the_sample_of_rfc_6031():
    (key,) = read_symmetric_key_package(inside("skp")).keys
    assert key.value is not None
    assert key.value.reveal() == b"1234"
    assert {oid: key.attributes.text(oid) for oid in key.attributes.values} == {
        f"{pskc.PSKC}.1": "Vigil Security LLC",
        f"{pskc.PSKC}.3": "Pretend 048A",
        f"{pskc.PSKC}.27": "exampleID1",
        pskc.ALGORITHM: "HOTP",
        f"{pskc.PSKC}.11": "kta.example.com",
    }


def test_k_09_k_10_the_sample_of_rfc_6032():
    """It is read; nobody has its key. Its inner type is none that may be inside (AMB-27)."""
    kind, encrypted = read_encrypted_key_package(inside("ekp"))
    assert kind == "1.2.840.113549.1.7.6"
    key = SharedKey(b"ptf-kdc-812374", Secret(bytes(32)))
    with pytest.raises(EnvelopeError):
        open_encrypted_data(encrypted, key, content_types=[SYMMETRIC_KEY_PACKAGE], policy=KEY_PACKAGES)


def test_kr_06_kr_10_the_sample_request_of_rfc_7191():
    data = read_signed_data(vector("receipt-request"))
    assert data.content_type == SYMMETRIC_KEY_PACKAGE
    request = read_receipt_request(data.signers[0].attributes[RECEIPT_REQUEST])
    judged, _ = decode(data.signers[0].attributes[RECEIPT_REQUEST][0], asn1Spec=rfc7191.KeyPkgIdentifierAndReceiptReq())
    assert request.package_id == bytes(judged["pkgID"])
    assert request.wanted
    assert list(request.receipts_to) == [bytes(one["sirenValue"]) for one in judged["receiptReq"]["receiptsTo"]]


def test_kr_07_the_samples_of_rfc_7191_made_by_us_are_the_same_bytes():
    for stem, oid, spec in (
        ("receipt", KEY_PACKAGE_RECEIPT, rfc7191.KeyPackageReceipt()),
        ("error", KEY_PACKAGE_ERROR, rfc7191.KeyPackageError()),
    ):
        data = read_signed_data(vector(stem))
        assert data.content_type == oid
        judged, rest = decode(data.content, asn1Spec=spec)
        assert not rest
        who = bytes(judged["receivedBy" if stem == "receipt" else "errorBy"]["sirenValue"])
        package_id = bytes(judged["receiptOf" if stem == "receipt" else "errorOf"]["pkgID"])
        made = (
            key_package_receipt(package_id, who)
            if stem == "receipt"
            else key_package_error(package_id, who, int(judged["errorCode"]["enum"]))
        )
        assert made == data.content


def test_kr_07_the_judge_writes_our_receipts_and_errors_the_same():
    who = name("device 1").public_bytes()
    for made, spec in (
        (key_package_receipt(b"pkg", who), rfc7191.KeyPackageReceipt()),
        (key_package_error(b"pkg", who, 71), rfc7191.KeyPackageError()),
        (key_package_error(None, who, 127), rfc7191.KeyPackageError()),
    ):
        judged, rest = decode(made, asn1Spec=spec)
        assert not rest
        assert encode(judged) == made
        assert int(judged["version"]) == 2


def test_kr_08_requests_for_some():
    ours, other = name("device 1"), name("device 2")
    request = read_receipt_request((receipt_request(receipts_from=[other]),))
    assert request.asks(other.public_bytes())
    assert not request.asks(ours.public_bytes())
    assert read_receipt_request((receipt_request(),)).asks(ours.public_bytes())
    assert not read_receipt_request((receipt_request(wanted=False),)).asks(ours.public_bytes())
    assert read_receipt_request((receipt_request(encrypt=True),)).encrypt


def test_kr_08_names_of_other_types_are_ignored():
    value = decode(receipt_request(receipts_from=[name("a")]), asn1Spec=rfc7191.KeyPkgIdentifierAndReceiptReq())[0]
    value["receiptReq"]["receiptsFrom"][0]["sirenType"] = "1.2.3"
    request = read_receipt_request((bytes(encode(value)),))
    assert request.receipts_from == ()
    assert not request.asks(name("a").public_bytes())


@pytest.mark.parametrize("count", [0, 2])
def test_kr_10_exactly_one_value(count):
    with pytest.raises(WireError, match="exactly one value"):
        read_receipt_request((receipt_request(),) * count)


def attribute(oid: str, *values: bytes) -> bytes:
    return der.sequence(der.oid(oid), der.set_of(values))


def utf8(text: str) -> bytes:
    return der.tlv(0x0C, text.encode())


KEY = der.tlv(0x04, VALUE)
ID = attribute(pskc.KEY_ID, utf8("k"))


def package(*keys: bytes, common: bytes = b"") -> bytes:
    return der.sequence(der.tlv(0xA0, common) if common else b"", der.sequence(*keys))


def one(*attributes: bytes, key: bytes = KEY) -> bytes:
    return der.sequence(der.sequence(*attributes) if attributes else b"", key)


REFUSED = {
    "nothing": (b"", "not a CMS element"),
    "no keys": (package(), "no key at all"),
    "an empty key": (package(der.sequence()), "neither attributes nor value"),
    "a key of no bytes": (package(one(key=b"\x04\x00")), "no bytes"),
    "a key that is too long": (package(one(key=der.tlv(0x04, bytes(4097)))), "more than 4096"),
    "too many keys": (package(*[one(ID)] * 257), "more than 256 keys"),
    "version 2": (der.sequence(b"\x02\x01\x02", der.sequence(one(ID))), "another version"),
    "version 1, which DER leaves out": (der.sequence(b"\x02\x01\x01", der.sequence(one(ID))), "another version"),
    "an attribute twice": (package(one(ID, ID)), "an attribute twice"),
    "an attribute in both": (package(one(ID), common=ID), "again"),
    "two values": (package(one(attribute(pskc.KEY_ID, utf8("a"), utf8("b")))), "more elements"),
    "no value": (package(one(attribute(pskc.KEY_ID))), "another element"),
    "a number for a text": (package(one(attribute(pskc.KEY_ID, b"\x02\x01\x01"))), "another element"),
    "a text that is none": (package(one(attribute(pskc.KEY_ID, der.tlv(0x0C, b"\xff")))), "not UTF-8"),
    "a text with control characters": (package(one(attribute(pskc.KEY_ID, utf8("a\x1b[2J")))), "not one to show"),
    "an empty text": (package(one(attribute(pskc.KEY_ID, utf8("")))), "empty"),
    "a long text": (package(one(attribute(pskc.KEY_ID, utf8("a" * 1025)))), "too long"),
    "local time": (package(one(attribute(pskc.KEY_EXPIRY, der.tlv(0x18, b"20300101000000")))), "not UTC"),
    "no time": (package(one(attribute(pskc.KEY_EXPIRY, der.tlv(0x18, b"20301301000000Z")))), "not a time"),
    "no usages": (package(one(attribute(pskc.KEY_USAGE, der.sequence()))), "without any"),
    "a long length": (b"\x30\x81" + package(one(ID))[1:], "could be shorter"),
    "an indefinite length": (b"\x30\x80" + package(one(ID))[2:] + b"\0\0", "indefinite"),
    "bytes behind": (package(one(ID)) + b"\0", "behind"),
    "deep": (b"".join(b"\x30" + bytes([2 * n]) for n in range(40, -1, -1)), "too deeply"),
}


@pytest.mark.parametrize(("encoded", "says"), REFUSED.values(), ids=REFUSED)
def test_k_11_g_14_packages_that_are_none(encoded, says):
    with pytest.raises(WireError, match=says) as caught:
        read_symmetric_key_package(encoded)
    assert caught.value.__context__ is None
    assert VALUE.hex() not in repr(caught.value)


def test_k_11_what_the_judge_wrote_is_read():
    made = key_package(
        written("k1", name="Front door", usages=["Encrypt", "Decrypt"], not_after="20400101000000Z"),
        written("k2", bytes(32)),
    )
    first, second = read_symmetric_key_package(made).keys
    assert first.attributes.friendly_name == "Front door"
    assert first.attributes.usages == ("Encrypt", "Decrypt")
    assert f"{first.attributes.time(pskc.KEY_EXPIRY)}" == "2040-01-01 00:00:00+00:00"
    assert second.attributes.usages is None
    assert VALUE.hex() not in repr(first)


@pytest.mark.parametrize("encoded", [b"", b"\x31\x00", b"\xa2\x00", b"\x30\x05", b"\x30\x00\x00"])
def test_k_09_encrypted_key_packages_that_are_none(encoded):
    with pytest.raises(WireError, match="not an encrypted key package"):
        read_encrypted_key_package(encoded)


def test_kr_07_names_are_those_of_certificates():
    target = rfc7191.SIREntityName()
    entity(target, x509.Name([]))
    assert key_package_receipt(b"p", b"\x30\x00").endswith(bytes(encode(target)))
    assert decode(name("a").public_bytes(), asn1Spec=rfc5280.Name())[1] == b""
