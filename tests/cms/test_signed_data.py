"""SignedData made by `openssl cms` and by pyasn1, verified to Explicit anchors (RFC 5652 section 5, EST-198)."""

from __future__ import annotations

import base64
from collections.abc import Callable

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from pyasn1.codec.der.decoder import decode
from pyasn1.codec.der.encoder import encode
from pyasn1.type import univ
from pyasn1_alt_modules import rfc5652

from device_sdk.errors import VerificationError, WireError
from device_sdk.model.keys import PrivateKey
from device_sdk.wire.cms.signed_data import MAX_SIGNERS, read_signed_data, verify_signed_data
from tests.cms.messages import run_openssl
from tests.cms.parties import DAY, NOW, Party, usage

DATA = "1.2.840.113549.1.7.1"
KEY_PACKAGE = "2.16.840.1.101.2.1.2.78.5"
CONTENT = b"\x30\x03\x02\x01\x05 what is signed\r\n"


def sign(signer: Party, *options: str, content: bytes = CONTENT, digest: str = "sha256") -> bytes:
    """A message by `openssl cms -sign` with its content inside."""
    words = ("cms", "-sign", "-binary", "-nodetach", "-nosmimecap", "-outform", "DER", "-md", digest)
    return run_openssl(*words, "-signer", signer.pem, "-inkey", signer.key_pem, *options, data=content)


def check(message: bytes, *anchors: Party, content_type: str = DATA, **options) -> bytes:
    data = read_signed_data(message)
    options.setdefault("now", NOW)
    verify_signed_data(data, content_type=content_type, anchors=[anchor.certificate for anchor in anchors], **options)
    return data.content


KEYS: dict[str, Callable[[], PrivateKey]] = {
    "ec-p256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "ec-p384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "ec-p521": lambda: ec.generate_private_key(ec.SECP521R1()),
    "rsa-2048": lambda: rsa.generate_private_key(65537, 2048),
}
PSS = ("-keyopt", "rsa_padding_mode:pss")


@pytest.mark.parametrize("digest", ["sha256", "sha384", "sha512"])
@pytest.mark.parametrize("kind", [*KEYS, "rsa-pss"])
def test_est_198_what_openssl_signed_verifies(kind: str, digest: str, party: Callable[..., Party], root: Party) -> None:
    """RSA PKCS#1 v1.5 and PSS, ECDSA; named by issuer and serial number and by key identifier; DER and streamed BER."""
    signer = party("signer", KEYS[kind.replace("pss", "2048")](), root)
    pss = PSS if kind == "rsa-pss" else ()
    # openssl 3.0 cannot write PSS while streaming or with CAdES attributes
    for options in ((), ("-keyid",)) if pss else ((), ("-keyid",), ("-stream",), ("-cades",)):
        message = sign(signer, *options, *pss, digest=digest)
        assert check(message, root) == CONTENT, options
        assert check(base64.b64encode(message), root) == CONTENT
    typed = sign(signer, "-econtent_type", KEY_PACKAGE, digest=digest)
    assert check(typed, root, content_type=KEY_PACKAGE) == CONTENT


def test_the_signers_certificate_may_be_elsewhere(party: Callable[..., Party], root: Party) -> None:
    """Among the intermediates, or itself the anchor; with an issuing CA between."""
    issuing = party("Issuing", issuer=root, ca=True)
    signer = party("signer", issuer=issuing)
    bare = sign(signer, "-nocerts")
    extra = [signer.certificate, issuing.certificate]
    assert check(bare, root, intermediates=extra) == CONTENT
    assert check(bare, signer) == CONTENT
    assert check(sign(issuing), root) == CONTENT
    with pytest.raises(VerificationError, match="signer's certificate is not there"):
        check(bare, root)
    with pytest.raises(VerificationError, match="no path"):
        check(bare, root, intermediates=extra[:1])


def test_named_by_a_key_identifier_that_the_certificate_does_not_show(party: Callable[..., Party], root: Party) -> None:
    """RFC 5280 section 4.2.1.2, method 1."""
    signer = party("signer", issuer=root, ski=False)
    identifier = x509.SubjectKeyIdentifier.from_public_key(signer.key.public_key()).digest
    assert check(handmade(signer, by_key=identifier), root) == CONTENT
    with pytest.raises(VerificationError, match="not there"):
        check(handmade(signer, by_key=b"\x01" * 20), root)


