"""Packages of keys out of what protects them (RFC 8295 section 5.1.2; K-03 to K-12, S-02 to S-04)."""

from __future__ import annotations

import subprocess

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from device_sdk_simulators.cale.shared_key import Kek
from device_sdk_simulators.packages import layers

from device_sdk.errors import EnvelopeError, KeyPackageRefusedError, KeyPackageUntrustedError, WireError
from device_sdk.model.secret import Secret
from device_sdk.model.shared_key import SharedKey
from device_sdk.protocols.symmetric_keys import PackageRules, Trace, peel
from device_sdk.wire.cms.signed_data import read_signed_data
from device_sdk.wire.path_inputs import PathInputs
from tests.est.pki import DAY, NOW, new_key, pem_key
from tests.packages.sealing import SKP, VALUE, Sealer, flip, key_package, receipt_request, written
from tests.packages.test_crls import crl

PLAIN = {"require_signature": False, "require_encryption": False}


@pytest.fixture(scope="module")
def sealer() -> Sealer:
    return Sealer()


def opened(sealer: Sealer, message: bytes, *, keys=None, trace=None, **rules):
    chosen = PackageRules(**({"anchors": sealer.anchors, "now": NOW} | rules))
    return peel(message, chosen, sealer.device_key if keys is None else keys, trace=trace)


def value_of(peeled) -> bytes:
    (key,) = peeled.package.keys
    return key.value.reveal()


KINDS = {
    "a": [],
    "a-signed": ["signed"],
    "b": ["encrypted", "signed"],
    "c": ["signed", "encrypted", "signed"],
    "d": ["encrypted", "signed"],
    "d-bare": ["encrypted"],
    "e": ["signed", "encrypted", "signed"],
    "e-bare": ["signed", "encrypted"],
}


@pytest.mark.parametrize("cipher", layers.CONTENT_CIPHERS)
@pytest.mark.parametrize("nesting", layers.NESTINGS)
def test_k_03_k_08_all_nestings_and_ciphers(sealer, nesting, cipher):
    peeled = opened(sealer, sealer.seal(nesting, cipher=cipher), **PLAIN)
    assert value_of(peeled) == VALUE
    assert [one.kind for one in peeled.layers] == KINDS[nesting]
    assert set(peeled.signers) <= {sealer.signer}


@pytest.mark.parametrize("nesting", ["b", "c", "d", "e", "e-bare"])
def test_k_06_what_is_signed_and_encrypted_meets_the_defaults(sealer, nesting):
    assert value_of(opened(sealer, sealer.seal(nesting))) == VALUE


@pytest.mark.parametrize("nesting", ["a", "d-bare"])
def test_k_06_nobody_signed(sealer, nesting):
    with pytest.raises(KeyPackageUntrustedError, match="nobody signed") as caught:
        opened(sealer, sealer.seal(nesting), require_encryption=False)
    assert caught.value.fault == 29


@pytest.mark.parametrize("nesting", ["a", "a-signed"])
def test_k_06_not_encrypted(sealer, nesting):
    with pytest.raises(KeyPackageRefusedError, match="not encrypted beyond TLS"):
        opened(sealer, sealer.seal(nesting), require_signature=False)


@pytest.mark.parametrize("nesting", ["b", "e"])
def test_k_08_rsa_oaep(nesting):
    sealer = Sealer(device_key=rsa.generate_private_key(65537, 2048))
    assert value_of(opened(sealer, sealer.seal(nesting))) == VALUE


@pytest.mark.parametrize("curve", [ec.SECP384R1(), ec.SECP521R1()])
def test_k_08_ecdh_on_other_curves(curve):
    sealer = Sealer(device_key=ec.generate_private_key(curve))
    assert value_of(opened(sealer, sealer.seal())) == VALUE


KEK = SharedKey(b"kek-1", Secret(bytes(range(32))))
OTHER = SharedKey(b"kek-2", Secret(bytes(32)))


