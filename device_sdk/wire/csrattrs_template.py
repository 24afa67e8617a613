"""The CSR template of RFC 9908 section 3.4, read into the same wishes as the older list (EST-180..184)."""

from __future__ import annotations

from dataclasses import dataclass

from asn1crypto import core

from device_sdk.errors import WireError
from device_sdk.wire.ber import children, contents_of
from device_sdk.wire.csrattrs_asn1 import Attribute, Element, asn1_errors, dotted, element_of, oid_value
from device_sdk.wire.csrattrs_key import KeyWish
from device_sdk.wire.csrattrs_oids import KEY_TYPES

# asn1crypto has no types and describes structures by class attributes.
# mypy: disable-error-code="misc"
# ruff: noqa: RUF012


class _SingleAttribute(core.Sequence):
    _fields = [("type", core.ObjectIdentifier), ("value", core.Any, {"optional": True})]


class _Rdn(core.SetOf):
    _child_spec = _SingleAttribute


class Name(core.SequenceOf):
    """A subject whose values may be missing."""

    _child_spec = _Rdn


class _Algorithm(core.Sequence):
    _fields = [("algorithm", core.ObjectIdentifier), ("parameters", core.Any, {"optional": True})]


class PublicKeyInfo(core.Sequence):
    """A key that may be missing, or a placeholder."""

    _fields = [("algorithm", _Algorithm), ("public_key", core.OctetBitString, {"optional": True})]


class Attributes(core.SetOf):
    """Attributes of a request."""

    _child_spec = Attribute


class _Template(core.Sequence):
    _fields = [
        ("version", core.Integer),
        ("subject", Name, {"optional": True}),
        ("public_key_info", PublicKeyInfo, {"implicit": 0, "optional": True}),
        ("attributes", Attributes, {"implicit": 1, "optional": True}),
    ]


@dataclass(frozen=True)
class SubjectPart:
    """One attribute of the subject the server wants.

    Attributes:
        oid: its type, dotted.
        value: DER of the value to use; None if the client fills it in.
        joined: it belongs to the same RDN as the part before it.
    """

    oid: str
    value: bytes | None
    joined: bool = False


@dataclass(frozen=True)
class Template:
    """A template, taken apart.

    Attributes:
        subject: the whole subject wanted, in order; None for no wish.
        key: the key wanted, or None.
        elements: its attributes, in the form of the older list.
    """

    subject: tuple[SubjectPart, ...] | None
    key: KeyWish | None
    elements: tuple[Element, ...]


def read_template(element: Element) -> Template:
    """Take the value of id-aa-certificationRequestInfoTemplate apart.

    Raises:
        WireError: not a template of version v1.
    """
    if len(element.values) != 1:
        raise WireError(f"a CSR template with {len(element.values)} values instead of one", what="CSR template")
    with asn1_errors("CSR template"):
        value = _Template.load(element.values[0], strict=True)
        if value["version"].native != 0:
            raise WireError(f"a CSR template of version {value['version'].native}", what="CSR template")
        attributes = value["attributes"]
        elements = () if isinstance(attributes, core.Void) else tuple(element_of(member) for member in attributes)
        subject = None if isinstance(value["subject"], core.Void) else subject_of(value["subject"])
        info = value["public_key_info"]
        key = None if isinstance(info, core.Void) else key_of(info)
    return Template(subject, key, elements)


def subject_of(name: Name) -> tuple[SubjectPart, ...]:
    """Its parts, in order."""
    return tuple(
        SubjectPart(
            dotted(part["type"]),
            None if isinstance(part["value"], core.Void) else part["value"].dump(),
            joined=position > 0,
        )
        for rdn in name
        for position, part in enumerate(rdn)
    )


def key_of(info: PublicKeyInfo) -> KeyWish:
    """The key that is asked for."""
    oid = dotted(info["algorithm"]["algorithm"])
    family = KEY_TYPES.get(oid, oid)
    if family == "ec":
        parameters = info["algorithm"]["parameters"]
        return KeyWish("ec", None if isinstance(parameters, core.Void) else oid_value(parameters.dump()))
    if family == "rsa" and not isinstance(info["public_key"], core.Void) and info["public_key"].native:
        return KeyWish("rsa", bits=_modulus_bits(info["public_key"].native))
    return KeyWish(family)


def _modulus_bits(placeholder: bytes) -> int:
    """Length of a placeholder modulus; counted in octets, since its value may be zero."""
    _, _, modulus = next(children(contents_of(placeholder)), (0, b"", b""))
    octets = len(modulus)
    # A modulus of full length needs a zero octet in front to stay positive.
    if octets % 2 and modulus[:1] == b"\0":
        octets -= 1
    return octets * 8