def handmade(
    signer: Party,
    *,
    by_key: bytes | None = None,
    attributes: list[tuple[str, list[bytes]]] | None = None,
    signed: bytes | None = None,
    digest_oid: str = "2.16.840.1.101.3.4.2.1",
    scheme_oid: str = "1.2.840.10045.4.3.2",
    content_type: str = DATA,
    signers: int = 1,
) -> bytes:
    """A message written with pyasn1-alt-modules, as wrong as asked for."""
    if attributes is None:
        hasher = hashes.Hash(hashes.SHA256())
        hasher.update(CONTENT)
        attributes = [
            ("1.2.840.113549.1.9.3", [encode(univ.ObjectIdentifier(content_type))]),
            ("1.2.840.113549.1.9.4", [encode(univ.OctetString(hasher.finalize()))]),
        ]
    data = rfc5652.SignedData()
    data["version"] = 1
    data["digestAlgorithms"][0]["algorithm"] = digest_oid
    data["encapContentInfo"]["eContentType"] = content_type
    data["encapContentInfo"]["eContent"] = CONTENT
    data["certificates"][0]["certificate"] = decode(
        signer.certificate.public_bytes(Encoding.DER), asn1Spec=rfc5652.CertificateChoices()["certificate"]
    )[0]
    for number in range(signers):
        info = rfc5652.SignerInfo()
        info["version"] = 3 if by_key else 1
        if by_key:
            info["sid"]["subjectKeyIdentifier"] = by_key
        else:
            named = info["sid"]["issuerAndSerialNumber"]
            named["issuer"] = decode(signer.certificate.issuer.public_bytes(), asn1Spec=named["issuer"].clone())[0]
            named["serialNumber"] = signer.certificate.serial_number
        info["digestAlgorithm"]["algorithm"] = digest_oid
        info["signatureAlgorithm"]["algorithm"] = scheme_oid
        for index, (oid, values) in enumerate(attributes):
            info["signedAttrs"][index]["attrType"] = oid
            for place, value in enumerate(values):
                info["signedAttrs"][index]["attrValues"][place] = value
        if attributes:
            as_set = rfc5652.SignedAttributes()
            for index in range(len(attributes)):
                as_set[index] = info["signedAttrs"][index]
            signed_bytes = signed or encode(as_set)
        else:
            signed_bytes = signed or CONTENT
        assert isinstance(signer.key, ec.EllipticCurvePrivateKey)
        info["signature"] = signer.key.sign(signed_bytes, ec.ECDSA(hashes.SHA256()))
        data["signerInfos"][number] = info
    message = rfc5652.ContentInfo()
    message["contentType"] = rfc5652.id_signedData
    message["content"] = encode(data)
    return bytes(encode(message))


def test_a_bare_signed_data_is_read_too(party: Callable[..., Party], root: Party) -> None:
    """What an EnvelopedData of content type signedData holds has no ContentInfo around it."""
    message = sign(party("signer", issuer=root))
    bare = bytes(decode(message, asn1Spec=rfc5652.ContentInfo())[0]["content"])
    assert check(bare, root) == CONTENT


def test_est_198_a_signature_is_over_this_content_and_type(party: Callable[..., Party], root: Party) -> None:
    signer = party("signer", issuer=root)
    assert check(handmade(signer), root) == CONTENT
    message = handmade(signer)
    with pytest.raises(VerificationError, match="digest is not that"):
        check(message.replace(b"what is", b"what was"[:7]), root)
    with pytest.raises(WireError, match="expected"):
        check(message, root, content_type=KEY_PACKAGE)
    other_type = handmade(signer, content_type=KEY_PACKAGE)
    moved = other_type.replace(
        encode(univ.ObjectIdentifier(KEY_PACKAGE)), encode(univ.ObjectIdentifier("2.16.840.1.101.2.1.2.78.6")), 1
    )
    with pytest.raises(VerificationError, match="content type is not that"):
        check(moved, root, content_type="2.16.840.1.101.2.1.2.78.6")
    with pytest.raises(VerificationError, match="not one by this key"):
        check(handmade(signer, signed=b"something else"), root)


def test_rfc_5652_section_5_3_signed_attributes_are_demanded(party: Callable[..., Party], root: Party) -> None:
    """Without them, a signature over attributes could be shown as one over content."""
    signer = party("signer", issuer=root)
    with pytest.raises(VerificationError, match="no signed attributes"):
        check(sign(signer, "-noattr"), root)
    with pytest.raises(VerificationError, match="no signed attributes"):
        check(handmade(signer, attributes=[], content_type=KEY_PACKAGE), root, content_type=KEY_PACKAGE)


