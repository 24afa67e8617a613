"""CMS content constraints: what a certificate's key may sign (RFC 6010)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from cryptography import x509

from device_sdk.wire.cms.reader import SEQUENCE, SET, PlainReader, Reader

CMS_CONTENT_CONSTRAINTS = x509.ObjectIdentifier("1.3.6.1.5.5.7.1.18")
ANY_CONTENT_TYPE = "1.2.840.113549.1.9.16.1.0"

ConstraintsMode: TypeAlias = Literal["required", "if-present", "off"]
"""Whether certificates without constraints may sign anything at all: in "required" only those of anchors (AMB-19)."""

_ENUMERATED = 0x0A
_CAN, _CANNOT = b"\0", b"\1"
_MAX_CONSTRAINTS = 64


@dataclass(frozen=True)
class ContentConstraint:
    """What is allowed for one content type.

    Attributes:
        content_type: dotted; ANY_CONTENT_TYPE stands for all.
        can_source: whether such content may originate with this signer.
        attributes: DER of the values that are allowed for signed attributes, by object identifier.
    """

    content_type: str
    can_source: bool
    attributes: Mapping[str, frozenset[bytes]]


def read_content_constraints(certificate: x509.Certificate) -> tuple[ContentConstraint, ...] | None:
    """The constraints in a certificate; None if it has none.

    Raises:
        ValueError: they cannot be read.
    """
    try:
        extension = certificate.extensions.get_extension_for_oid(CMS_CONTENT_CONSTRAINTS).value
    except x509.ExtensionNotFound:
        return None
    return parse_content_constraints(extension.value if isinstance(extension, x509.UnrecognizedExtension) else b"")


def parse_content_constraints(value: bytes) -> tuple[ContentConstraint, ...]:
    """The constraints in the value of an extension.

    Raises:
        ValueError: they cannot be read, or there are none.
    """
    outer = PlainReader(value)
    members = outer.enter()
    outer.finish()
    found: list[ContentConstraint] = []
    while members.next_tag is not None:
        found.append(_read(members.enter()))
        if len(found) > _MAX_CONSTRAINTS:
            raise ValueError("too many content constraints")
    if not found:
        raise ValueError("content constraints without any")
    return tuple(found)


def constraint_problem(
    path: Sequence[x509.Certificate],
    content_type: str,
    attributes: Mapping[str, tuple[bytes, ...]],
    *,
    source: bool,
    mode: ConstraintsMode,
) -> str | None:
    """Why a signer may not sign content of a type; None if he may.

    Every certificate of the path has to allow it (section 3); an anchor without constraints was named for this purpose by
    whoever configured it, and allows everything.

    Args:
        path: the signer's certificate first, the anchor last.
        content_type: the innermost type, dotted.
        attributes: the signed ones.
        source: whether this is the innermost signature.
        mode: whether constraints have to be there.
    """
    if mode == "off":
        return None
    for place, certificate in enumerate(path):
        try:
            constraints = read_content_constraints(certificate)
        except ValueError:
            return "its content constraints (RFC 6010) cannot be read"
        if constraints is None:
            if mode == "required" and place < len(path) - 1:
                return "it has no content constraints (RFC 6010), which are demanded"
            continue
        if problem := violation(constraints, content_type, attributes, source=source):
            return problem
    return None


def violation(
    constraints: Sequence[ContentConstraint],
    content_type: str,
    attributes: Mapping[str, tuple[bytes, ...]],
    *,
    source: bool,
) -> str | None:
    """Why these constraints do not allow a content; None if they do. Arguments as of `constraint_problem`."""
    exact = [one for one in constraints if one.content_type == content_type]
    fitting = exact or [one for one in constraints if one.content_type == ANY_CONTENT_TYPE]
    if not fitting:
        return f"its content constraints do not allow content of type {content_type}"
    if source and not any(one.can_source for one in fitting):
        return f"its content constraints do not let content of type {content_type} originate with it"
    for one in fitting:
        for oid, allowed in one.attributes.items():
            if any(value not in allowed for value in attributes.get(oid, ())):
                return f"its content constraints do not allow this value of the signed attribute {oid}"
    return None


def _read(constraint: Reader) -> ContentConstraint:
    content_type = constraint.oid()
    can_source = True
    if constraint.next_tag == _ENUMERATED:
        generation = constraint.contents(_ENUMERATED)
        if generation not in (_CAN, _CANNOT):
            raise ValueError("not a content type generation")
        can_source = generation == _CAN
    attributes: dict[str, frozenset[bytes]] = {}
    if constraint.next_tag == SEQUENCE:
        listed = constraint.enter()
        while listed.next_tag is not None:
            attribute = listed.enter()
            oid, values = attribute.oid(), attribute.enter(SET)
            attribute.finish()
            allowed: set[bytes] = set()
            while values.next_tag is not None:
                allowed.add(values.element())
            if oid in attributes:
                raise ValueError("an attribute twice")
            attributes[oid] = frozenset(allowed)
    constraint.finish()
    return ContentConstraint(content_type, can_source, attributes)
