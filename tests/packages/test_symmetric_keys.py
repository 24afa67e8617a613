"""Symmetric keys over TLS: what is taken, what is refused, and what goes back (RFC 8295 section 5; K-01 to K-12, KR-01 to KR-10)."""

from __future__ import annotations

import base64
import ssl
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from device_sdk_simulators.packages import layers
from pyasn1.codec.der.decoder import decode
from pyasn1.codec.der.encoder import encode
from pyasn1_alt_modules import rfc6019, rfc7191

from device_sdk.client.est import EstClient
from device_sdk.client.est.symmetric_keys import KeyPackagePolicy
from device_sdk.errors import (
    ConfigurationError,
    EnvelopeError,
    HttpStatusError,
    KeyPackageRefusedError,
    KeyPackageUntrustedError,
    RemoteProtocolError,
    VerificationError,
    WireError,
)
from device_sdk.model.decryption import EVERYTHING
from device_sdk.model.trust import TlsIdentity
from device_sdk.wire import der
from device_sdk.wire.cms.envelope import open_typed
from device_sdk.wire.cms.oids import SIGNED_DATA
from device_sdk.wire.cms.signed_data import read_signed_data, verify_signed_data
from tests.est.answers import bag, trusting
from tests.est.pki import name, new_key
from tests.est.scripted_server import http
from tests.packages.sealing import VALUE, Sealer, constraints, key_package, receipt_request, written
from tests.packages.test_crls import crl
from tests.packages.test_layer_constraints import FORBIDDEN, signer_with
from tests.packages.test_layers import CANNOT_OPEN, WRONG

BASE = "/.well-known/est/symmetrickeys"


@pytest.fixture(scope="module")
def sealer() -> Sealer:
    return Sealer()


@pytest.fixture
def fetch(ca, serve, clock, sealer):
    """Fetch what the server answers with, and keep the client for what goes back."""
    certificate = ca.certify("device 1", sealer.device_key.public_key())

    def run(
        message=b"",
        *,
        status=200,
        target=None,
        back=None,
        anonymous=False,
        receipts=False,
        decrypt=None,
        cipher=None,
        **policy,
    ):
        returned = run.returned = []

        def take(seen):
            returned.append(seen)
            return back or http(204)

        server = run.server = serve(
            cacerts=bag(ca.certificate),
            symmetrickeys=lambda _: http(status, message, ("Content-Type", "application/cms")),
            options={"client_ca": ca.certificate} | ({"maximum": ssl.TLSVersion.TLSv1_2} if cipher else {}),
        )
        if cipher:
            server._context.set_ciphers(cipher)
        server.handlers["return"] = take
        server.handlers["k-7"] = server.handlers["symmetrickeys"]
        identity = None if anonymous else TlsIdentity((certificate,), sealer.device_key)
        rules = KeyPackagePolicy(**({"anchors": sealer.anchors} | policy))
        with EstClient(server.url, trusting(ca), clock=clock, identity=identity) as client:
            found = client.packages.symmetric_keys(rules, target, decrypt=decrypt)
            if receipts:
                run.receipts = client.packages.return_receipts(found, recipient=rules.receipt_recipient)
            return found

    run.certificate = certificate
    return run


def said(seen, spec):
    """What came back, by the judge, after its signature was found good."""
    data = read_signed_data(seen.body)
    judged, rest = decode(data.content, asn1Spec=spec)
    assert not rest
    assert encode(judged) == data.content
    return data, judged


def error_of(fetch):
    (seen,) = fetch.returned
    return said(seen, rfc7191.KeyPackageError())[1]


def test_k_01_a_package_and_one_of_several(fetch, sealer):
    found = fetch(sealer.seal())
    assert [(key.key_id, key.is_aes, key.value.reveal()) for key in found.keys] == [("k1", True, VALUE)]
    assert set(found.signers) == {sealer.signer}
    assert fetch.server.seen[-1].line == f"GET {BASE}"
    assert fetch.returned == []
    assert fetch(sealer.seal(), target=f"{BASE}/k-7").keys
    assert fetch.server.seen[-1].line == f"GET {BASE}/k-7"
    with pytest.raises(ConfigurationError, match="symmetric keys are at"):
        fetch(sealer.seal(), target="/.well-known/est/firmware")


