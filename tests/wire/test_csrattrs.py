"""Reading /csrattrs: every example of the documents, the older forms, templates, conflicts and policy."""

from __future__ import annotations

import random

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from device_sdk.errors import CsrAttributesError, WireError
from device_sdk.model.keys import KeyType
from device_sdk.wire import csrattrs_oids as oids
from device_sdk.wire import der
from device_sdk.wire.csrattrs import CsrAttributes
from device_sdk.wire.csrattrs_asn1 import Element, WantedExtension
from device_sdk.wire.csrattrs_template import SubjectPart
from device_sdk.wire.transfer import decode_body
from tests.processor import require_at_most
from tests.wire.judges import VECTORS, csrattrs_by_pyasn1, damaged, only_wire_errors

EC = tuple(kind for kind in KeyType if kind.is_ec)
RSA = tuple(kind for kind in KeyType if not kind.is_ec)
P384 = "1.3.132.0.34"
SHA1 = "1.3.14.3.2.26"
ECDSA_384 = "1.2.840.10045.4.3.3"
RSA_256 = "1.2.840.113549.1.1.11"
PSS = "1.2.840.113549.1.1.10"
SHA_384 = "2.16.840.1.101.3.4.2.2"


def vector(name: str) -> bytes:
    """One example; its base64 and its DER are checked against each other."""
    raw = decode_body((VECTORS / f"{name}.b64").read_bytes())
    binary = VECTORS / f"{name}.der"
    assert not binary.exists() or binary.read_bytes() == raw
    return raw


def attribute(oid: str, *values: bytes) -> bytes:
    return der.sequence(der.oid(oid), der.tlv(0x31, b"".join(values)))


def read(*entries: bytes | str) -> CsrAttributes:
    """A list of attributes (encoded) and bare OIDs (dotted)."""
    return CsrAttributes.from_bytes(
        der.sequence(*(der.oid(entry) if isinstance(entry, str) else entry for entry in entries))
    )


