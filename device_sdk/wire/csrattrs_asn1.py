"""The ASN.1 of CsrAttrs: elements, attributes and the extensions inside them (RFC 8951 section 4, RFC 9908)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from asn1crypto import core

from device_sdk.errors import WireError
from device_sdk.wire.ber import contents_of, is_one_sequence
from device_sdk.wire.modest import ASN1CRYPTO_ERRORS, require_modest

MAX_BYTES = 64 * 1024
MAX_ELEMENTS = 256
MAX_OID_BYTES = 100
MAX_INTEGER_BYTES = 8

# asn1crypto has no types and describes structures by class attributes.
# mypy: disable-error-code="misc"
# ruff: noqa: RUF012


class AnySet(core.SetOf):
    """SET OF ANY; may be empty, although the ASN.1 of Attribute says 1..MAX (EST-175)."""

    _child_spec = core.Any


class Attribute(core.Sequence):
    """SEQUENCE { type OBJECT IDENTIFIER, values SET OF ANY }."""

    _fields = [("type", core.ObjectIdentifier), ("values", AnySet)]


class _AttrOrOid(core.Choice):
    _alternatives = [("oid", core.ObjectIdentifier), ("attribute", Attribute)]


class _CsrAttrs(core.SequenceOf):
    _child_spec = _AttrOrOid


class _Extension(core.Sequence):
    """An Extension, or an ExtensionTemplate: the value may be missing (RFC 9908 section 3.4)."""

    _fields = [
        ("extn_id", core.ObjectIdentifier),
        ("critical", core.Boolean, {"default": False}),
        ("extn_value", core.OctetString, {"optional": True}),
    ]


class _Extensions(core.SequenceOf):
    _child_spec = _Extension


@dataclass(frozen=True)
class Element:
    """One entry of the list, as received.

    Attributes:
        oid: the OID, or the type of the attribute, dotted.
        values: DER of each value; empty for a bare OID.
        bare: whether it was a bare OID and not an attribute.
    """

    oid: str
    values: tuple[bytes, ...] = ()
    bare: bool = True


@dataclass(frozen=True)
class WantedExtension:
    """An extension the server wants in the request.

    Attributes:
        oid: dotted.
        critical: goes into the request as it is.
        value: DER of the extension's value, to be used as it is; None if the client fills it in (EST-183).
    """

    oid: str
    critical: bool
    value: bytes | None


@contextmanager
def asn1_errors(what: str) -> Iterator[None]:
    """Everything asn1crypto raises on bad bytes, as a WireError about `what`."""
    try:
        yield
    except ASN1CRYPTO_ERRORS as error:
        raise WireError(f"{what} does not follow its ASN.1", what=what) from error


def read_elements(der: bytes) -> tuple[Element, ...]:
    """The list as it stands: SEQUENCE SIZE (0..MAX) OF CHOICE { OID, Attribute } (EST-175).

    Raises:
        WireError: not that, larger than MAX_BYTES, or more than MAX_ELEMENTS elements or values.
    """
    if len(der) > MAX_BYTES or not is_one_sequence(der):
        raise WireError("CsrAttrs is not one complete SEQUENCE, or too large", what="CsrAttrs")
    require_modest(der, "CsrAttrs")
    with asn1_errors("CsrAttrs"):
        entries = _CsrAttrs.load(der, strict=True)
        if len(entries) > MAX_ELEMENTS:
            raise WireError(f"{len(entries)} CSR attributes, the limit is {MAX_ELEMENTS}", what="CsrAttrs")
        return tuple(
            Element(dotted(entry.chosen)) if entry.name == "oid" else element_of(entry.chosen) for entry in entries
        )


def element_of(attribute: Attribute) -> Element:
    """An Attribute as an Element."""
    if len(attribute["values"]) > MAX_ELEMENTS:
        raise WireError(f"an attribute with more than {MAX_ELEMENTS} values", what="CsrAttrs")
    values = tuple(value.dump() for value in attribute["values"])
    return Element(dotted(attribute["type"]), values, bare=False)


def read_extensions(element: Element) -> tuple[WantedExtension, ...]:
    """The extensions of an extensionRequest or extensionReqTemplate: one value, no extnID twice (EST-176, EST-183).

    A template's single ExtensionTemplate is taken for a list of one (EST-184).

    Raises:
        WireError: another number of values, another syntax, or an extension that is there twice.
    """
    if len(element.values) != 1:
        raise WireError(f"an extension request with {len(element.values)} values instead of one", what="CsrAttrs")
    with asn1_errors("extensionRequest"):
        single = contents_of(element.values[0])[:1] == b"\x06"
        entries = [_Extension.load(element.values[0], strict=True)] if single else _Extensions.load(element.values[0])
        wanted = tuple(
            WantedExtension(
                dotted(entry["extn_id"]),
                bool(entry["critical"].native),
                None if isinstance(entry["extn_value"], core.Void) else entry["extn_value"].native,
            )
            for entry in entries
        )
    if len({extension.oid for extension in wanted}) != len(wanted):
        raise WireError("an extension is asked for twice", what="CsrAttrs")
    return wanted


def dotted(oid: core.ObjectIdentifier) -> str:
    """The dotted form; ValueError for one that is cut off or longer than MAX_OID_BYTES."""
    contents = oid.contents
    if not 0 < len(contents) <= MAX_OID_BYTES or contents[-1] & 0x80:
        raise ValueError("not an object identifier")
    return str(oid.dotted)


def oid_value(value: bytes) -> str | None:
    """The dotted OID, if the value is one."""
    if value[:1] != b"\x06":
        return None
    with asn1_errors("OBJECT IDENTIFIER"):
        return dotted(core.ObjectIdentifier.load(value, strict=True))


def integer_value(value: bytes) -> int | None:
    """The number, if the value is an INTEGER; WireError for one of more than MAX_INTEGER_BYTES."""
    if value[:1] != b"\x02":
        return None
    if len(value) > 2 + MAX_INTEGER_BYTES:
        raise WireError("a number too large to be a key size", what="CsrAttrs")
    with asn1_errors("INTEGER"):
        return int(core.Integer.load(value, strict=True).native)
