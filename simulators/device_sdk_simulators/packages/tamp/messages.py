"""The five messages for devices, DER, not signed yet (RFC 5934 section 4).

Nothing here stops a maker from a message that devices have to refuse: tests need those, too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pyasn1.codec.ber.encoder import encode as encode_ber
from pyasn1.codec.der.decoder import decode
from pyasn1.codec.der.encoder import encode
from pyasn1_alt_modules import rfc5280, rfc5934

from device_sdk_simulators.packages.signing import key_identifier
from device_sdk_simulators.packages.tamp import anchors


@dataclass(frozen=True)
class Change:
    """One of the updates of a trust anchor update.

    Attributes:
        action: what is done.
        value: TrustAnchorChoice, DER of a SubjectPublicKeyInfo, or TrustAnchorChangeInfoChoice.
    """

    action: Literal["add", "remove", "change"]
    value: Any


@dataclass(frozen=True)
class NewApex:
    """What an apex update brings.

    Attributes:
        anchor: TrustAnchorChoice.
        clear_anchors: all others are removed.
        clear_communities: all of them are left.
        number: where its sequence numbers begin; None for anywhere.
    """

    anchor: Any
    clear_anchors: bool = False
    clear_communities: bool = False
    number: int | None = None


def status_query(reference: Any, *, terse: bool = False) -> bytes:
    """What is in the trust anchor store?"""
    return _encoded(_begun(rfc5934.TAMPStatusQuery(), "query", reference, terse=terse))


def update(
    reference: Any, changes: Sequence[Change], *, terse: bool = False, numbers: Sequence[tuple[bytes, int]] = ()
) -> bytes:
    """Anchors that come, go and change; `numbers` are key identifiers with the sequence numbers they begin at."""
    message = _begun(rfc5934.TAMPUpdate(), "msgRef", reference, terse=terse)
    for position, one in enumerate(changes):
        entry = message["updates"][position]
        if one.action == "remove":
            key = decode(one.value, asn1Spec=rfc5280.SubjectPublicKeyInfo())[0]
            for name in key:
                entry["remove"][name] = key[name]
        elif one.action == "add":
            # the choice has another tag here, so it is not the same type
            entry["add"][one.value.getName()] = one.value.getComponent()
        else:
            entry["change"][one.value.getName()] = one.value.getComponent()
    for position, (identifier, number) in enumerate(numbers):
        message["tampSeqNumbers"][position]["keyId"] = identifier
        message["tampSeqNumbers"][position]["seqNumber"] = number
    return _encoded(message)


def apex_update(reference: Any, new: NewApex, *, terse: bool = False) -> bytes:
    """Another apex."""
    message = _begun(rfc5934.TAMPApexUpdate(), "msgRef", reference, terse=terse)
    message["clearTrustAnchors"], message["clearCommunities"] = new.clear_anchors, new.clear_communities
    if new.number is not None:
        message["seqNumber"] = new.number
    message["apexTA"] = new.anchor
    return _encoded(message)


def community_update(
    reference: Any, *, remove: Sequence[str] | None = None, add: Sequence[str] | None = None, terse: bool = False
) -> bytes:
    """Communities that are left and joined; to remove an empty list is to leave all."""
    message = _begun(rfc5934.TAMPCommunityUpdate(), "msgRef", reference, terse=terse)
    for name, listed in (("remove", remove), ("add", add)):
        if listed is not None:
            message["updates"][name].clear()
            message["updates"][name].extend(listed)
    if remove is None and add is None:
        message["updates"].clear()
    # the library's DER encoder leaves out empty lists, which mean something here; there is nothing but lists in it
    return bytes(encode_ber(message))


def sequence_adjust(reference: Any) -> bytes:
    """The signer's sequence number."""
    message = rfc5934.SequenceNumberAdjust()
    message["msgRef"] = reference
    return _encoded(message)


def first_number(certificate: Any, number: int) -> tuple[bytes, int]:
    """Where an anchor's sequence numbers begin, for an update."""
    return key_identifier(certificate), number


def removed(certificate: Any) -> Change:
    """An anchor goes."""
    return Change("remove", anchors.public_key(certificate))


def _begun(message: Any, field: str, reference: Any, *, terse: bool) -> Any:
    if terse:
        message["terse"] = "terse"
    message[field] = reference
    return message


def _encoded(message: Any) -> bytes:
    return bytes(encode(message))