# name: key types (or the word in the error), signature, binding, mac, extension OIDs, subject OIDs, unknown OIDs
EXAMPLES: dict[str, tuple[object, str | None, bool, bool, list[str], list[str], list[str]]] = {
    "draft-04/a6-csrattrs-response": (None, None, True, True, [], [], []),
    "draft-04/s4.5.2-csrattrs-example": ("sect113r1", "sha384", True, True, [], [], []),
    "rfc7030/a2-csrattrs": ("brainpoolP384r1", "sha384", True, True, [], [], ["2.999.1", "2.999.2"]),
    "rfc7030/s4.5.2-csrattrs-example": ((KeyType.EC_P384,), "ecdsa-with-SHA384", True, True, [], [], []),
    "rfc9908/s5.1-acp-san": (None, None, False, False, ["2.5.29.17"], [], []),
    "rfc9908/s5.2-rfc7030-corrected": ((KeyType.EC_P384,), "ecdsa-with-SHA384", True, True, [], [], []),
    "rfc9908/s5.3-as-published-no-san": (
        (KeyType.EC_P521,), "ecdsa-with-SHA512", True, False, [], ["2.5.4.5"],
        ["1.2.840.113549.1.9.20", "0.9.2342.19200300.100.1.5"],
    ),
    "rfc9908/s5.4-rsa4096": ((KeyType.RSA_4096,), "sha256WithRSAEncryption", True, False, [], [], []),
    "rfc9908/s5.5-p384": ((KeyType.EC_P384,), "ecdsa-with-SHA384", True, False, [], ["2.5.4.5"], []),
    "rfc9908/s5.6-p521": (
        (KeyType.EC_P521,), "ecdsa-with-SHA512", True, False, [], ["2.5.4.5"],
        ["1.2.840.113549.1.9.20", "0.9.2342.19200300.100.1.5"],
    ),
    "rfc9908/generated-s3.4-template": (
        (KeyType.EC_P256,), None, False, False, ["2.5.29.17", "2.5.29.15", "2.5.29.37"], [], [],
    ),
    "rfc9908/generated-s3.4-template-misprinted-oid": (
        (KeyType.EC_P256,), None, False, False, ["2.5.29.17", "2.5.29.15", "2.5.29.37"], [], [],
    ),
    "rfc9908/generated-s3.4-template-with-legacy-items": (
        (KeyType.EC_P256,), None, False, False, ["2.5.29.17", "2.5.29.15", "2.5.29.37"], [], [],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", EXAMPLES)
def test_examples_of_the_documents(name: str) -> None:
    """Sections 12 and 19: what each document's example asks for; the entries are those pyasn1-alt-modules sees."""
    raw = vector(name)
    wishes = CsrAttributes.from_bytes(raw)
    keys, signature, binding, mac, extensions, subject, unknown = EXAMPLES[name]
    if isinstance(keys, str):
        with pytest.raises(CsrAttributesError, match=f"the server asks for an EC key on {keys}"):
            wishes.required_key_types()
    else:
        assert wishes.required_key_types() == keys
    found = wishes.signature()
    assert (found.name if found else None) == signature
    assert (wishes.wants_binding, wishes.wants_mac) == (binding, mac)
    assert [extension.oid for extension in wishes.extensions] == extensions
    assert list(wishes.subject_types) == subject
    assert [element.oid for element in wishes.unknown] == unknown
    assert [(e.oid, None if e.bare else list(e.values)) for e in wishes.elements] == csrattrs_by_pyasn1(raw)


def test_every_example_is_covered() -> None:
    files = {f"{path.parent.name}/{path.name.removesuffix('.b64')}" for path in VECTORS.glob("*/*.b64")}
    assert {name for name in files if "csrattrs" in name or "rfc9908" in name} == set(EXAMPLES)


def test_rfc_7030_a2_keeps_what_it_does_not_know() -> None:
    """EST-172: 2.999.1 and 2.999.2 are ignored, and still there with their values."""
    wishes = CsrAttributes.from_bytes(vector("rfc7030/a2-csrattrs"))
    texts = [value[2:].decode("latin-1") for element in wishes.unknown for value in element.values]
    assert "Parse SET as 2.999.1 data" in texts
    assert "Parse SET as 2.999.2 data" in texts
    assert len(wishes.unknown[1].values) == 3


def test_acp_example_copies_value_and_critical_bit() -> None:
    """EST-176, RFC 9908 section 5.1."""
    (wanted,) = CsrAttributes.from_bytes(vector("rfc9908/s5.1-acp-san")).extensions
    assert wanted.critical
    assert wanted.value is not None
    assert b"rfc8994+fd739fc23c3440112233445500000000+@acp.example.com" in wanted.value


def test_template_of_rfc_9908_section_3_4() -> None:
    """EST-180..183: subject with open and given parts, SAN with an open address, EKU without a value."""
    wishes = CsrAttributes.from_bytes(vector("rfc9908/generated-s3.4-template"))
    assert wishes.subject == (
        SubjectPart("2.5.4.3", None),
        SubjectPart("2.5.4.11", b"\x0c\x06myDept"),
        SubjectPart("2.5.4.11", b"\x0c\x07myGroup"),
    )
    assert wishes.extensions[0].value == bytes.fromhex("301482107777772E6D795365727665722E636F6D8700")
    assert wishes.extensions[1] == WantedExtension("2.5.29.15", critical=True, value=b"\x03\x02\x03\x88")
    assert wishes.extensions[2] == WantedExtension("2.5.29.37", critical=False, value=None)


def test_a_template_replaces_the_older_elements() -> None:
    """EST-181: challengePassword and secp384r1 beside the template are ignored; they stay in the list."""
    plain = CsrAttributes.from_bytes(vector("rfc9908/generated-s3.4-template"))
    mixed = CsrAttributes.from_bytes(vector("rfc9908/generated-s3.4-template-with-legacy-items"))
    assert mixed.required_key_types() == (KeyType.EC_P256,)
    assert not mixed.wants_binding
    assert len(mixed.elements) == 3
    assert (mixed.subject, mixed.extensions) == (plain.subject, plain.extensions)


def template(*parts: bytes, version: int = 0) -> bytes:
    return attribute(oids.TEMPLATE, der.sequence(der.tlv(0x02, bytes([version])), *parts))


EMPTY_TEMPLATE = der.sequence(der.tlv(0x02, b"\0"))


def test_templates_with_a_placeholder_key_and_a_challenge() -> None:
    """EST-182: the modulus length counts, even of zeros; challengePassword is asked for inside the template."""
    for modulus in (b"\x00" + b"\xff" * 384, b"\x00" * 385, b"\x00" * 384):
        placeholder = der.sequence(der.tlv(0x02, modulus), b"\x02\x03\x01\x00\x01")
        algorithm = der.sequence(der.oid(oids.RSA_ENCRYPTION), b"\x05\x00")
        key = der.tlv(0xA0, algorithm + der.tlv(0x03, b"\0" + placeholder))
        wishes = read(template(key, der.tlv(0xA1, attribute(oids.CHALLENGE_PASSWORD))))
        assert wishes.required_key_types() == (KeyType.RSA_3072,)
        assert wishes.wants_binding
        assert wishes.subject is None


def test_a_single_extension_template_is_a_list_of_one() -> None:
    """EST-184 (b): section 3.4's text says ExtensionTemplate, its ASN.1 SEQUENCE OF."""
    wanted = der.sequence(der.oid("2.5.29.37"))
    for value in (wanted, der.sequence(wanted)):
        wishes = read(template(der.tlv(0xA1, attribute(oids.EXTENSION_REQUEST_TEMPLATE[0], value))))
        assert wishes.extensions == (WantedExtension("2.5.29.37", critical=False, value=None),)


@pytest.mark.parametrize("raw", [b"\x30\x00", b"\x30\x80\x00\x00"])
def test_an_empty_list_is_no_wish(raw: bytes) -> None:
    """EST-171: MAA= means the same as 204 and 404."""
    assert CsrAttributes.from_bytes(raw) == CsrAttributes.none()
    assert CsrAttributes.none().required_key_types() is None
    assert CsrAttributes.none().signature() is None
    CsrAttributes.none().check_key(ec.generate_private_key(ec.SECP256R1()).public_key())


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        pytest.param([oids.EC_PUBLIC_KEY], EC, id="bare ecPublicKey"),
        pytest.param([attribute(oids.EC_PUBLIC_KEY)], EC, id="ecPublicKey {}"),
        pytest.param([oids.RSA_ENCRYPTION], RSA, id="bare rsaEncryption"),
        pytest.param([attribute(oids.RSA_ENCRYPTION)], RSA, id="rsaEncryption {}"),
        pytest.param([attribute(oids.RSA_ENCRYPTION, b"\x02\x02\x0c\x00")], (KeyType.RSA_3072,), id="RSA 3072"),
        pytest.param([P384], (KeyType.EC_P384,), id="bare curve of draft-04"),
        pytest.param([attribute(oids.EC_PUBLIC_KEY, der.oid(P384))], (KeyType.EC_P384,), id="curve in the attribute"),
        pytest.param([oids.EC_PUBLIC_KEY, P384], (KeyType.EC_P384,), id="the closer wish counts"),
        pytest.param([P384, oids.EC_PUBLIC_KEY], (KeyType.EC_P384,), id="in any order"),
        pytest.param([ECDSA_384], EC, id="an ECDSA signature needs an EC key"),
        pytest.param([PSS], RSA, id="RSASSA-PSS needs an RSA key"),
        pytest.param([SHA_384], None, id="a hash says nothing about the key"),
    ],
)
def test_key_types(entries: list[bytes | str], expected: tuple[KeyType, ...] | None) -> None:
    """EST-175, EST-177: every way to ask for a key."""
    assert read(*entries).required_key_types() == expected