@pytest.mark.parametrize("cipher", ["kwp", "cbc"])
@pytest.mark.parametrize("identifier", [b"kek-1", None])
@pytest.mark.parametrize("wrapped", [False, True])
def test_k_09_k_10_encrypted_data(sealer, cipher, identifier, wrapped):
    content = layers.encrypted(sealer.signed(sealer.content()), bytes(range(32)), cipher, identifier)
    message = layers.content_info(layers.encrypted_key_package(content) if wrapped else content)
    assert value_of(opened(sealer, message, keys=KEK)) == VALUE


@pytest.mark.parametrize("padded", [True, False])
@pytest.mark.parametrize("size", [16, 24, 32])
def test_k_08_a_shared_key_wraps_the_content_key(sealer, size, padded):
    """KEKRecipientInfo (RFC 5652 section 6.2.3), with AES key wrap with padding and without, of every length."""
    value = bytes(range(size))
    message = layers.content_info(
        layers.enveloped(sealer.signed(sealer.content()), Kek(b"kek-1", value, padded), "kwp")
    )
    right = SharedKey(b"kek-1", Secret(value))
    assert value_of(opened(sealer, message, keys=right)) == VALUE
    assert value_of(opened(sealer, message, keys=[sealer.device_key, OTHER, right])) == VALUE
    others = (SharedKey(b"kek-2", Secret(value)), SharedKey(b"kek-1", Secret(value[:-1] + b"x")), OTHER)
    for wrong in others:
        with pytest.raises(EnvelopeError):
            opened(sealer, message, keys=wrong)


@pytest.mark.parametrize(
    ("identifier", "keys"),
    [(None, [KEK, OTHER]), (b"kek-2", [KEK, OTHER]), (b"kek-3", KEK), (b"kek-1", ()), (b"kek-1", [KEK, KEK])],
)
def test_k_10_no_key_or_several(sealer, identifier, keys):
    content = layers.encrypted(sealer.signed(sealer.content()), bytes(range(32)), "kwp", identifier)
    with pytest.raises(EnvelopeError):
        opened(sealer, layers.content_info(content), keys=keys)


def twice(sealer: Sealer) -> bytes:
    """A message with the same signer info two times, in a set that is sorted all the same."""
    from pyasn1.codec.der.decoder import decode
    from pyasn1.codec.der.encoder import encode
    from pyasn1_alt_modules import rfc5652

    kind, der = sealer.signed(sealer.enveloped(sealer.signed(sealer.content())))
    data = decode(der, asn1Spec=rfc5652.SignedData())[0]
    other = decode(sealer.signed(sealer.enveloped(sealer.content()))[1], asn1Spec=rfc5652.SignedData())[0]
    data["signerInfos"][1] = other["signerInfos"][0]
    return layers.content_info((kind, bytes(encode(data))))


def deep(sealer: Sealer) -> bytes:
    content = sealer.enveloped(sealer.signed(sealer.content()))
    for _ in range(5):
        content = sealer.signed(content)
    return layers.content_info(content)


def foreign(sealer: Sealer) -> bytes:
    """A good inner signature by somebody else, in an envelope for the device."""
    other = Sealer(device_key=sealer.device_key)
    return layers.content_info(sealer.signed(sealer.enveloped(other.signed(other.content()))))


def replaced_inside(sealer: Sealer) -> bytes:
    kind, der = sealer.signed(sealer.content())
    return layers.content_info(sealer.signed(sealer.enveloped((kind, flip(der, VALUE)))))


def replaced_outside(sealer: Sealer) -> bytes:
    kind, der = sealer.enveloped(sealer.signed(sealer.content()))
    good = sealer.signed((kind, der))
    return layers.content_info((good[0], flip(good[1], der)))