@pytest.mark.parametrize(
    "attributes",
    [
        [("1.2.840.113549.1.9.3", [encode(univ.ObjectIdentifier(DATA))])],
        [("1.2.840.113549.1.9.4", [encode(univ.OctetString(bytes(32)))])],
        [
            ("1.2.840.113549.1.9.3", [encode(univ.ObjectIdentifier(DATA))]),
            ("1.2.840.113549.1.9.4", [encode(univ.OctetString(bytes(32))), encode(univ.OctetString(bytes(31)))]),
        ],
        [
            ("1.2.840.113549.1.9.3", [encode(univ.ObjectIdentifier(DATA))]),
            ("1.2.840.113549.1.9.4", [encode(univ.OctetString(bytes(32)))]),
            ("1.2.840.113549.1.9.4", [encode(univ.OctetString(bytes(31)))]),
        ],
    ],
    ids=["no digest", "no content type", "two values", "twice"],
)
def test_rfc_5652_section_11_the_two_attributes_are_there_once(
    attributes: list[tuple[str, list[bytes]]], party: Callable[..., Party], root: Party
) -> None:
    with pytest.raises(WireError, match="attribute"):
        read_signed_data(handmade(party("signer", issuer=root), attributes=attributes))


def test_est_198_untrusted_signers(party: Callable[..., Party], root: Party) -> None:
    stranger = party("Root", ca=True)
    with pytest.raises(VerificationError, match="no path"):
        check(sign(party("signer", issuer=stranger)), root)
    with pytest.raises(VerificationError, match="expired"):
        check(sign(party("signer", issuer=root, not_after=NOW - DAY)), root)
    with pytest.raises(VerificationError, match="KeyUsage"):
        check(sign(party("signer", issuer=root, key_usage=usage(key_agreement=True))), root)
    device = party("device", issuer=root)
    with pytest.raises(VerificationError, match="not a CA"):
        check(sign(party("signer", issuer=device), "-certfile", str(device.pem)), root)
    with pytest.raises(VerificationError, match="says no"):
        check(sign(device), root, may_sign=lambda certificate: "says no")


def test_one_good_signer_is_enough(party: Callable[..., Party], root: Party) -> None:
    """RFC 5652 section 5; the good one may come second."""
    stranger, good = party("stranger"), party("good", issuer=root)
    both = sign(stranger, "-signer", str(good.pem), "-inkey", str(good.key_pem))
    assert len(read_signed_data(both).signers) == 2
    assert check(both, root) == CONTENT
    with pytest.raises(VerificationError):
        check(both, party("another"))


def test_bounds(party: Callable[..., Party], root: Party) -> None:
    signer = party("signer", issuer=root)
    assert check(handmade(signer, signers=MAX_SIGNERS), root) == CONTENT
    with pytest.raises(WireError, match="signers"):
        read_signed_data(handmade(signer, signers=MAX_SIGNERS + 1))
    with pytest.raises(WireError, match="limit"):
        read_signed_data(handmade(signer), limit_bytes=100)


def test_what_is_no_signed_message(party: Callable[..., Party], root: Party) -> None:
    signer = party("signer", issuer=root)
    words = ("cms", "-sign", "-binary", "-outform", "DER", "-signer", signer.pem, "-inkey", signer.key_pem)
    with pytest.raises(WireError, match="without content"):
        read_signed_data(run_openssl(*words, data=CONTENT))
    with pytest.raises(WireError, match="nobody signed"):
        read_signed_data(handmade(signer, signers=0))
    with pytest.raises(WireError, match="another type"):
        read_signed_data(run_openssl("cms", "-data_create", "-outform", "DER", data=CONTENT))
    good = sign(signer)
    for cut in range(0, len(good), 7):
        with pytest.raises(WireError):
            read_signed_data(good[:cut])


def test_every_flipped_bit_is_seen(party: Callable[..., Party], root: Party) -> None:
    """Nothing of the signed message can change without being refused, but what nobody signs (certificates, versions)."""
    signer = party("signer", issuer=root)
    good = sign(signer, "-nocerts")
    passed = 0
    for place in range(len(good)):
        changed = bytearray(good)
        changed[place] ^= 1
        try:
            content = check(bytes(changed), root, intermediates=[signer.certificate])
        except (WireError, VerificationError):
            continue
        passed += 1
        assert content == CONTENT, place
    assert passed < 40
