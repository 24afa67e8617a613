"""Which messages a signer may sign, and which anchors he may manage, by CMS content constraints (RFC 6010; T-09, T-14)."""

from __future__ import annotations

from collections.abc import Sequence

from device_sdk.errors import TampRefusedError
from device_sdk.protocols.tamp.signers import TampSigner
from device_sdk.protocols.tamp.store import HeldAnchor, Role
from device_sdk.wire.cms.signer_info import SignerInfo
from device_sdk.wire.content_constraints import (
    ANY_CONTENT_TYPE,
    CMS_CONTENT_CONSTRAINTS,
    UNLIMITED,
    ContentConstraint,
    Permitted,
    parse_content_constraints,
    read_content_constraints,
)
from device_sdk.wire.path import name_of
from device_sdk.wire.tamp import oids
from device_sdk.wire.tamp.anchors import TrustAnchor
from device_sdk.wire.tamp.codes import TampStatus, refused, refusing

_DIRECTLY = (oids.APEX_UPDATE, oids.SEQUENCE_ADJUST)


def require_authority(signer: TampSigner, content_type: str, info: SignerInfo) -> None:
    """Make sure that a signer may sign a message of this type.

    The apex may sign everything, a management anchor what its constraints allow, or everything if somebody made it one here
    without any. A certificate has to say that it may: without constraints, every device below the anchor could.

    Args:
        signer: who signed.
        content_type: of the message.
        info: what he says, with the signed attributes.

    Raises:
        TampRefusedError: he may not.
    """
    if signer.anchor.role is Role.IDENTITY:
        raise _not("an identity anchor signed it, which may sign no such message")
    if content_type == oids.APEX_UPDATE and signer.anchor.role is not Role.APEX:
        raise _not("the apex is replaced by the apex only")
    if content_type in _DIRECTLY and signer.path:
        raise _not("it has to be signed by an anchor itself, and a certificate signed it")
    limits = limits_of(signer)
    if limits is not None and (why := limits.problem(content_type, info.attributes, source=True)):
        raise _not(why)


def limits_of(signer: TampSigner) -> Permitted | None:
    """What his anchor and the certificates on the way to him leave a signer (RFC 6010 section 3); None if nothing limits him.

    Raises:
        TampRefusedError: limits that cannot be read, or a certificate without any.
    """
    found = None
    if signer.anchor.role is not Role.APEX:
        with refusing(TampStatus.NOT_AUTHORIZED, "content constraints (RFC 6010) of its anchor"):
            limits = constraints_of(signer.anchor.anchor)
        found = None if limits is None else Permitted.of(limits)
    for certificate in reversed(signer.path):
        with refusing(TampStatus.NOT_AUTHORIZED, "content constraints (RFC 6010) of its signer"):
            own = read_content_constraints(certificate)
        if own is None:
            raise _not(f"{name_of(certificate)}: it has no content constraints (RFC 6010) that allow such messages")
        found = (found or UNLIMITED).narrowed(own)
    return found


def constraints_of(anchor: TrustAnchor) -> tuple[ContentConstraint, ...] | None:
    """The content constraints of an anchor; None if it has none.

    Raises:
        ValueError: they cannot be read.
    """
    extension = anchor.effective[1].get(CMS_CONTENT_CONSTRAINTS.dotted_string)
    return None if extension is None else parse_content_constraints(extension.value)


def require_managed(signer: TampSigner, affected: HeldAnchor) -> None:
    """Make sure that an anchor may do nothing that its manager may not (RFC 6010 section 5).

    Args:
        signer: who manages it.
        affected: the anchor, as it is or as it is going to be.

    Raises:
        TampRefusedError: it may.
    """
    if signer.is_apex or affected.role is Role.IDENTITY:
        return
    limits = limits_of(signer)
    if limits is None:
        return
    with refusing(TampStatus.NOT_AUTHORIZED, "content constraints (RFC 6010) of the anchor"):
        own = constraints_of(affected.anchor)
    if own is None:
        raise _not("nothing limits the anchor, and its manager is limited")
    for one in own:
        if why := _excess(one, limits):
            raise _not(why)
    if why := _unlisted(own, limits):
        raise _not(why)


def _unlisted(own: Sequence[ContentConstraint], limits: Permitted) -> str | None:
    """What anyContentType gives an anchor though its manager has limits for it; None if nothing.

    A specific entry counts before anyContentType (section 2), so the anchor needs one for every type its manager has one for.
    """
    types = {one.content_type for one in own}
    more = (limits.excluded | limits.entries.keys()) - types
    if ANY_CONTENT_TYPE not in types or not more:
        return None
    return f"the anchor may sign content of every type, and its manager is limited for type {min(more)}"


def _excess(one: ContentConstraint, limits: Permitted) -> str | None:
    """What an anchor may do that these limits do not allow; None if nothing."""
    limit = limits.entry(one.content_type)
    if limit is None:
        return f"the anchor may sign content of type {one.content_type}, and its manager may not"
    if one.can_source and not limit.can_source:
        return f"content of type {one.content_type} may originate with the anchor, and not with its manager"
    for oid, allowed in limit.attributes.items():
        values = one.attributes.get(oid)
        if values is None or not values <= allowed:
            return f"the anchor may sign values of the attribute {oid} that its manager may not"
    return None


def _not(why: str) -> TampRefusedError:
    return refused(TampStatus.NOT_AUTHORIZED, why)