WRONG = {
    "bad inner signature": (replaced_inside, KeyPackageUntrustedError, 16, "digest"),
    "bad outer signature": (replaced_outside, KeyPackageUntrustedError, 16, "digest"),
    "inner signer not trusted": (foreign, KeyPackageUntrustedError, 10, "no path"),
    "two signers": (twice, KeyPackageRefusedError, 78, "more than one signer"),
    "nesting 7": (deep, KeyPackageRefusedError, 2, "more than 6 layers"),
    "wrong inner type": (
        lambda s: layers.content_info(s.signed(("1.2.840.113549.1.9.16.1.16", b"firmware"))),
        KeyPackageRefusedError,
        2,
        "no package of symmetric keys",
    ),
    "wrong type in the envelope": (
        lambda s: layers.content_info(s.signed(s.enveloped(("1.2.840.113549.1.9.16.1.16", b"firmware")))),
        EnvelopeError,
        71,
        "cannot be opened",
    ),
    "asymmetric keys": (
        lambda s: layers.content_info(s.signed(s.enveloped(("2.16.840.1.101.2.1.2.78.5", b"0\0")))),
        EnvelopeError,
        71,
        "cannot be opened",
    ),
    "half a package": (lambda s: s.seal()[:-100], WireError, 1, "ends 100 bytes too early"),
    "no package": (lambda _: b"\x30\x03\x02\x01\x05", WireError, 1, "not a CMS message"),
    "not a symmetric key package": (lambda s: s.seal("c", b"\x30\x00"), WireError, 84, "another version"),
}


@pytest.mark.parametrize(("wrong", "error", "fault", "says"), WRONG.values(), ids=WRONG)
def test_k_05_g_14_what_is_refused(sealer, wrong, error, fault, says):
    trace = Trace()
    with pytest.raises(error, match=says) as caught:
        opened(sealer, wrong(sealer), trace=trace)
    assert (getattr(caught.value, "fault", None) or trace.fault) == fault
    assert VALUE.hex() not in repr(caught.value) + repr(vars(caught.value))


def test_k_05_signatures_count_even_where_none_is_demanded(sealer):
    """By the anchors of another purpose: the device's own CA vouches for no packages (AMB-20)."""
    other = Sealer()
    with pytest.raises(KeyPackageUntrustedError, match="no path"):
        opened(sealer, sealer.seal("a-signed"), anchors=other.anchors, **PLAIN)


def test_amb_20_a_device_of_the_same_network_signs_no_packages(sealer):
    certificate = sealer.device_ca.certify("device 2", sealer.signer_key.public_key())
    with pytest.raises(KeyPackageUntrustedError):
        opened(sealer, sealer.seal(signer=certificate))


@pytest.mark.parametrize("dates", [{"not_after": NOW - DAY, "not_before": NOW - 9 * DAY}, {"not_before": NOW + DAY}])
def test_k_05_a_signer_out_of_his_time(sealer, dates):
    certificate = sealer.ca.certify("signer", sealer.signer_key.public_key(), **dates)
    with pytest.raises(KeyPackageUntrustedError):
        opened(sealer, sealer.seal(signer=certificate))


def test_k_05_a_revoked_signer(sealer):
    with pytest.raises(KeyPackageUntrustedError, match="revoked"):
        opened(sealer, sealer.seal(), inputs=PathInputs(lists=(crl(sealer.ca, sealer.signer),)))


def test_s_04_nothing_is_decrypted_before_the_outer_signature_is_good(sealer):
    class Watched(SharedKey):
        def __getattribute__(self, name):
            if name in ("identifier", "key"):
                raise AssertionError("the key was touched")
            return super().__getattribute__(name)

    key = object.__new__(Watched)
    content = layers.encrypted(sealer.content(), bytes(32), "kwp", b"kek")
    foreigner = Sealer()
    with pytest.raises(KeyPackageUntrustedError):
        opened(sealer, layers.content_info(foreigner.signed(content)), keys=key)
    with pytest.raises(AssertionError):
        opened(sealer, layers.content_info(sealer.signed(content)), keys=key)


CANNOT_OPEN = {
    "another key": lambda s, cipher: s.seal("b", cipher=cipher),
    "a ciphertext that was changed": lambda s, cipher: _spoiled(s.seal("b", cipher=cipher)),
}


