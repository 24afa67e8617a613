"""A trust anchor as the certificate that path validation and TLS take it as."""

from __future__ import annotations

from cryptography import x509

from device_sdk.wire import der
from device_sdk.wire.cms.reader import BIT_STRING
from device_sdk.wire.tamp import controls
from device_sdk.wire.tamp.anchors import CONTENT_CONSTRAINTS, SUBJECT_KEY_IDENTIFIER, AnchorFormat, TrustAnchor
from device_sdk.wire.tamp.controls import PathControls, PolicyFlags
from device_sdk.wire.tamp.extensions import Extension, Extensions, encode_extensions

_ECDSA_SHA256 = der.sequence(der.oid("1.2.840.10045.4.3.2"))
_ALWAYS = der.sequence(der.tlv(0x17, b"700101000000Z"), der.tlv(0x18, b"99991231235959Z"))
_V3 = der.tlv(0xA0, der.integer(2))


def as_certificate(anchor: TrustAnchor) -> x509.Certificate | None:
    """The anchor's certificate, or one that says the same; None for an anchor below which there are no paths.

    A TrustAnchorInfo has no certificate, or one whose constraints do not count. What stands for it has its name, key and
    constraints, no end, and no signature: nobody checks that of an anchor.

    Raises:
        ValueError: it cannot be one.
    """
    if anchor.form is AnchorFormat.CERTIFICATE:
        return _loaded(anchor.encoded)
    found, extensions = anchor.effective
    if found is None:
        return None
    tbs = der.sequence(
        _V3,
        der.integer(1),
        _ECDSA_SHA256,
        found.name,
        _ALWAYS,
        found.name,
        anchor.public_key,
        der.tlv(0xA3, encode_extensions(_extensions(anchor, found, extensions))),
    )
    return _loaded(der.sequence(tbs, _ECDSA_SHA256, der.tlv(BIT_STRING, b"\0\0")))


def _loaded(encoded: bytes) -> x509.Certificate:
    from device_sdk.errors import WireError
    from device_sdk.wire.certs_only import usable_certificates

    try:
        usable = usable_certificates([encoded])
    except WireError as error:
        raise ValueError(error.message) from error
    if not usable:
        raise ValueError("a certificate of an unknown algorithm")
    return usable[0]


def _extensions(anchor: TrustAnchor, found: PathControls, given: Extensions) -> dict[str, Extension]:
    """The controls as extensions; what else the anchor has of these kinds does not count (RFC 5914 section 2.6)."""
    length = b"" if found.path_length is None else der.integer(found.path_length)
    made = {
        controls.BASIC_CONSTRAINTS: Extension(critical=True, value=der.sequence(b"\x01\x01\xff", length)),
        SUBJECT_KEY_IDENTIFIER: Extension(critical=False, value=der.tlv(0x04, anchor.key_id)),
    }
    if found.policies is not None:
        policies = der.sequence(*(der.sequence(der.oid(one)) for one in found.policies))
        made[controls.POLICIES] = Extension(critical=False, value=policies)
    if found.names is not None:
        made[controls.NAME_CONSTRAINTS] = Extension(critical=True, value=found.names)
    if found.flags:
        made |= _flags(found.flags)
    if CONTENT_CONSTRAINTS in given:
        made[CONTENT_CONSTRAINTS] = given[CONTENT_CONSTRAINTS]
    return made


def _flags(flags: PolicyFlags) -> dict[str, Extension]:
    made = {}
    skips = [tag for tag, on in ((0x80, flags.require_explicit), (0x81, flags.inhibit_mapping)) if on]
    if skips:
        value = der.sequence(*(der.tlv(tag, b"\0") for tag in skips))
        made[controls.POLICY_CONSTRAINTS] = Extension(critical=True, value=value)
    if flags.inhibit_any:
        made[controls.INHIBIT_ANY] = Extension(critical=True, value=der.integer(0))
    return made
