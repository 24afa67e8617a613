"""Revocation lists that are held, and those that came now: what is kept (RFC 8295 section 4; C-05, C-06)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from cryptography import x509

from device_sdk.protocols.crls import RevocationList, RevocationLists
from device_sdk.wire.list_scope import list_scope
from device_sdk.wire.names import shown_name
from device_sdk.wire.revocation import is_newer

_Authority: TypeAlias = tuple[bytes, bytes | None, bytes | None]


@dataclass(frozen=True)
class MergedLists:
    """What is kept from now on.

    Attributes:
        kept: one list of each authority and key, and of each part of its certificates that has a list of its own.
        notes: what a person should know: what was dropped, and what was not taken.
    """

    kept: tuple[RevocationList, ...]
    notes: tuple[str, ...] = ()


def merge_lists(held: RevocationLists, found: RevocationLists) -> MergedLists:
    """The newest list of each authority and key; those of authorities that are not trusted any more go.

    Args:
        held: what was kept, checked again now.
        found: an answer.
    """
    kept: dict[_Authority, RevocationList] = {_authority(one.crl): one for one in held.accepted}
    notes = [f"dropped the revocation list of {issuer}: {reason}" for issuer, reason in held.rejected]
    notes += [f"rejected a revocation list of {issuer}: {reason}" for issuer, reason in found.rejected]
    for one in found.accepted:
        before = kept.get(_authority(one.crl))
        if before is None or is_newer(one.crl, before.crl):
            kept[_authority(one.crl)] = one
        else:
            notes.append(
                f"the server's revocation list of {shown_name(one.crl.issuer)} is older than the one that is kept"
            )
    notes += [
        f"the revocation list of {shown_name(one.crl.issuer)} is stale: its successor is overdue"
        for one in kept.values()
        if one.stale
    ]
    return MergedLists(tuple(kept.values()), tuple(notes))


def _authority(crl: x509.CertificateRevocationList) -> _Authority:
    """By name, key and scope: in a rollover both keys of a CA have a list, and a CA may have lists for parts of its certificates."""
    try:
        key = crl.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier
    except x509.ExtensionNotFound:
        key = None
    scope = list_scope(crl)
    return crl.issuer.public_bytes(), key, scope.public_bytes() if scope else None