def _spoiled(message: bytes) -> bytes:
    """The last bytes of KWP and CBC are ciphertext, those of GCM the tag."""
    return message[:-1] + bytes([message[-1] ^ 1])


@pytest.mark.parametrize("cipher", layers.CONTENT_CIPHERS)
@pytest.mark.parametrize("reason", CANNOT_OPEN)
def test_s_04_one_error_for_every_failure_to_decrypt(sealer, reason, cipher):
    """With CBC a changed last block is bad padding, or garbage behind a good one: then it is the signature that is bad."""
    message = CANNOT_OPEN[reason](sealer, cipher)
    keys = new_key() if reason == "another key" else sealer.device_key
    trace = Trace()
    with pytest.raises((EnvelopeError, WireError, KeyPackageUntrustedError)) as caught:
        opened(sealer, message, keys=keys, trace=trace)
    assert trace.told == 71, "S-03: the server learns no more"
    if cipher != "cbc" or reason == "another key":
        assert str(caught.value) == "the message cannot be opened: it is not an encrypted message for this key"
        assert caught.value.__context__ is caught.value.__cause__ is None


def test_s_03_behind_a_signature_the_fault_is_told(sealer):
    trace = Trace()
    with pytest.raises(KeyPackageUntrustedError):
        opened(sealer, replaced_inside(sealer), trace=trace)
    assert trace.told == 3, "what was being read"


def test_kr_10_requests_of_every_signature_count(sealer):
    inner = sealer.signed(sealer.content(), request=receipt_request(b"inner"))
    outer = sealer.signed(sealer.enveloped(inner), request=receipt_request(b"outer"))
    peeled = opened(sealer, layers.content_info(outer))
    assert [one.package_id for one in peeled.requests] == [b"outer", b"inner"]


def test_kr_10_a_request_that_is_none(sealer):
    with pytest.raises(WireError, match="receipt request"):
        opened(sealer, sealer.seal(request=b"\x30\x00"))


@pytest.mark.parametrize("cipher", ["cbc", "gcm"])
def test_openssl_opens_and_verifies_what_is_read_here(sealer, tmp_path, cipher):
    """The outer signature, and the envelope in it."""
    (tmp_path / "ca.pem").write_bytes(sealer.ca.certificate.public_bytes(Encoding.PEM))
    (tmp_path / "key.pem").write_bytes(pem_key(sealer.device_key))
    (tmp_path / "device.pem").write_bytes(sealer.device.public_bytes(Encoding.PEM))
    (tmp_path / "package.der").write_bytes(sealer.seal("c", cipher=cipher))
    decrypt = ["openssl", "cms", "-decrypt", "-inform", "DER", "-binary"]
    verify = ["openssl", "cms", "-verify", "-inform", "DER", "-binary", "-purpose", "any"]
    done = subprocess.run(
        [*verify, "-in", "package.der", "-CAfile", "ca.pem", "-out", "inner"],
        cwd=tmp_path,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    kind = layers.rfc5083.id_ct_authEnvelopedData if cipher == "gcm" else layers.rfc5652.id_envelopedData
    (tmp_path / "envelope.der").write_bytes(layers.content_info((kind, (tmp_path / "inner").read_bytes())))
    done = subprocess.run(
        [*decrypt, "-in", "envelope.der", "-inkey", "key.pem", "-recip", "device.pem"],
        cwd=tmp_path,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert read_signed_data(done.stdout).content == key_package()


def test_what_openssl_signed_is_read(sealer, tmp_path):
    (tmp_path / "key.pem").write_bytes(pem_key(sealer.signer_key))
    (tmp_path / "signer.pem").write_bytes(sealer.signer.public_bytes(Encoding.PEM))
    (tmp_path / "package").write_bytes(key_package(written("k7")))
    command = ["openssl", "cms", "-binary", "-sign", "-in", "package", "-signer", "signer.pem", "-inkey", "key.pem"]
    command += ["-econtent_type", SKP, "-nodetach", "-outform", "DER"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert value_of(opened(sealer, done.stdout, require_encryption=False)) == VALUE
