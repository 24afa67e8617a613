"""Elements read one by one: object identifiers, constructed strings, and everything that does not fit."""

from __future__ import annotations

import pytest
from pyasn1.codec.der.encoder import encode
from pyasn1.type import univ

from device_sdk.wire.cms.definite import encode_element, make_definite
from device_sdk.wire.cms.reader import OCTET_STRING, PlainReader, Reader


@pytest.mark.parametrize(
    "dotted", ["0.0", "0.39", "1.2.840.113549.1.7.3", "2.5.4.3", "2.999.1", "2.16.840.1.101.3.4.1.42", "1.3.2147483648"]
)
def test_object_identifiers(dotted: str) -> None:
    assert Reader(encode(univ.ObjectIdentifier(dotted))).oid() == dotted


@pytest.mark.parametrize("encoded", ["0600", "060188", "0602ff80", "0641" + "2a" * 65, "0401ff", "06"])
def test_no_object_identifiers(encoded: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        Reader(bytes.fromhex(encoded)).oid()


@pytest.mark.parametrize(
    "encoded",
    [
        "0403616263",
        "2405" + "0403616263",
        "2480" + "0403616263" + "0000",
        "2480" + "040161" + "0400" + "04026263" + "0000",
        "2480" + "2480" + "040161" + "0000" + "2404" + "04026263" + "0000",
    ],
)
def test_octet_strings_in_pieces(encoded: str) -> None:
    """X.690 section 8.7.3: the pieces are OCTET STRINGs, which may be constructed themselves."""
    assert Reader(make_definite(bytes.fromhex(encoded))).octets() == b"abc"


@pytest.mark.parametrize("encoded", ["2403020105", "24058003616263", "0303006162", "a003040161", ""])
def test_no_octet_strings(encoded: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        Reader(bytes.fromhex(encoded)).octets()


@pytest.mark.parametrize("value", [0, 1, 127, 128, -1, -129, 2**62])
def test_integers(value: int) -> None:
    assert Reader(encode(univ.Integer(value))).integer() == value


def test_integers_that_cms_does_not_have() -> None:
    for encoded in ("0200", "0209" + "01" * 9):
        with pytest.raises(ValueError, match="integer"):
            Reader(bytes.fromhex(encoded)).integer()


def test_order_and_end() -> None:
    reader = Reader(bytes.fromhex("020101" + "0403616263"))
    with pytest.raises(ValueError, match="another"):
        reader.contents(OCTET_STRING)
    reader.skip(0xA0)
    assert reader.element() == b"\x02\x01\x01"
    with pytest.raises(ValueError, match="more"):
        reader.finish()
    assert reader.octets() == b"abc"
    reader.finish()
    assert reader.next_tag is None
    with pytest.raises(ValueError, match="another"):
        reader.element()


@pytest.mark.parametrize("length", [0, 1, 127, 128, 255, 256, 65535, 65536, 1 << 20])
def test_lengths_are_those_of_der(length: int) -> None:
    assert encode_element(OCTET_STRING, bytes(length)) == encode(univ.OctetString(bytes(length)))


@pytest.mark.parametrize("reader", [Reader, PlainReader])
@pytest.mark.parametrize("encoded", ["0402ff", "048102ff", "04", "0481", "1f0100"])
def test_an_element_ends_where_its_parent_does(reader: type[Reader], encoded: str) -> None:
    """Octets behind the parent are not part of the child."""
    inside = reader(bytes.fromhex(encoded) + b"outside", 0, len(encoded) // 2)
    with pytest.raises(ValueError):  # noqa: PT011
        inside.element()


def test_the_plain_reader_leaves_pieces_to_the_other() -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        PlainReader(bytes.fromhex("2405" + "0403616263")).octets()