def test_amb_01_base64_is_read_as_well(fetch, sealer):
    assert fetch(base64.encodebytes(sealer.seal())).keys


@pytest.mark.parametrize("status", [204, 404])
def test_amb_22_none(fetch, status):
    assert fetch(status=status) is None


@pytest.mark.parametrize("status", [400, 401, 403, 500])
def test_k_07_refusals(fetch, status):
    with pytest.raises(HttpStatusError):
        fetch(status=status)


@pytest.mark.parametrize(("wrong", "error", "fault", "says"), WRONG.values(), ids=WRONG)
def test_k_05_what_is_refused_over_tls_and_told(fetch, sealer, wrong, error, fault, says):
    """The error goes back, signed by the device's key."""
    with pytest.raises(error, match=says):
        fetch(wrong(sealer))
    (seen,) = fetch.returned
    assert seen.line == f"POST {BASE}/return"
    assert seen.header("Content-Type") == (
        "application/cms; encapsulatingContent=signedData; innerContent=keyPackageError"
    )
    data, judged = said(seen, rfc7191.KeyPackageError())
    assert int(judged["errorCode"]["enum"]) == fault
    assert bytes(judged["errorBy"]["sirenValue"]) == fetch.certificate.subject.public_bytes()
    verify_signed_data(data, content_type=data.content_type, anchors=[fetch.certificate], now=datetime.now(UTC))


@pytest.mark.parametrize(
    ("nesting", "error"),
    [("a", KeyPackageUntrustedError), ("d-bare", KeyPackageUntrustedError), ("a-signed", KeyPackageRefusedError)],
)
def test_k_06_unsigned_and_unencrypted(fetch, sealer, nesting, error):
    with pytest.raises(error):
        fetch(sealer.seal(nesting))
    policy = {"require_signature": nesting == "a-signed", "require_encryption": False, "require_addressed": False}
    assert fetch(sealer.seal(nesting), **policy).keys


@pytest.mark.parametrize("nesting", ["b", "d", "a-signed"])
def test_section_17_3_what_was_signed_for_somebody_else(fetch, sealer, nesting):
    """Who has a package takes the signed part out and encrypts it to this device: the signature says nothing of for whom."""
    with pytest.raises(KeyPackageRefusedError, match="k1: nothing that is signed says for whom it is") as caught:
        fetch(sealer.seal(nesting), require_encryption=False, device_bindings=["me"])
    assert caught.value.fault == 23
    # what a decryption brings to light goes to nobody, where no signature came before it (S-03)
    assert int(error_of(fetch)["errorCode"]["enum"]) == (23 if nesting == "a-signed" else 71)
    bound = sealer.seal(nesting, key_package(written(device_binding="me")))
    assert fetch(bound, require_encryption=False, device_bindings=["me"]).keys
    with pytest.raises(KeyPackageRefusedError, match="another device"):
        fetch(bound, require_encryption=False, device_bindings=["you"])
    one_of_two = key_package(written(device_binding="me"), written("k2"))
    with pytest.raises(KeyPackageRefusedError, match="k2: nothing that is signed"):
        fetch(sealer.seal(nesting, one_of_two), require_encryption=False, device_bindings=["me"])
    assert fetch(sealer.seal(nesting), require_encryption=False, require_addressed=False).keys


def test_section_17_3_the_signature_is_around_an_encryption(fetch, sealer):
    """Not merely somewhere: around the envelope it names who can open that; both inside of one it does not."""
    for nesting in ("c", "e", "e-bare"):
        assert fetch(sealer.seal(nesting)).keys
    twice = sealer.signed(sealer.signed(sealer.content()))
    with pytest.raises(KeyPackageRefusedError, match="nothing that is signed"):
        fetch(layers.content_info(sealer.enveloped(twice)))
    inside = sealer.signed(sealer.enveloped(sealer.content()))
    assert fetch(layers.content_info(sealer.enveloped(inside))).keys


