"""TSS2 PRIVATE KEY files (draft-bottomley-tpm2-keys); judged by `openssl asn1parse` and pyasn1."""

import base64
import subprocess

import pytest
from pyasn1.codec.der import decoder, encoder
from pyasn1.type import namedtype, tag, univ

from device_sdk.errors import WireError
from device_sdk.wire.tss2_key import MAX_BYTES, OWNER_HIERARCHY, Tss2Key

PUBLIC = (4).to_bytes(2, "big") + b"publ"
PRIVATE = (4).to_bytes(2, "big") + b"priv"


def der(
    *, oid: str = "2.23.133.10.1.3", empty_auth: bool | None = True, parent: int = OWNER_HIERARCHY,
    public: bytes = PUBLIC, private: bytes = PRIVATE, policy: bool = False, rsa_parent: bool | None = None,
) -> bytes:  # fmt: skip
    """A file made by another ASN.1 library than the reader's."""

    def explicit(number: int) -> tag.Tag:
        return tag.Tag(tag.tagClassContext, tag.tagFormatConstructed, number)

    step = univ.Sequence(
        componentType=namedtype.NamedTypes(
            namedtype.NamedType("code", univ.Integer().subtype(explicitTag=explicit(0))),
            namedtype.NamedType("policy", univ.OctetString().subtype(explicitTag=explicit(1))),
        )
    )
    key = univ.Sequence(
        componentType=namedtype.NamedTypes(
            namedtype.NamedType("type", univ.ObjectIdentifier()),
            namedtype.OptionalNamedType("emptyAuth", univ.Boolean().subtype(explicitTag=explicit(0))),
            namedtype.OptionalNamedType("policy", univ.SequenceOf(componentType=step).subtype(explicitTag=explicit(1))),
            namedtype.OptionalNamedType("rsaParent", univ.Boolean().subtype(explicitTag=explicit(5))),
            namedtype.NamedType("parent", univ.Integer()),
            namedtype.NamedType("pubkey", univ.OctetString()),
            namedtype.NamedType("privkey", univ.OctetString()),
        )
    )
    key["type"] = oid
    if empty_auth is not None:
        key["emptyAuth"] = empty_auth
    if rsa_parent is not None:
        key["rsaParent"] = rsa_parent
    if policy:
        key["policy"][0]["code"] = 0x16B
        key["policy"][0]["policy"] = b""
    key["parent"], key["pubkey"], key["privkey"] = parent, public, private
    return encoder.encode(key)


def pem(data: bytes) -> bytes:
    return b"-----BEGIN TSS2 PRIVATE KEY-----\n" + base64.encodebytes(data) + b"-----END TSS2 PRIVATE KEY-----\n"


def test_what_is_written_follows_the_format(tmp_path) -> None:
    """OpenSSL and pyasn1 read type, emptyAuth, parent and both areas."""
    path = tmp_path / "key.pem"
    path.write_bytes(Tss2Key(PUBLIC, PRIVATE, empty_auth=True).to_pem())
    text = subprocess.run(
        ["openssl", "asn1parse", "-in", str(path)], capture_output=True, text=True, check=True, timeout=60
    ).stdout
    assert "OBJECT            :2.23.133.10.1.3" in text
    assert "INTEGER           :40000001" in text
    body = b"".join(path.read_bytes().splitlines()[1:-1])
    value, rest = decoder.decode(base64.b64decode(body))
    assert not rest
    assert [bytes(value[i]) for i in (3, 4)] == [PUBLIC, PRIVATE]
    assert all(len(line) <= 64 for line in path.read_bytes().splitlines()[1:-1])


@pytest.mark.parametrize("empty_auth", [True, False])
@pytest.mark.parametrize("rsa_parent", [True, False])
def test_what_is_written_is_read_back(empty_auth: bool, rsa_parent: bool) -> None:
    key = Tss2Key(PUBLIC, PRIVATE, parent=0x81000001, empty_auth=empty_auth, rsa_parent=rsa_parent)
    assert Tss2Key.parse(key.to_pem()) == key


@pytest.mark.parametrize(
    ("written", "parent"),
    [
        (0x40000001, 0x40000001),
        (0x81000001, 0x81000001),
        (0x81000001 - (1 << 32), 0x81000001),
        (0, OWNER_HIERARCHY),
        (0x40000007, 0x40000007),
    ],
)
def test_parents_are_read_in_every_spelling_met_in_the_field(written: int, parent: int) -> None:
    """tpm2-tss-engine wrote 0, others let handles overflow a signed 32-bit integer."""
    assert Tss2Key.parse(pem(der(parent=written))).parent == parent


@pytest.mark.parametrize("variant", ["pem", "der", "crlf", "text around"])
def test_armour_variants(variant: str) -> None:
    data = {
        "pem": pem(der()),
        "der": der(),
        "crlf": pem(der()).replace(b"\n", b"\r\n"),
        "text around": b"# made by hand\n" + pem(der()) + b"trailing words\n",
    }[variant]
    assert Tss2Key.parse(data) == Tss2Key(PUBLIC, PRIVATE, empty_auth=True)


def test_optional_fields() -> None:
    assert Tss2Key.parse(der(empty_auth=None)).empty_auth is False
    assert Tss2Key.parse(der(policy=True)).policy is True
    assert Tss2Key.parse(der(rsa_parent=True)).rsa_parent is True


def longer(encoded: bytes, member: bytes) -> bytes:
    """A short SEQUENCE with one member more."""
    return bytes([0x30, encoded[1] + len(member)]) + encoded[2:] + member


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "no -----BEGIN"),
        (b"hello", "no -----BEGIN"),
        (pem(der())[:-60], "no -----BEGIN"),
        (pem(der()[:-3]), "damaged or incomplete"),
        (pem(der() + b"x"), "damaged or incomplete"),
        (pem(der()).replace(b"-\nMC", b"-\n!!"), "no -----BEGIN"),
        (b"-----BEGIN TSS2 PRIVATE KEY-----\nA\n-----END TSS2 PRIVATE KEY-----", "base64"),
        (pem(b"\x30\x03\x02\x01\x05"), "not a TSS2 PRIVATE KEY"),
        (pem(der(oid="2.23.133.10.1.4")), "a key to import"),
        (pem(der(oid="2.23.133.10.1.5")), "sealed data"),
        (pem(der(oid="1.2.3")), "1.2.3"),
        (pem(longer(der(), b"\x07\x00")), "not a TSS2 PRIVATE KEY"),
        (pem(longer(der(), b"\x03\x00")), "not a TSS2 PRIVATE KEY"),
        (pem(der(public=b"\x00\x09publ")), "public area has a wrong length"),
        (pem(der(private=b"")), "private area has a wrong length"),
        (pem(der(parent=0x80000001)), "neither a hierarchy nor"),
        (pem(der(parent=1 << 40)), "neither a hierarchy nor"),
        (b"x" * (MAX_BYTES + 1), "larger than"),
    ],
)
def test_damage_and_other_kinds_are_refused(data: bytes, says: str) -> None:
    with pytest.raises(WireError) as caught:
        Tss2Key.parse(data)
    assert says in str(caught.value)


def test_every_truncation_and_bit_flip_is_an_error_or_a_key() -> None:
    """No damage leaves the reader by another door than WireError."""
    whole = der()
    for end in range(len(whole)):
        with pytest.raises(WireError):
            Tss2Key.parse(whole[:end])
    for position in range(len(whole) * 8):
        flipped = bytearray(whole)
        flipped[position // 8] ^= 1 << position % 8
        try:
            Tss2Key.parse(bytes(flipped))
        except WireError:
            continue