@pytest.mark.parametrize(
    ("entries", "one", "other"),
    [
        ([oids.RSA_ENCRYPTION, P384], "an RSA key", "an EC key on secp384r1"),
        ([P384, "1.3.132.0.35"], "secp384r1", "secp521r1"),
        ([attribute(oids.EC_PUBLIC_KEY, der.oid(P384), der.oid("1.3.132.0.35"))], "secp384r1", "secp521r1"),
        ([oids.RSA_ENCRYPTION, ECDSA_384], "an RSA key", "ecdsa-with-SHA384"),
        ([ECDSA_384, RSA_256], "ecdsa-with-SHA384", "sha256WithRSAEncryption"),
        ([ECDSA_384, "2.16.840.1.101.3.4.2.1"], "ecdsa-with-SHA384", "sha256"),
        ([RSA_256, PSS], "sha256WithRSAEncryption", "RSASSA-PSS"),
    ],
)
def test_conflicts_name_both_sides(entries: list[bytes | str], one: str, other: str) -> None:
    """EST-178."""
    wishes = read(*entries)
    with pytest.raises(CsrAttributesError) as caught:
        wishes.required_key_types()
    assert one in str(caught.value)
    assert other in str(caught.value)
    assert wishes.without_key_wishes().required_key_types() is None


