"""CMS content constraints: what a certificate's key may sign (RFC 6010)."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from cryptography import x509

from device_sdk.wire.cms.reader import SEQUENCE, SET, PlainReader, Reader

CMS_CONTENT_CONSTRAINTS = x509.ObjectIdentifier("1.3.6.1.5.5.7.1.18")
ANY_CONTENT_TYPE = "1.2.840.113549.1.9.16.1.0"

ConstraintsMode: TypeAlias = Literal["required", "if-present", "off"]
"""Whether certificates without constraints may sign anything at all: in "required" only those of anchors (AMB-19)."""

Attributes: TypeAlias = Mapping[str, tuple[bytes, ...]]
"""Signed attributes: DER of their values, by object identifier."""

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
        ValueError: they cannot be read, there are none, a content type is there twice, or anyContentType is limited.
    """
    outer = PlainReader(value)
    members = outer.enter()
    outer.finish()
    found: dict[str, ContentConstraint] = {}
    while members.next_tag is not None:
        one = _read(members.enter())
        if one.content_type in found:
            raise ValueError("a content type twice")
        found[one.content_type] = one
        if len(found) > _MAX_CONSTRAINTS:
            raise ValueError("too many content constraints")
    if not found:
        raise ValueError("content constraints without any")
    return tuple(found.values())


@dataclass(frozen=True)
class Permitted:
    """What a certification path leaves of content constraints (section 3): begins as those of the anchor.

    Attributes:
        entries: by content type.
        excluded: content types that no certificate further down can allow.
    """

    entries: Mapping[str, ContentConstraint]
    excluded: frozenset[str] = frozenset()

    @classmethod
    def of(cls, constraints: Sequence[ContentConstraint]) -> Permitted:
        """Those of an anchor."""
        return cls({one.content_type: one for one in constraints})

    def narrowed(self, constraints: Sequence[ContentConstraint]) -> Permitted:
        """What is left below a certificate with these (section 3.3)."""
        entries, excluded = dict(self.entries), set(self.excluded)
        for one in constraints:
            kind = one.content_type
            before = entries.get(kind)
            if kind == ANY_CONTENT_TYPE or kind in excluded:
                continue
            if before is None and ANY_CONTENT_TYPE in entries:
                entries[kind] = one
            elif before is not None:
                both = _both(before, one)
                if both is None:
                    excluded.add(kind)
                    del entries[kind]
                else:
                    entries[kind] = both
        gone = entries.keys() - {one.content_type for one in constraints}
        left = {kind: one for kind, one in entries.items() if kind not in gone}
        return Permitted(left, frozenset(excluded | gone - {ANY_CONTENT_TYPE}))

    def entry(self, content_type: str) -> ContentConstraint | None:
        """What is allowed for a content type; None if nothing is. A specific entry counts before anyContentType (section 2)."""
        if content_type in self.excluded:
            return None
        return self.entries.get(content_type) or self.entries.get(ANY_CONTENT_TYPE)

    def problem(
        self, content_type: str, attributes: Attributes, *, source: bool, defaulted: Collection[str] = ()
    ) -> str | None:
        """Why a content is not allowed; None if it is.

        Args:
            content_type: the innermost type, dotted.
            attributes: all signed ones around it.
            source: whether this is about the innermost signature.
            defaulted: attributes whose defaults the caller goes by, see `defaults`. Any other that is limited has to be there.
        """
        entry = self.entry(content_type)
        if entry is None:
            return f"its content constraints do not allow content of type {content_type}"
        if source and not entry.can_source:
            return f"its content constraints do not let content of type {content_type} originate with it"
        for oid, allowed in entry.attributes.items():
            if any(value not in allowed for value in attributes.get(oid, ())):
                return f"its content constraints do not allow this value of the signed attribute {oid}"
            if oid not in attributes and oid not in defaulted:
                return f"its content constraints limit the signed attribute {oid}, which is not there"
        return None

    def defaults(self, content_type: str, attributes: Attributes) -> Mapping[str, frozenset[bytes]]:
        """The attributes that are limited and not there: they count as if they were, with these values (sections 1.2, 3.5)."""
        entry = self.entry(content_type)
        limited = entry.attributes if entry else {}
        return {oid: values for oid, values in limited.items() if oid not in attributes}


UNLIMITED: Final = Permitted.of([ContentConstraint(ANY_CONTENT_TYPE, can_source=True, attributes={})])


def permitted_by(path: Sequence[x509.Certificate], mode: ConstraintsMode) -> Permitted | str:
    """What the certificates of a path let its signer sign; or why nothing.

    Every certificate of the path has to allow it (section 3); an anchor without constraints was named for this purpose by
    whoever configured it, and allows everything.

    Args:
        path: the signer's certificate first, the anchor last.
        mode: whether constraints have to be there.
    """
    found = UNLIMITED
    if mode == "off":
        return found
    for place, certificate in reversed(list(enumerate(path))):
        try:
            constraints = read_content_constraints(certificate)
        except ValueError:
            return "its content constraints (RFC 6010) cannot be read"
        if constraints is None:
            if mode == "required" and place < len(path) - 1:
                return "it has no content constraints (RFC 6010), which are demanded"
            continue
        found = Permitted.of(constraints) if place == len(path) - 1 else found.narrowed(constraints)
    return found


def constraint_problem(
    path: Sequence[x509.Certificate],
    content_type: str,
    attributes: Attributes,
    *,
    source: bool,
    mode: ConstraintsMode,
) -> str | None:
    """Why a signer may not sign content of a type; None if he may. No defaults: what is limited has to be there.

    Args:
        path: as of `permitted_by`.
        content_type: as of `Permitted.problem`.
        attributes: as there.
        source: as there.
        mode: whether constraints have to be there.
    """
    permitted = permitted_by(path, mode)
    return permitted if isinstance(permitted, str) else permitted.problem(content_type, attributes, source=source)


def _both(one: ContentConstraint, other: ContentConstraint) -> ContentConstraint | None:
    """What both allow; None if no value of some attribute is left."""
    attributes = {**one.attributes, **other.attributes}
    for oid in one.attributes.keys() & other.attributes.keys():
        attributes[oid] = one.attributes[oid] & other.attributes[oid]
        if not attributes[oid]:
            return None
    return ContentConstraint(one.content_type, one.can_source and other.can_source, attributes)


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
            if oid in attributes or not allowed:
                raise ValueError("an attribute twice, or without values")
            attributes[oid] = frozenset(allowed)
        if not attributes:
            raise ValueError("a list of attributes without any")
    constraint.finish()
    if content_type == ANY_CONTENT_TYPE and (attributes or not can_source):
        raise ValueError("anyContentType with limits")
    return ContentConstraint(content_type, can_source, attributes)
