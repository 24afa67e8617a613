"""What a device refuses of a package, and the number of RFC 4108 section 4.1.3 it has for each reason (section 17 item 4)."""

from __future__ import annotations

import io
import zlib
from dataclasses import replace

import pytest
from device_sdk_simulators.ca.hierarchy import make_authority
from device_sdk_simulators.ca.keys import new_key
from device_sdk_simulators.cale.shared_key import Kek
from device_sdk_simulators.packages.firmware.layers import ContentKey
from device_sdk_simulators.packages.firmware.making import COMPRESSED, ENCRYPTED, FIRMWARE
from device_sdk_simulators.packages.signing import Oddities, attribute
from pyasn1.codec.der.encoder import encode
from pyasn1.type import univ
from pyasn1_alt_modules import rfc4108, rfc5652

from device_sdk.client.firmware import FirmwarePolicy, HardwareModule
from device_sdk.errors import FirmwareError
from device_sdk.model.secret import Secret
from device_sdk.model.shared_key import SharedKey
from device_sdk.protocols.firmware import FirmwareRecord
from device_sdk.wire import der
from device_sdk.wire.cms.strict import require_der
from device_sdk.wire.firmware import LoadErrorCode, unpack_package, verify_package
from device_sdk.wire.firmware.oids import COMMUNITIES, PACKAGE_INFO
from tests.firmware.making import (
    ARC,
    COMMUNITY,
    HARDWARE,
    IMAGE,
    NOTES,
    NOW,
    Maker,
    compressed,
    content_key,
    encrypted,
    encryption,
    unpacked,
    verified,
)
from tests.packages.sealing import constraints

KEY = ContentKey()
OWN = SharedKey(b"key-1", Secret(KEY.value))
C = LoadErrorCode


def refusal(package: bytes, maker: Maker, *keys: object, **options: object) -> LoadErrorCode:
    """The number; whatever it is, the sink got nothing that is not signed."""
    with pytest.raises(FirmwareError) as caught:
        unpacked(package, maker, *keys, **options)
    assert caught.value.load_error is not None
    return LoadErrorCode(caught.value.load_error)


def stranger(maker: Maker) -> bytes:
    return Maker().make()


def other_signature(maker: Maker) -> bytes:
    """The right names, and another key behind them."""
    package = bytearray(maker.make())
    package[-8] ^= 1
    return bytes(package)


def tampered(maker: Maker) -> bytes:
    return maker.make().replace(b"\x7fELF", b"\x7fBAD")


def twice(maker: Maker) -> bytes:
    said = NOTES.attributes(None, None)
    return maker.sign(IMAGE, FIRMWARE, [*said, said[0]])


def two_values(maker: Maker) -> bytes:
    said = [one for one in NOTES.attributes(None, None) if one["attrType"] != rfc4108.id_aa_targetHardwareIDs]
    value = rfc4108.TargetHardwareIdentifiers()
    value.extend(NOTES.hardware)
    other = rfc4108.TargetHardwareIdentifiers()
    other.extend(["1.2.3"])
    return maker.sign(IMAGE, FIRMWARE, [*said, attribute(rfc4108.id_aa_targetHardwareIDs, value, other)])


def nothing_said(maker: Maker) -> bytes:
    return maker.sign(IMAGE, FIRMWARE, [])


def other_unsigned(maker: Maker) -> bytes:
    return maker.sign(
        IMAGE, FIRMWARE, NOTES.attributes(None, None), unsigned=[attribute(rfc5652.id_signingTime, univ.Null(""))]
    )


def two_unsigned(maker: Maker) -> bytes:
    (wrapped,) = encryption(shared=[Kek(b"k", bytes(16))]).wrapped(FIRMWARE)
    return maker.sign(IMAGE, FIRMWARE, NOTES.attributes(None, None), unsigned=[wrapped, wrapped])


def other_content(maker: Maker) -> bytes:
    return maker.sign(IMAGE, "1.2.840.113549.1.7.1")


def no_certificate(maker: Maker) -> bytes:
    return maker.sign(IMAGE, FIRMWARE, NOTES.attributes(None, None), certificates=[])


def digest_of_another(maker: Maker) -> bytes:
    return maker.sign(IMAGE, FIRMWARE, NOTES.attributes(bytes(32), None))