@pytest.mark.parametrize(
    ("entries", "word"),
    [
        ([attribute(oids.RSA_ENCRYPTION, b"\x02\x02\x04\x00")], "1024 bits; fewer than 2048 bits are refused"),
        ([attribute(oids.RSA_ENCRYPTION, b"\x02\x01\xff")], "-1 bits; fewer than 2048"),
        (["1.2.840.113549.1.1.5"], "sha1"),
        (["1.2.840.10045.4.1"], "sha1"),
        (["1.2.840.113549.1.1.4"], "md5"),
        ([SHA1], "sha1"),
        (["1.2.840.113549.2.5"], "md5"),
        (["1.3.132.0.4"], "sect113r1"),
        (["1.3.132.0.33"], "secp224r1"),
        (["1.3.132.0.99"], r"1\.3\.132\.0\.99"),
        (["1.3.101.112"], "an ED25519 key"),
        ([attribute(oids.RSA_ENCRYPTION, b"\x02\x02\x20\x00")], "8192 bits"),
    ],
)
def test_policy_floor_and_impossible_wishes(entries: list[bytes | str], word: str) -> None:
    """EST-179: nothing below the local policy; sect113r1 is not taken for secp384r1."""
    with pytest.raises(CsrAttributesError, match=word):
        read(*entries).required_key_types()


def test_a_key_is_held_against_the_wish() -> None:
    """EST-178: the caller decides what a mismatch means; the error names both sides."""
    p256 = ec.generate_private_key(ec.SECP256R1()).public_key()
    brainpool = ec.generate_private_key(ec.BrainpoolP384R1()).public_key()
    rsa_2048 = rsa.generate_private_key(65537, 2048).public_key()
    read("1.2.840.10045.3.1.7").check_key(p256)
    read(oids.EC_PUBLIC_KEY).check_key(brainpool)
    CsrAttributes.from_bytes(vector("rfc7030/a2-csrattrs")).check_key(brainpool)
    read(attribute(oids.RSA_ENCRYPTION, b"\x02\x02\x08\x00")).check_key(rsa_2048)
    with pytest.raises(CsrAttributesError, match="secp384r1, the given key is an EC key on secp256r1"):
        read(P384).check_key(p256)
    with pytest.raises(CsrAttributesError, match="3072 bits, the given key is an RSA key of 2048"):
        read(attribute(oids.RSA_ENCRYPTION, b"\x02\x02\x0c\x00")).check_key(rsa_2048)
    with pytest.raises(CsrAttributesError, match="an RSA key, the given key is an EC key"):
        read(RSA_256).check_key(p256)
    with pytest.raises(CsrAttributesError):
        read("1.3.132.0.99").check_key(p256)


def test_a_scheme_and_a_bare_hash_add_up() -> None:
    wish = read(PSS, SHA_384).signature()
    assert wish is not None
    assert (wish.family, wish.hash_name, wish.pss) == ("rsa", "sha384", True)


@pytest.mark.parametrize("oid", [oids.CHALLENGE_PASSWORD, oids.EST_IDENTITY_LINKING])
def test_binding_is_asked_for(oid: str) -> None:
    """EST-92, EST-104: challengePassword or estIdentityLinking, bare or as an attribute."""
    assert read(oid).wants_binding
    assert read(attribute(oid)).wants_binding
    assert not read(oid, oids.OTP_CHALLENGE).without_challenges().wants_binding
    assert read(oid, oids.OTP_CHALLENGE).without_challenges().challenges == ()