@pytest.mark.parametrize(("extension", "mode", "says"), FORBIDDEN.values(), ids=FORBIDDEN)
def test_k_12_constraints_over_tls(fetch, sealer, extension, mode, says):
    with pytest.raises(KeyPackageUntrustedError, match=says):
        fetch(sealer.seal(signer=signer_with(sealer.ca, sealer, extension)), constraints=mode)
    assert int(error_of(fetch)["errorCode"]["enum"]) == 11


def test_k_12_constraints_that_allow_it(fetch, sealer):
    certificate = signer_with(sealer.ca, sealer, constraints())
    assert fetch(sealer.seal(signer=certificate), constraints="required").keys


@pytest.mark.parametrize("reason", CANNOT_OPEN)
def test_s_04_kwp_integrity(fetch, sealer, reason):
    with pytest.raises(EnvelopeError) as caught:
        fetch(CANNOT_OPEN[reason](sealer, "kwp"), decrypt=new_key() if reason == "another key" else None)
    assert str(caught.value) == "the message cannot be opened: it is not an encrypted message for this key"
    assert int(error_of(fetch)["errorCode"]["enum"]) == 71


BAD_KEYS = {
    "unknown usage": (key_package(written(usages=["Encrypt"])).replace(b"Encrypt", b"Encrypz"), 89, "usage Encrypz"),
    "a usage nobody enforces": (written(usages=["Generate"]), 89, "the usage Generate"),
    "bound to another device": (written(device_binding="other"), 23, "another device"),
    "expired": (written(not_after="20200101000000Z"), 89, "expired on 2020-01-01"),
    "too short for its algorithm": (written(value=bytes(15)), 84, "no key for"),
    "too long for its algorithm": (written(value=bytes(32)), 84, "no key for"),
    "nothing says what it is for": (written(algorithm="urn:example:enigma"), 85, "what it may be used for"),
}


@pytest.mark.parametrize(("key", "fault", "says"), BAD_KEYS.values(), ids=BAD_KEYS)
def test_k_11_keys_that_must_not_be_used(fetch, sealer, key, fault, says):
    package = key if isinstance(key, bytes) else key_package(written("good"), key)
    with pytest.raises(KeyPackageRefusedError, match=says) as caught:
        fetch(sealer.seal(package=package, request=receipt_request(b"pkg-9")))
    judged = error_of(fetch)
    assert int(judged["errorCode"]["enum"]) == caught.value.fault == fault
    assert bytes(judged["errorOf"]["pkgID"]) == b"pkg-9", "byte for byte"


def test_k_11_two_keys_of_one_name(fetch, sealer):
    with pytest.raises(KeyPackageRefusedError, match="two keys of one identifier"):
        fetch(sealer.seal(package=key_package(written(), written())))


def test_k_11_duplicate_attributes(fetch, sealer):
    one = key_package(written())
    doubled = one.replace(b"\x0a\x31", b"\x09\x31")  # algorithm becomes a second keyId
    assert doubled != one
    with pytest.raises(WireError, match="an attribute twice"):
        fetch(sealer.seal(package=doubled))


def test_k_11_bound_to_this_device(fetch, sealer):
    assert fetch(sealer.seal(package=key_package(written(device_binding="me"))), device_bindings=["me"]).keys