def names_no_key(maker: Maker) -> bytes:
    return maker.sign(encrypted(IMAGE, FIRMWARE, KEY), ENCRYPTED, NOTES.attributes(None, None))


REFUSED = {
    "F-04 a stranger": (stranger, C.NO_TRUST_ANCHOR),
    "F-04 no certificate": (no_certificate, C.NO_TRUST_ANCHOR),
    "F-08 another signature": (other_signature, C.SIGNATURE_FAILURE),
    "F-06 digest mismatch": (tampered, C.SIGNATURE_FAILURE),
    "F-06 contentType mismatch": (
        lambda maker: maker.sign(IMAGE, FIRMWARE, odd=Oddities(signed_type=COMPRESSED)),
        C.CONTENT_TYPE_MISMATCH,
    ),
    "F-06 two signers": (lambda maker: maker.sign(IMAGE, FIRMWARE, odd=Oddities(signers=2)), C.BAD_SIGNER_INFO),
    "F-06 no signer": (lambda maker: maker.sign(IMAGE, FIRMWARE, odd=Oddities(signers=0)), C.BAD_SIGNER_INFO),
    "F-06 an attribute twice": (twice, C.BAD_SIGNER_INFO),
    "F-06 two values": (two_values, C.BAD_SIGNED_ATTRS),
    "F-07 nothing said": (nothing_said, C.BAD_SIGNED_ATTRS),
    "F-07 encrypted, and no key named": (names_no_key, C.BAD_SIGNED_ATTRS),
    "F-09 another unsigned attribute": (other_unsigned, C.BAD_UNSIGNED_ATTRS),
    "F-09 two unsigned attributes": (two_unsigned, C.BAD_UNSIGNED_ATTRS),
    "F-03 another content": (other_content, C.BAD_ENCAP_CONTENT),
    "F-12 fwPkgMessageDigest": (digest_of_another, C.BAD_FIRMWARE),
}


@pytest.mark.parametrize(("make", "code"), REFUSED.values(), ids=REFUSED)
def test_what_is_refused(maker: Maker, make, code: LoadErrorCode) -> None:
    assert refusal(make(maker), maker) == code


def test_f_04_nothing_leaves_before_the_signature_is_good(maker: Maker) -> None:
    """There is no way to unpack what was not verified but through what verifying gave, and that hashes again."""
    file = io.BytesIO(maker.make())
    found = verify_package(file, anchors=maker.anchors, now=NOW)
    other = Maker().make(IMAGE[::-1])
    with pytest.raises(FirmwareError) as caught:
        unpack_package(io.BytesIO(other), found, io.BytesIO().write)
    assert caught.value.load_error == C.SIGNATURE_FAILURE


def layer(maker: Maker, content: bytes, kind: str) -> bytes:
    return maker.sign(content, kind, NOTES.attributes(None, b"key-1"))


ATTRIBUTES = bytes.fromhex("a1023000")
LAYERS = {
    "F-09 unprotectedAttrs": (
        lambda: (encrypted(IMAGE, FIRMWARE, KEY, behind=ATTRIBUTES), ENCRYPTED), C.UNPROTECTED_ATTRS_PRESENT
    ),
    "AMB-28 version 2": (lambda: (encrypted(IMAGE, FIRMWARE, KEY, version=2), ENCRYPTED), C.BAD_ENCRYPTED_DATA),
    "F-03 nested the wrong way": (lambda: (encrypted(IMAGE, ENCRYPTED, KEY), ENCRYPTED), C.BAD_ENCRYPT_CONTENT),
    "F-03 what is inside is not compressed": (lambda: (encrypted(IMAGE, COMPRESSED, KEY), ENCRYPTED), C.DECODE_FAILURE),
    "F-13 no zlib": (lambda: (compressed(IMAGE).replace(b"\x10\x03\x08", b"\x10\x03\x09"), COMPRESSED), C.BAD_COMPRESS_ALGORITHM),
    "F-13 breaks off": (lambda: (recompressed(zlib.compress(IMAGE)[:-9]), COMPRESSED), C.DECOMPRESS_FAILURE),
    "F-13 more behind": (lambda: (recompressed(zlib.compress(IMAGE) + b"more"), COMPRESSED), C.DECOMPRESS_FAILURE),
    "F-13 noise": (lambda: (recompressed(b"noise" * 99), COMPRESSED), C.DECOMPRESS_FAILURE),
    "no content": (lambda: (bytes.fromhex("3021020100300d060b2a864886f70d0109100308300d060b2a864886f70d0109100110"), COMPRESSED), C.MISSING_COMPRESSED_CONTENT),
    "something behind": (lambda: (compressed(IMAGE) + b"\x05\x00", COMPRESSED), C.DECODE_FAILURE),
}  # fmt: skip


