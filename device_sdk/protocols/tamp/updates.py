"""A Trust Anchor Update, one step after the other, each on its own (RFC 5934 section 4.3; T-08)."""

from __future__ import annotations

from dataclasses import replace

from device_sdk.errors import TampRefusedError
from device_sdk.protocols.tamp.authority import constraints_of, require_managed
from device_sdk.protocols.tamp.sequence import with_given
from device_sdk.protocols.tamp.signers import TampSigner
from device_sdk.protocols.tamp.store import MAX_HELD, MAX_REMOVED, AnchorStore, HeldAnchor, Role, identity_or_raw
from device_sdk.protocols.tamp.subordination import is_limited, require_within, subordinate
from device_sdk.wire.content_constraints import CMS_CONTENT_CONSTRAINTS
from device_sdk.wire.tamp.anchors import AnchorFormat, TrustAnchor
from device_sdk.wire.tamp.certificates import as_certificate
from device_sdk.wire.tamp.changes import AnchorChange
from device_sdk.wire.tamp.codes import TampStatus, refused, refusing
from device_sdk.wire.tamp.extensions import Extensions, identity_of
from device_sdk.wire.tamp.oids import WRAPPED_APEX_CONTINGENCY_KEY
from device_sdk.wire.tamp.update import Add, AnchorUpdate, Remove, Update

MAX_STORE_BYTES = 256 * 1024


def apply_updates(
    update: Update, store: AnchorStore, signer: TampSigner
) -> tuple[AnchorStore, tuple[TampRefusedError | None, ...]]:
    """Do what can be done.

    Returns:
        The store afterwards; and for each update why it was not done, or None.
    """
    results: list[TampRefusedError | None] = []
    touched: list[bytes] = []
    for one in update.updates:
        try:
            store, identity = _apply(one, store, signer)
        except TampRefusedError as error:
            results.append(error)
        else:
            results.append(None)
            touched += [] if identity is None else [identity]
    return with_given(store, update.numbers, touched), tuple(results)


def _apply(one: AnchorUpdate, store: AnchorStore, signer: TampSigner) -> tuple[AnchorStore, bytes | None]:
    if isinstance(one, Add):
        return _add(one.anchor, store, signer)
    if isinstance(one, Remove):
        return _remove(one.public_key, store, signer), None
    return _change(one, store, signer)


def _add(given: TrustAnchor, store: AnchorStore, signer: TampSigner) -> tuple[AnchorStore, bytes]:
    require_storable(given)
    if WRAPPED_APEX_CONTINGENCY_KEY in given.effective[1]:
        raise refused(TampStatus.IMPROPER_TA_ADDITION, "an apex cannot be added")
    role = _role(given)
    held = HeldAnchor(subordinate(given, signer, role), role, displaces=not is_limited(signer))
    require_managed(signer, held)
    present = store.find(held.identity)
    if present is not None:
        same = present.anchor.encoded == held.anchor.encoded and present.role is held.role
        if not same:
            raise refused(TampStatus.IMPROPER_TA_ADDITION, "an anchor of that key is there, and says something else")
        displaces = present.displaces or held.displaces
        return store.with_anchor(replace(present, foreign=False, displaces=displaces)), held.identity
    return require_room(store.with_anchor(held)), held.identity


def _remove(public_key: bytes, store: AnchorStore, signer: TampSigner) -> AnchorStore:
    held = store.find(identity_or_raw(public_key))
    if held is None:
        return store
    if held.role is Role.APEX:
        raise refused(TampStatus.APEX_TAMP_ANCHOR, "the apex cannot be removed")
    require_managed(signer, held)
    require_within(held, signer)
    return require_memory(store.without([held], limited=is_limited(signer)), store, signer)


def _change(change: AnchorChange, store: AnchorStore, signer: TampSigner) -> tuple[AnchorStore, bytes]:
    held = store.find(identity_or_raw(change.public_key))
    if held is None:
        raise refused(TampStatus.TRUST_ANCHOR_NOT_FOUND, "there is no anchor of that key")
    if held.role is Role.APEX:
        raise refused(TampStatus.APEX_TAMP_ANCHOR, "the apex cannot be changed so")
    if held.anchor.form is AnchorFormat.CERTIFICATE or held.anchor.form is not change.form:
        raise refused(TampStatus.IMPROPER_TA_CHANGE, f"it is kept as a {held.anchor.form.value}")
    require_managed(signer, held)
    require_within(held, signer)
    if WRAPPED_APEX_CONTINGENCY_KEY in change.extensions:
        raise refused(TampStatus.IMPROPER_TA_CHANGE, "an anchor cannot be made an apex")
    with refusing(TampStatus.IMPROPER_TA_CHANGE, "what would come out"):
        changed = replace(change, extensions=_kept(change.extensions, held)).applied_to(held.anchor)
    require_storable(changed)
    role = Role.MANAGEMENT if held.role is Role.MANAGEMENT else _role(changed)
    displaces = held.displaces or not is_limited(signer)
    after = replace(held, anchor=subordinate(changed, signer, role, held), role=role, displaces=displaces)
    require_managed(signer, after)
    return require_room(store.with_anchor(after)), held.identity


def _kept(extensions: Extensions, held: HeldAnchor) -> Extensions:
    """Content constraints that a change does not mention stay as they are (RFC 6010 section 5)."""
    oid = CMS_CONTENT_CONSTRAINTS.dotted_string
    before = held.anchor.extensions.get(oid)
    return extensions if before is None or oid in extensions else {**extensions, oid: before}


def _role(anchor: TrustAnchor) -> Role:
    """An anchor that says what its key may sign is one for management; one that does not may sign nothing of that kind."""
    with refusing(TampStatus.DECODE_FAILURE, "content constraints (RFC 6010) of the anchor"):
        return Role.IDENTITY if constraints_of(anchor) is None else Role.MANAGEMENT


def require_storable(anchor: TrustAnchor) -> None:
    """Make sure that an anchor is of a form and with a key that are used here, and can be followed.

    Raises:
        TampRefusedError: it is not.
    """
    if anchor.form is AnchorFormat.TBS:
        raise refused(
            TampStatus.UNSUPPORTED_TRUST_ANCHOR_FORMAT, "anchors in the form of a TBSCertificate are not kept here"
        )
    identity_of(anchor.public_key)
    with refusing(TampStatus.UNSUPPORTED_TRUST_ANCHOR_FORMAT, "the anchor"):
        as_certificate(anchor)
        controls, _ = anchor.effective
        constraints_of(anchor)
    if controls is not None and controls.flags and controls.flags.require_explicit and controls.policies is None:
        raise refused(TampStatus.MISSING_POLICY_SET, "it demands certificate policies, and names none")


def require_memory(store: AnchorStore, before: AnchorStore, signer: TampSigner) -> AnchorStore:
    """The store, if all that was removed can be remembered in it.

    Raises:
        TampRefusedError: it cannot.
    """
    room = MAX_REMOVED if signer.anchor.role is Role.APEX else MAX_REMOVED // 2
    if len(store.removed) > max(room, len(before.removed)):
        raise refused(TampStatus.INSUFFICIENT_MEMORY, "there is no room to remember more anchors that were removed")
    return store


def require_room(store: AnchorStore) -> AnchorStore:
    """The store, if it is not too large.

    Raises:
        TampRefusedError: it is.
    """
    held = [one for one in store.anchors if not one.foreign]
    if len(held) > MAX_HELD or sum(len(one.anchor.encoded) for one in held) > MAX_STORE_BYTES:
        raise refused(TampStatus.INSUFFICIENT_MEMORY, "there is no room for more anchors")
    return store
