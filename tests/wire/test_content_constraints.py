"""CMS content constraints along a path (RFC 6010 sections 2 and 3)."""

from __future__ import annotations

from typing import Any

import pytest
from cryptography import x509
from pyasn1.type import univ

from device_sdk.wire.content_constraints import constraint_problem, read_content_constraints
from tests.tamp.making import ANY, CCC, FIRMWARE, QUERY, authority, may_sign

X = "1.3.6.1.4.1.32473.77"
VALUES = {number: bytes([2, 1, number]) for number in (1, 2, 3)}


def limited(*numbers: int, types: tuple[str, ...] = (FIRMWARE,)) -> x509.UnrecognizedExtension:
    return may_sign(*types, attributes=[(X, [univ.Integer(number) for number in numbers])])


def problem(*extensions: x509.ExtensionType, number: int | None = 1, kind: str = FIRMWARE) -> str | None:
    """Of a path whose certificates have these, the anchor first; with one value of the attribute, or without it."""
    path: list[Any] = []
    for place, extension in enumerate(extensions):
        path.insert(0, authority(f"Level {place}", path[0] if path else None, extension))
    attributes = {} if number is None else {X: (VALUES[number],)}
    return constraint_problem([one.certificate for one in path], kind, attributes, source=True, mode="if-present")


ALLOWED = {
    "the values of both": (limited(1, 2), limited(1, 3)),
    "limited further down": (may_sign(FIRMWARE), limited(1)),
    "limited further up": (limited(1), may_sign(FIRMWARE)),
    "one of any": (may_sign(ANY), limited(1)),
    "any of any": (may_sign(ANY), may_sign(ANY)),
    "any, and another type is limited": (may_sign(ANY, QUERY, cannot_source=[QUERY]), may_sign(ANY)),
}


@pytest.mark.parametrize("extensions", ALLOWED.values(), ids=ALLOWED)
def test_s_02_a_path_that_allows_it(extensions):
    assert problem(*extensions) is None


NOT_ALLOWED = {
    "no value of both": ((limited(1), limited(2)), None),
    "no value of both, and any beside it": (
        (limited(1, types=(ANY, FIRMWARE)), limited(2, types=(ANY, FIRMWARE))),
        None,
    ),
    "no value of both, and a third": (tuple(limited(number, types=(ANY, FIRMWARE)) for number in (1, 2, 1)), 1),
    "a value of one": ((limited(1, 2), limited(2, 3)), 1),
    "any below one": ((may_sign(FIRMWARE), may_sign(ANY)), 1),
    "the specific entry counts": ((may_sign(ANY, FIRMWARE, cannot_source=[FIRMWARE]),), 1),
    "the specific entry is passed over": ((may_sign(ANY, FIRMWARE, cannot_source=[FIRMWARE]), may_sign(ANY)), 1),
    "an attribute that is not there": ((limited(1),), None),
    "an attribute that is not there, limited further up": ((limited(1), may_sign(FIRMWARE)), None),
    "no source further up": ((may_sign(FIRMWARE, cannot_source=[FIRMWARE]), may_sign(FIRMWARE)), 1),
}


@pytest.mark.parametrize(("extensions", "number"), NOT_ALLOWED.values(), ids=NOT_ALLOWED)
def test_s_02_a_path_that_does_not_allow_it(extensions, number):
    found = problem(*extensions, number=number)
    assert found is not None
    assert "content constraints" in found


def raw(hexadecimal: str) -> x509.UnrecognizedExtension:
    return x509.UnrecognizedExtension(CCC, bytes.fromhex(hexadecimal))


UNREADABLE = {
    "a type twice": may_sign(FIRMWARE, FIRMWARE),
    "anyContentType that is no source": may_sign(ANY, cannot_source=[ANY]),
    # SEQUENCE { SEQUENCE { 1.2.3, SEQUENCE { ... } } }
    "a list of attributes without any": raw("3008 3006 06022a03 3000".replace(" ", "")),
    "an attribute without values": raw("3010 300e 06022a03 3008 3006 06022a04 3100".replace(" ", "")),
    "anyContentType with attributes": raw(
        "301c 301a 060b2a864886f70d0109100100 300b 3009 06022a04 3103 020101".replace(" ", "")
    ),
}


@pytest.mark.parametrize("extension", UNREADABLE.values(), ids=UNREADABLE)
def test_s_02_constraints_that_are_none(extension):
    with pytest.raises(ValueError, match=r"twice|without|anyContentType"):
        read_content_constraints(authority("Signer", None, extension).certificate)