def recompressed(data: bytes) -> bytes:
    """A CompressedData with this inside."""
    octets = bytes(encode(univ.OctetString(data)))
    explicit = bytes(encode(univ.OctetString(octets))).replace(b"\x04", b"\xa0", 1)
    kind = bytes(encode(univ.ObjectIdentifier(FIRMWARE)))
    encap = _tlv(0x30, kind + explicit)
    algorithm = _tlv(0x30, bytes(encode(univ.ObjectIdentifier("1.2.840.113549.1.9.16.3.8"))))
    return _tlv(0x30, b"\x02\x01\x00" + algorithm + encap)


def _tlv(tag: int, contents: bytes) -> bytes:
    element = bytes(encode(univ.OctetString(contents)))
    return bytes([tag]) + element[1:]


@pytest.mark.parametrize(("make", "code"), LAYERS.values(), ids=LAYERS)
def test_what_is_refused_inside(maker: Maker, make, code: LoadErrorCode) -> None:
    content, kind = make()
    assert refusal(layer(maker, content, kind), maker, OWN) == code


def test_f_09_the_wrapped_key_is_for_another_algorithm(maker: Maker) -> None:
    """Content type and algorithm have to be those of the EncryptedData, to the last byte."""
    shared = [Kek(b"kek", bytes(16))]
    kek = SharedKey(b"kek", Secret(bytes(16)))
    how = encryption(shared=shared)
    content = encrypted(IMAGE, FIRMWARE, how.key)
    said = NOTES.attributes(None, b"key-1")
    right = maker.sign(content, ENCRYPTED, said, unsigned=how.wrapped(FIRMWARE))
    assert unpacked(right, maker, kek)[0] == IMAGE
    for wrong in (how.wrapped(COMPRESSED), encryption(shared=shared).wrapped(FIRMWARE)):
        package = maker.sign(content, ENCRYPTED, said, unsigned=wrong)
        assert refusal(package, maker, kek) == C.BAD_UNSIGNED_ATTRS


def test_f_08_cannot_decrypt(maker: Maker) -> None:
    how = encryption()
    package = maker.make(compressed=True, encryption=how)
    assert refusal(package, maker) == C.NO_DECRYPT_KEY
    wrong = SharedKey(b"key-1", Secret(bytes(32)))
    assert refusal(package, maker, wrong) in (C.DECRYPT_FAILURE, C.DECODE_FAILURE, C.BAD_FIRMWARE)
    assert refusal(package, maker, SharedKey(b"another", content_key(how).key)) == C.NO_DECRYPT_KEY


def test_g_14_a_zlib_bomb(maker: Maker) -> None:
    """A thousand times larger inside: not one byte more than the limit is inflated."""
    package, size = maker.make(bytes(4 << 20), compressed=True), 0

    def count(piece: bytes) -> None:
        nonlocal size
        size += len(piece)

    file = io.BytesIO(package)
    found = verify_package(file, anchors=maker.anchors, now=NOW)
    with pytest.raises(FirmwareError, match="larger than 1000000 bytes") as caught:
        unpack_package(file, found, count, limit_bytes=1_000_000)
    assert caught.value.load_error == C.INSUFFICIENT_MEMORY
    assert size <= 1_000_000
    assert refusal(maker.make(bytes(4 << 20)), maker, limit_bytes=1_000_000) == C.INSUFFICIENT_MEMORY


