"""The SymmetricKeyPackage (RFC 6031 section 2): keys in the clear, with what is said of them."""

from __future__ import annotations

from dataclasses import dataclass, field

from device_sdk.errors import WireError
from device_sdk.model.secret import Secret
from device_sdk.model.wiping import passing
from device_sdk.wire.cms.reader import OCTET_STRING, SEQUENCE, PlainReader
from device_sdk.wire.key_packages.attributes import Attributes, joined, read_attributes
from device_sdk.wire.key_packages.strict import require_der

SYMMETRIC_KEY_PACKAGE = "1.2.840.113549.1.9.16.1.25"
"""id-ct-KP-sKeyPackage."""

MAX_KEYS = 256
MAX_KEY_BYTES = 4096

_WHAT = "SymmetricKeyPackage"
_PACKAGE_ATTRIBUTES = 0xA0


@dataclass(frozen=True)
class OneSymmetricKey:
    """One key as the package has it.

    Attributes:
        attributes: its own and those of the package.
        value: None where the package only says something of a key that is known.
    """

    attributes: Attributes
    value: Secret | None = field(repr=False)


@dataclass(frozen=True)
class SymmetricKeyPackage:
    """Keys, at least one.

    Attributes:
        keys: in the order of the package.
    """

    keys: tuple[OneSymmetricKey, ...]


def read_symmetric_key_package(encoded: bytes) -> SymmetricKeyPackage:
    """Read a package; DER only (K-11).

    Raises:
        WireError: not such a package, another version, an attribute twice, or too much of anything. The message says
            nothing of a key.
    """
    problem: str | None = None
    try:
        require_der(encoded)
        return _parse(PlainReader(encoded))
    except ValueError as error:
        # a decoder's error may hold what it read
        problem = "a text that is not UTF-8" if isinstance(error, UnicodeError) else str(error)
    raise WireError(f"not a package of symmetric keys: {problem}", what=_WHAT)


def _parse(outer: PlainReader) -> SymmetricKeyPackage:
    members = outer.enter()
    outer.finish()
    if members.next_tag not in (_PACKAGE_ATTRIBUTES, SEQUENCE):
        # version 1 is the default, which DER leaves out
        raise ValueError("another version than 1, or not DER")
    common = Attributes()
    if members.next_tag == _PACKAGE_ATTRIBUTES:
        common = read_attributes(members.enter(_PACKAGE_ATTRIBUTES))
    listed = members.enter()
    members.finish()
    keys: list[OneSymmetricKey] = []
    while listed.next_tag is not None:
        if len(keys) == MAX_KEYS:
            raise ValueError(f"more than {MAX_KEYS} keys")
        key = listed.enter()
        own = read_attributes(key.enter()) if key.next_tag == SEQUENCE else None
        value = passing(key.octets()) if key.next_tag == OCTET_STRING else None
        key.finish()
        if own is None and value is None:
            raise ValueError("a key with neither attributes nor value")
        if value is not None and not 1 <= len(value) <= MAX_KEY_BYTES:
            raise ValueError(f"a key that has no bytes, or more than {MAX_KEY_BYTES}")
        joint = joined(common, own) if own else common
        keys.append(OneSymmetricKey(joint, Secret(value) if value is not None else None))
    if not keys:
        raise ValueError("no key at all")
    return SymmetricKeyPackage(tuple(keys))
