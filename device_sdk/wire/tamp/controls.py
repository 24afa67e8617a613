"""CertPathControls: how paths below a trust anchor are to be checked (RFC 5914 section 2.5)."""

from __future__ import annotations

from dataclasses import dataclass, field

from device_sdk.wire import der
from device_sdk.wire.ber import contents_of
from device_sdk.wire.cms.reader import INTEGER, SEQUENCE, PlainReader, Reader
from device_sdk.wire.tamp.extensions import Extensions
from device_sdk.wire.tamp.strict import several

MAX_POLICIES = 64
ANY_POLICY = "2.5.29.32.0"

POLICIES, POLICY_CONSTRAINTS, INHIBIT_ANY = "2.5.29.32", "2.5.29.36", "2.5.29.54"
NAME_CONSTRAINTS, BASIC_CONSTRAINTS = "2.5.29.30", "2.5.29.19"

_CERTIFICATE, _POLICY_SET, _FLAGS, _NAMES, _LENGTH = 0xA0, 0xA1, 0x82, 0xA3, 0x84
_REQUIRE_EXPLICIT, _INHIBIT_MAPPING = 0x80, 0x81
_MAX_PATH_LENGTH = 2**31


@dataclass(frozen=True)
class PolicyFlags:
    """CertPolicyFlags: input of path validation (RFC 5280 section 6.1.1); all of them only ever forbid."""

    inhibit_mapping: bool = False
    require_explicit: bool = False
    inhibit_any: bool = False

    def __or__(self, other: PolicyFlags) -> PolicyFlags:
        return PolicyFlags(
            self.inhibit_mapping or other.inhibit_mapping,
            self.require_explicit or other.require_explicit,
            self.inhibit_any or other.inhibit_any,
        )

    def __bool__(self) -> bool:
        return self.inhibit_mapping or self.require_explicit or self.inhibit_any


@dataclass(frozen=True)
class PathControls:
    """What a trust anchor says of paths below it.

    Attributes:
        name: DER of its distinguished name, never an empty one.
        certificate: DER of a certificate that may stand for it.
        policies: the certificate policies it is good for; None for any.
        flags: None if it says nothing.
        names: DER of NameConstraints.
        path_length: how many CAs may be between.
    """

    name: bytes = field(repr=False)
    certificate: bytes | None = field(default=None, repr=False)
    policies: tuple[str, ...] | None = None
    flags: PolicyFlags | None = None
    names: bytes | None = field(default=None, repr=False)
    path_length: int | None = None

    def encode(self) -> bytes:
        """DER."""
        parts = [self.name]
        if self.certificate is not None:
            parts.append(_retagged(self.certificate, _CERTIFICATE))
        if self.policies is not None:
            parts.append(der.tlv(_POLICY_SET, b"".join(der.sequence(der.oid(one)) for one in self.policies)))
        if self.flags is not None:
            parts.append(der.tlv(_FLAGS, encode_flags(self.flags)))
        if self.names is not None:
            parts.append(_retagged(self.names, _NAMES))
        if self.path_length is not None:
            parts.append(der.tlv(_LENGTH, der.integer(self.path_length)[2:]))
        return der.sequence(*parts)


def read_controls(reader: Reader) -> PathControls:
    """Read CertPathControls.

    Raises:
        ValueError: they cannot be read.
    """
    data = reader.enter()
    name = read_name(data)
    certificate = der.tlv(SEQUENCE, data.contents(_CERTIFICATE)) if data.next_tag == _CERTIFICATE else None
    policies = several(data.enter(_POLICY_SET), _bare_policy, MAX_POLICIES) if data.next_tag == _POLICY_SET else None
    flags = read_flags(data.contents(_FLAGS)) if data.next_tag == _FLAGS else None
    names = der.tlv(SEQUENCE, data.contents(_NAMES)) if data.next_tag == _NAMES else None
    length = _length(data.contents(_LENGTH)) if data.next_tag == _LENGTH else None
    data.finish()
    return PathControls(name, certificate, policies, flags, names, length)


def controls_of(name: bytes, extensions: Extensions) -> PathControls:
    """The same as the extensions of a certificate say it (RFC 5914 section 2.5).

    Raises:
        ValueError: one of them cannot be read.
    """
    policies = names = length = None
    if POLICIES in extensions:
        policies = several(_inside(extensions, POLICIES).enter(), _policy, MAX_POLICIES)
    if NAME_CONSTRAINTS in extensions:
        names = extensions[NAME_CONSTRAINTS].value
    if BASIC_CONSTRAINTS in extensions:
        constraints = _inside(extensions, BASIC_CONSTRAINTS).enter()
        constraints.skip(0x01)
        length = _length(constraints.contents(INTEGER)) if constraints.next_tag == INTEGER else None
    return PathControls(name, None, policies, _flags_of(extensions), names, length)


def read_name(data: Reader) -> bytes:
    """A Name that is not empty, as it is encoded.

    Raises:
        ValueError: it is empty, or none.
    """
    name = data.element(SEQUENCE)
    if len(name) == 2:
        raise ValueError("a trust anchor with an empty name")
    return name


def read_flags(contents: bytes) -> PolicyFlags:
    """The contents of CertPolicyFlags.

    Raises:
        ValueError: not a list of named bits in DER, or one with unknown bits.
    """
    bits = int.from_bytes(contents[1:], "big") if len(contents) == 2 else 0
    flags = PolicyFlags(bool(bits & 0x80), bool(bits & 0x40), bool(bits & 0x20))
    if encode_flags(flags) != contents:
        raise ValueError("policy flags that cannot be read")
    return flags


def encode_flags(flags: PolicyFlags) -> bytes:
    """The contents of a BIT STRING without zeros at its end (X.690 section 11.2.2)."""
    bits = 0x80 * flags.inhibit_mapping | 0x40 * flags.require_explicit | 0x20 * flags.inhibit_any
    if not bits:
        return b"\0"
    unused = (bits & -bits).bit_length() - 1
    return bytes([unused, bits])


def _flags_of(extensions: Extensions) -> PolicyFlags | None:
    """A number of certificates after which a flag counts is taken for none: that is stricter."""
    explicit = mapping = False
    if POLICY_CONSTRAINTS in extensions:
        constraints = _inside(extensions, POLICY_CONSTRAINTS).enter()
        explicit = constraints.next_tag == _REQUIRE_EXPLICIT
        constraints.skip(_REQUIRE_EXPLICIT)
        mapping = constraints.next_tag == _INHIBIT_MAPPING
    flags = PolicyFlags(mapping, explicit, INHIBIT_ANY in extensions)
    return flags or None


def _inside(extensions: Extensions, oid: str) -> Reader:
    return PlainReader(extensions[oid].value)


def _policy(members: Reader) -> str:
    return members.enter().oid()


def _bare_policy(members: Reader) -> str:
    inner = members.enter()
    found = inner.oid()
    inner.finish()  # qualifiers MUST NOT be here
    return found


def _length(contents: bytes) -> int:
    length = int.from_bytes(contents, "big", signed=True) if contents else -1
    if not 0 <= length < _MAX_PATH_LENGTH:
        raise ValueError("a path length that cannot be")
    return length


def _retagged(element: bytes, tag: int) -> bytes:
    """An element under an implicit tag."""
    return der.tlv(tag, contents_of(element))