def test_f_06_signed_attributes_that_are_not_der() -> None:
    """What the check finds: order, lengths, integers."""
    one, two = b"\x30\x03\x02\x01\x01", b"\x30\x03\x02\x01\x02"
    require_der(b"\x31\x0a" + one + two)
    for bad in (
        b"\x31\x0a" + two + one,
        b"\x31\x81\x0a" + one + two,
        b"\x30\x80" + one + b"\x00\x00",
        b"\x02\x02\x00\x01",
    ):
        with pytest.raises(ValueError, match=r"not DER|cannot be"):
            require_der(bad)


def test_another_authority_may_not_sign(maker: Maker) -> None:
    """AMB-20: an anchor for servers is none for firmware unless it is named as one."""
    server = make_authority("Server root", new_key("ec-p256"), NOW)
    package = maker.sign(
        IMAGE, FIRMWARE, NOTES.attributes(None, None), signer=server, certificates=[server.certificate]
    )
    assert refusal(package, maker) == C.NO_TRUST_ANCHOR


@pytest.mark.parametrize("cut", [0, 1, 3, 20, 100, -1, -200])
def test_half_a_package(maker: Maker, cut: int) -> None:
    package = maker.make()
    with pytest.raises(FirmwareError) as caught:
        verified(package[:cut], maker)
    assert caught.value.load_error == C.DECODE_FAILURE
    with pytest.raises(FirmwareError):
        verified(package + b"more", maker)


def test_too_large_a_package(maker: Maker) -> None:
    with pytest.raises(FirmwareError, match="larger than 1000 bytes"):
        verified(maker.make(), maker, limit_bytes=1000)


OTHER_COMMUNITY = f"{ARC}.10"


def limited_maker(maker: Maker, oid: str, *values: bytes) -> Maker:
    """One whose signer may sign firmware with these values of an attribute alone."""
    found = Maker(maker.root)
    limits = constraints(str(FIRMWARE), attributes={oid: values})
    found.signer = make_authority("Limited", new_key("ec-p256"), NOW, maker.root, extensions=[limits])
    return found


def communities(*names: str) -> bytes:
    return der.sequence(*(der.oid(one) for one in names))


def refusal_by(module: HardwareModule, package: bytes, maker: Maker) -> LoadErrorCode | None:
    attributes = verified(package, maker).attributes
    assert attributes is not None
    try:
        FirmwarePolicy(module).check(attributes, FirmwareRecord())
    except FirmwareError as error:
        return LoadErrorCode(error.load_error or 0)
    return None


def test_s_02_who_may_sign_for_a_community_signs_for_it_alone(maker: Maker) -> None:
    """RFC 6010 section 1.2: communities that a package does not name are those that its signer may sign for."""
    limited = limited_maker(maker, COMMUNITIES, communities(COMMUNITY), communities(OTHER_COMMUNITY, f"{ARC}.11"))
    for own, code in (
        ((), LoadErrorCode.NOT_IN_COMMUNITY),
        ((f"{ARC}.12",), LoadErrorCode.NOT_IN_COMMUNITY),
        ((COMMUNITY,), None),
        ((OTHER_COMMUNITY,), None),
    ):
        assert refusal_by(HardwareModule(HARDWARE, b"\0\1", own), limited.make(), limited) is code
    named = limited.make(notes=replace(NOTES, communities=(COMMUNITY,)))
    for own, code in (((COMMUNITY,), None), ((OTHER_COMMUNITY,), LoadErrorCode.NOT_IN_COMMUNITY)):
        assert refusal_by(HardwareModule(HARDWARE, b"\0\1", own), named, limited) is code
    assert refusal(limited.make(notes=replace(NOTES, communities=(f"{ARC}.12",))), limited) is (
        LoadErrorCode.NOT_AUTHORIZED
    )
    # who is not limited signs for everybody
    assert refusal_by(HardwareModule(HARDWARE, b"\0\1"), maker.make(), maker) is None


@pytest.mark.parametrize(("oid", "value"), [(COMMUNITIES, b"\x30\x00"), (PACKAGE_INFO, b"\x30\x03\x02\x01\x05")])
def test_s_02_other_attributes_have_no_defaults(maker: Maker, oid: str, value: bytes) -> None:
    """Communities that are none; and what a package would have to say itself."""
    limited = limited_maker(maker, oid, value)
    assert refusal(limited.make(), limited) is LoadErrorCode.NOT_AUTHORIZED