def test_k_11_usages_and_what_they_are_without_a_word(fetch, sealer):
    keys = [
        written("a", usages=["KeyWrap", "Unwrap"]),
        written("b"),
        written("c", algorithm="urn:ietf:params:xml:ns:keyprov:pskc:totp", value=b"12345678901234567890"),
        written("d", algorithm="http://www.w3.org/2001/04/xmlenc#kw-aes128"),
    ]
    found = fetch(sealer.seal(package=key_package(*keys)))
    assert [sorted(one.value for one in key.usages) for key in found.keys] == [
        ["KeyWrap", "Unwrap"],
        ["Decrypt", "Encrypt"],
        ["OTP"],
        ["KeyWrap", "Unwrap"],
    ]
    assert [key.is_aes for key in found.keys] == [True, True, False, True]


def test_k_05_a_revoked_signer(fetch, sealer):
    with pytest.raises(KeyPackageUntrustedError, match="revoked on"):
        fetch(sealer.seal(), revocation_lists=[crl(sealer.ca, sealer.signer)])
    assert fetch(sealer.seal(), revocation_lists=[crl(sealer.ca)]).keys
    with pytest.raises(VerificationError, match="the revocation list of"):
        fetch(sealer.seal(), revocation_lists=[crl(sealer.ca, key=new_key())])


def test_kr_02_kr_07_kr_09_a_receipt(fetch, sealer, clock):
    """Signed, with the time; the identifier is the one of the request, byte for byte."""
    request = receipt_request(b"\x00pkg\xff")
    fetch(sealer.seal(request=request), receipts=True)
    assert fetch.receipts.sent == (b"\x00pkg\xff",)
    seen = fetch.returned[0]
    assert seen.line == f"POST {BASE}/return"
    assert seen.header("Content-Type").endswith("innerContent=keyPackageReceipt")
    data, judged = said(seen, rfc7191.KeyPackageReceipt())
    assert bytes(judged["receiptOf"]["pkgID"]) == b"\x00pkg\xff"
    assert bytes(judged["receivedBy"]["sirenValue"]) == fetch.certificate.subject.public_bytes()
    (time,) = data.signers[0].attributes["1.2.840.113549.1.9.16.2.46"]
    assert abs(int(decode(time, asn1Spec=rfc6019.BinaryTime())[0]) - clock.now().timestamp()) < 60
    verify_signed_data(data, content_type=data.content_type, anchors=[fetch.certificate], now=datetime.now(UTC))


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"receipts_from": [name("device 2")]}, "asked of others"),
        ({"encrypt": True}, "to be encrypted"),
        ({"wanted": False}, None),
    ],
)
def test_kr_08_amb_23_no_receipt(fetch, sealer, options, reason):
    fetch(sealer.seal(request=receipt_request(**options)), receipts=True)
    assert fetch.returned == []
    assert all(reason in why for _, why in fetch.receipts.withheld)
    assert bool(fetch.receipts.withheld) is (reason is not None)


def unsealed(body, key):
    """What is in the envelope, as a message of its own, by our reader: OpenSSL judges the envelope elsewhere."""
    kind, inside = open_typed(body, key, content_types=(SIGNED_DATA,), policy=EVERYTHING)
    assert kind == SIGNED_DATA
    return der.sequence(der.oid(SIGNED_DATA), der.tlv(0xA0, inside))


def opened(seen, key):
    return replace(seen, body=unsealed(seen.body, key))


def test_kr_08_kr_11_an_encrypted_receipt(fetch, sealer):
    """Signed first, then encrypted; what did not ask for it stays readable."""
    key = new_key()
    to = sealer.ca.certify("returns", key.public_key())
    fetch(sealer.seal(request=receipt_request(encrypt=True)), receipts=True, receipt_recipient=to)
    assert (fetch.receipts.sent, fetch.receipts.withheld) == ((b"pkg-1",), ())
    (seen,) = fetch.returned
    encapsulating = 'encapsulatingContent="envelopedData, signedData"'
    assert seen.header("Content-Type") == f"application/cms; {encapsulating}; innerContent=keyPackageReceipt"
    assert b"pkg-1" not in seen.body
    data, judged = said(opened(seen, key), rfc7191.KeyPackageReceipt())
    assert bytes(judged["receiptOf"]["pkgID"]) == b"pkg-1"
    verify_signed_data(data, content_type=data.content_type, anchors=[fetch.certificate], now=datetime.now(UTC))
    fetch(sealer.seal(request=receipt_request()), receipts=True, receipt_recipient=to)
    assert said(fetch.returned[0], rfc7191.KeyPackageReceipt())


