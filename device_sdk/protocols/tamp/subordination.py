"""What of an anchor may be kept: no more than its manager is allowed himself (RFC 5934 section 7; T-09)."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from cryptography import x509
from cryptography.x509.oid import ExtensionOID

from device_sdk.errors import TampRefusedError
from device_sdk.protocols.tamp.signers import TampSigner
from device_sdk.protocols.tamp.store import HeldAnchor, Role
from device_sdk.protocols.tamp.subtrees import intersected, same_subtrees, united
from device_sdk.wire.cms.reader import PlainReader
from device_sdk.wire.name_constraints import constraints_problem
from device_sdk.wire.tamp.anchors import AnchorFormat, TrustAnchor, encode_info, read_anchor
from device_sdk.wire.tamp.certificates import as_certificate
from device_sdk.wire.tamp.codes import TampStatus, refused
from device_sdk.wire.tamp.controls import ANY_POLICY, PathControls, PolicyFlags, controls_of
from device_sdk.wire.tamp.extensions import Extension

_UNPROCESSED = (ExtensionOID.POLICY_CONSTRAINTS, ExtensionOID.POLICY_MAPPINGS, ExtensionOID.INHIBIT_ANY_POLICY)


@dataclass(frozen=True)
class Limits:
    """What limits a manager.

    Attributes:
        flags: of the policies.
        policies: those he is good for, one set for each certificate or anchor that says so; all count.
        names: DER of NameConstraints, likewise.
        certificates: those with name constraints.
    """

    flags: PolicyFlags = field(default_factory=PolicyFlags)
    policies: tuple[tuple[str, ...], ...] = ()
    names: tuple[bytes, ...] = ()
    certificates: tuple[x509.Certificate, ...] = ()


def subordinate(anchor: TrustAnchor, signer: TampSigner, role: Role, before: HeldAnchor | None = None) -> TrustAnchor:
    """The anchor as it is kept: the controls of its manager added to its own.

    Args:
        anchor: as the message has it, or as a change would leave it.
        signer: the manager.
        role: what it is going to be.
        before: what is changed.

    Raises:
        TampRefusedError: it lies outside what he may manage; or it came as a certificate, which cannot be changed.
    """
    if signer.is_apex:
        return anchor
    limits = _limits(signer)
    if anchor.effective[0] is None and limits != Limits():
        _require_bare(role, before)
    kept = _narrowed(anchor, limits)
    if kept is not anchor and anchor.form is AnchorFormat.CERTIFICATE:
        raise _not(
            "it is a certificate, and what may be kept of it is less than it says; a TrustAnchorInfo could say that"
        )
    return kept


def is_limited(signer: TampSigner) -> bool:
    """Whether names or policies limit a manager.

    Args:
        signer: he.

    Raises:
        TampRefusedError: he is limited in a way that is not processed here.
    """
    return not signer.is_apex and _limits(signer) != Limits()


def require_within(held: HeldAnchor, signer: TampSigner) -> None:
    """Make sure that an anchor that is there lies within what its manager may give.

    Section 7 holds for changes and removals, too: who could not have added it as it is neither changes nor removes it.

    Raises:
        TampRefusedError: it says less, or nothing, of what limits him.
    """
    if signer.is_apex:
        return
    limits = _limits(signer)
    if held.anchor.effective[0] is None and held.role is not Role.IDENTITY and limits != Limits():
        raise _not("nothing limits the paths of the anchor, and its manager is limited")
    if _narrowed(held.anchor, limits) is not held.anchor:
        raise _not("the anchor is limited less than its manager is")


def _require_bare(role: Role, before: HeldAnchor | None) -> None:
    """Without certPath an anchor has no controls: no paths lead to it, but it could sign messages, which nothing would limit."""
    if role is not Role.IDENTITY:
        raise _not("it has no certPath, so that nothing would limit it, and its manager is limited")
    if before is not None and before.anchor.effective[0] is not None:
        raise _not("it would lose what limits it (certPath), and its manager is limited")


def _narrowed(anchor: TrustAnchor, limits: Limits) -> TrustAnchor:
    """The anchor with these limits added; itself if it has them."""
    controls, _ = anchor.effective
    if controls is None:
        return anchor
    _require_name(anchor, limits)
    flags = (controls.flags or PolicyFlags()) | limits.flags
    policies = _policies(controls, limits, flags)
    names = controls.names
    for one in limits.names:
        names = united(intersected(names, one), one)
    wanted = replace(
        controls,
        flags=flags if flags or controls.flags is not None else None,
        policies=policies,
        names=controls.names if same_subtrees(names, controls.names) else names,
    )
    if wanted == controls:
        return anchor
    return read_anchor(PlainReader(encode_info(replace(anchor, controls=wanted))))


def _limits(signer: TampSigner) -> Limits:
    found = Limits()
    if signer.anchor.role is not Role.APEX:
        certificate = as_certificate(signer.anchor.anchor)
        found = _with(found, signer.anchor.anchor.effective[0], certificate)
    for one in signer.path:
        extensions = {ext.oid: ext for ext in one.extensions}
        if any(oid in extensions for oid in _UNPROCESSED):
            raise _not("the certificate of its manager has policy constraints, which are not processed here")
        wanted = (ExtensionOID.CERTIFICATE_POLICIES, ExtensionOID.NAME_CONSTRAINTS)
        encoded = {
            oid.dotted_string: Extension(extensions[oid].critical, extensions[oid].value.public_bytes())
            for oid in wanted
            if oid in extensions
        }
        found = _with(found, controls_of(one.subject.public_bytes(), encoded), one)
    return found


def _with(limits: Limits, controls: PathControls | None, certificate: x509.Certificate | None) -> Limits:
    if controls is None:
        return limits
    limited = controls.policies is not None and ANY_POLICY not in controls.policies
    return Limits(
        limits.flags | (controls.flags or PolicyFlags()),
        (*limits.policies, controls.policies or ()) if limited else limits.policies,
        limits.names if controls.names is None else (*limits.names, controls.names),
        limits.certificates if controls.names is None or certificate is None else (*limits.certificates, certificate),
    )


def _require_name(anchor: TrustAnchor, limits: Limits) -> None:
    """The anchor's name has to lie where its manager may give names."""
    own = as_certificate(anchor) if limits.certificates else None
    for one in limits.certificates:
        if own is not None and (why := constraints_problem((own, one))):
            raise _not(f"{why} (its manager)")


def _policies(controls: PathControls, limits: Limits, flags: PolicyFlags) -> tuple[str, ...] | None:
    found = controls.policies
    for one in limits.policies:
        unlimited = found is None or ANY_POLICY in found
        found = one if unlimited else tuple(policy for policy in found or () if policy in one)
    if limits.policies and not found:
        if flags.require_explicit:
            raise _not("none of its certificate policies is one of its manager's, and one is demanded")
        raise _not("none of its certificate policies is one of its manager's, and it could not be kept with none")
    return found


def _not(why: str) -> TampRefusedError:
    return refused(TampStatus.NOT_AUTHORIZED, why)