def extensions(*entries: bytes) -> bytes:
    return attribute(oids.EXTENSION_REQUEST, der.sequence(*entries))


@pytest.mark.parametrize(
    "entries",
    [
        pytest.param([extensions(), extensions()], id="two extensionRequests"),
        pytest.param([attribute(oids.EXTENSION_REQUEST, der.sequence(), der.sequence())], id="two values"),
        pytest.param([extensions(der.extension("2.5.29.15", b"", critical=True) * 2)], id="an extnID twice"),
        pytest.param([template(), template()], id="two templates"),
        pytest.param([template(version=1)], id="template of version 2"),
        pytest.param([attribute(oids.TEMPLATE)], id="template without a value"),
        pytest.param([attribute(oids.TEMPLATE, EMPTY_TEMPLATE, EMPTY_TEMPLATE)], id="template with two values"),
        pytest.param(
            [template(der.tlv(0xA1, extensions() + attribute(oids.EXTENSION_REQUEST_TEMPLATE[0], der.sequence())))],
            id="both kinds of extension request in a template",
        ),
        pytest.param([b"\x02\x01\x00"], id="an INTEGER in the list"),
        pytest.param([b"\x06\x02\x2a\x81"], id="an OID cut off"),
        pytest.param([attribute(oids.RSA_ENCRYPTION, b"\x02\x09\x7f" + bytes(8))], id="an absurd key size"),
        pytest.param([der.sequence(der.oid("1.2.3"))], id="an attribute without values"),
    ],
)
def test_what_the_standards_forbid(entries: list[bytes | str]) -> None:
    """EST-175, EST-176, EST-180, EST-183: bad lists are refused as malformed."""
    with pytest.raises(WireError):
        read(*entries)


def test_empty_and_bare_forms_are_not_malformed() -> None:
    """A bare extensionRequest, and a bare pKCS7PDU of RFC 8295, mean nothing and harm nothing."""
    wishes = read(oids.EXTENSION_REQUEST, "1.2.840.113549.1.9.25.5")
    assert [element.oid for element in wishes.unknown] == [oids.EXTENSION_REQUEST, "1.2.840.113549.1.9.25.5"]
    assert wishes.unknown[0] == Element(oids.EXTENSION_REQUEST)


def use(raw: bytes) -> None:
    wishes = CsrAttributes.from_bytes(raw)
    try:
        wishes.required_key_types()
        wishes.signature()
    except CsrAttributesError:
        pass
    _ = (repr(wishes), wishes.wants_binding, [str(key) for key in wishes.keys])


@pytest.mark.slow
def test_damage_gives_wire_errors_only() -> None:
    """Every prefix and bit flips of every example; what still reads can be used."""
    for name in EXAMPLES:
        for data in damaged(vector(name), flips=500):
            only_wire_errors(use, data)


@pytest.mark.slow
def test_noise_is_refused_quickly() -> None:
    chance = random.Random(3)  # noqa: S311  # a fixed seed is the point
    big = b"\x30\x83\x0f\xff\xfb"
    noise = (
        big + chance.randbytes(2**20 - 5),
        big + b"\x30\x00" * 2**19,
        der.sequence(b"\x06\x01\x2a" * 20_000),
        der.sequence(attribute("1.2.3", b"\x05\x00" * 30_000)),
        der.sequence(b"\x06\x82\xfd\xe8" + b"\x81" * 64_999 + b"\x01"),
        der.sequence(attribute(oids.EC_PUBLIC_KEY, b"\x06\x82\xf2\x30" + b"\x81" * 61_999 + b"\x01")),
        der.sequence(attribute(oids.RSA_ENCRYPTION, b"\x02\x82\xf2\x30" + b"\x7f" * 62_000)),
    )

    def read() -> None:
        for data in noise:
            with pytest.raises(WireError):
                CsrAttributes.from_bytes(data)

    require_at_most(2, read)
