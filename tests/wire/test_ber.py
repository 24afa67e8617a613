"""Where an element ends: the reader in front of every parser."""

from __future__ import annotations

import pytest

from device_sdk.errors import WireError
from device_sdk.wire import der
from device_sdk.wire.ber import MAX_DEPTH, children, contents_of, element_end, is_one_sequence
from tests.wire.judges import damaged, only_wire_errors, openssl


@pytest.mark.parametrize("size", [0, 1, 127, 128, 255, 256, 65535, 65536])
def test_lengths_as_openssl_sees_them(size: int) -> None:
    """X.690 section 8.1.3: short and long forms, written and read."""
    element = der.tlv(0x04, bytes(size))
    assert element_end(element + b"rest") == len(element)
    dump = openssl("asn1parse", "-inform", "DER", data=element)
    assert f"l={size:4}" in dump


def test_indefinite_lengths_inside_each_other() -> None:
    """X.690 section 8.1.3.6; contents that look like an end are inside a definite length."""
    data = bytes.fromhex("3080 0402 0000 2480 0401 41 0000 0000")
    assert element_end(data + b"x") == len(data)
    assert is_one_sequence(data)
    assert [(tag, contents) for tag, _, contents in children(contents_of(data))] == [
        (0x04, b"\0\0"),
        (0x24, bytes.fromhex("040141")),
    ]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "30",
        "3003",
        "300301",
        "3081",
        "308500000000 00",
        "0480 0000",
        "3080",
        "3080 0000 00"[:7],
        "1f",
        "1fff",
        "30ff",
    ],
)
def test_what_is_cut_off_or_not_allowed(text: str) -> None:
    with pytest.raises(WireError):
        element_end(bytes.fromhex(text))


def test_depth_is_bounded() -> None:
    fits = b"\x30\x80" * MAX_DEPTH + b"\0\0" * MAX_DEPTH
    assert element_end(fits) == len(fits)
    with pytest.raises(WireError, match="too deeply"):
        element_end(b"\x30\x80" + fits + b"\0\0")


def test_long_tags() -> None:
    assert element_end(bytes.fromhex("bf8101 01 00")) == 5


def test_one_sequence_and_nothing_else() -> None:
    assert is_one_sequence(b"\x30\x00")
    assert not is_one_sequence(b"\x30\x00\n")
    assert is_one_sequence(b"\x30\x00\n\0", padding=b"\n\0")
    assert not is_one_sequence(b"\x30\x00x", padding=b"\n\0")
    assert not is_one_sequence(b"\x31\x00")
    with pytest.raises(WireError):
        contents_of(b"\x30\x00\x30\x00")


def test_damage_gives_wire_errors_only() -> None:
    good = bytes.fromhex("3080 0402 0000 2480 0401 41 0000 bf810103020101 0000")
    for data in damaged(good, flips=2000):
        only_wire_errors(lambda bad: list(children(bad)), data)