@pytest.mark.parametrize("with_recipient", [True, False])
def test_kr_08_an_error_about_a_package_that_asked_for_encryption(fetch, sealer, with_recipient):
    key = new_key()
    to = sealer.ca.certify("returns", key.public_key()) if with_recipient else None
    package = sealer.seal(package=key_package(written(device_binding="another")), request=receipt_request(encrypt=True))
    with pytest.raises(KeyPackageRefusedError):
        fetch(package, receipt_recipient=to)
    (seen,) = fetch.returned
    judged = said(opened(seen, key) if to else seen, rfc7191.KeyPackageError())[1]
    assert bytes(judged["errorOf"]["pkgID"]) == b"pkg-1"


def test_kr_08_a_recipient_that_cannot_decrypt(sealer):
    with pytest.raises(ConfigurationError, match="keyAgreement"):
        KeyPackagePolicy(sealer.anchors, receipt_recipient=sealer.ca.certificate)


def test_kr_08_a_receipt_asked_of_us_by_name(fetch, sealer):
    request = receipt_request(receipts_from=[name("device 2"), name("device 1")])
    fetch(sealer.seal(request=request), receipts=True)
    assert fetch.receipts.sent


def test_kr_10_a_receipt_for_each_request(fetch, sealer):
    inner = sealer.signed(sealer.content(), request=receipt_request(b"inner"))
    outer = sealer.signed(sealer.enveloped(inner), request=receipt_request(b"outer"))
    fetch(layers.content_info(outer), receipts=True)
    assert fetch.receipts.sent == (b"outer", b"inner")
    assert len(fetch.returned) == 2


@pytest.mark.parametrize(("back", "error"), [(http(400), HttpStatusError), (http(200, b"x"), RemoteProtocolError)])
def test_kr_04_a_receipt_that_the_server_does_not_take(fetch, sealer, back, error):
    with pytest.raises(error):
        fetch(sealer.seal(request=receipt_request()), receipts=True, back=back)


def test_kr_04_an_error_that_the_server_does_not_take_hides_nothing(fetch, sealer):
    with pytest.raises(KeyPackageUntrustedError):
        fetch(sealer.seal("a"), back=http(500))
    assert len(fetch.returned) == 1


def test_kr_03_without_a_key_nothing_is_sent(fetch, sealer):
    with pytest.raises(KeyPackageUntrustedError):
        fetch(sealer.seal("a"), anonymous=True)
    fetch(sealer.seal(request=receipt_request()), anonymous=True, decrypt=sealer.device_key, receipts=True)
    assert fetch.receipts.withheld[0][1] == "there is no certificate whose key could sign it"
    assert fetch.returned == []


@pytest.mark.parametrize(("length", "taken"), [(16, True), (32, False)])
def test_g_04_keys_in_the_clear_over_a_weaker_cipher(fetch, sealer, length, taken):
    package = key_package(written(value=bytes(length), algorithm="AES"))
    policy = {"require_encryption": False, "require_addressed": False, "cipher": "ECDHE-ECDSA-AES128-GCM-SHA256"}
    if taken:
        assert fetch(sealer.seal("a-signed", package), **policy).keys
    else:
        with pytest.raises(KeyPackageRefusedError, match="256 bits came over ECDHE-ECDSA-AES128"):
            fetch(sealer.seal("a-signed", package), **policy)
    assert fetch(sealer.seal("c", package), **policy).keys


def test_no_key_is_in_any_repr_or_error(fetch, sealer):
    found = fetch(sealer.seal())
    shown = repr(found) + str(found) + repr(found.keys[0].to_json())
    assert VALUE.hex() not in shown
    assert repr(VALUE)[2:-1] not in shown
