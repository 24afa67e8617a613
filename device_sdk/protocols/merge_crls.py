"""Revocation lists that are held, and those that came now: what is kept (RFC 8295 section 4; C-05, C-06)."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeAlias

from cryptography import x509

from device_sdk.protocols.crls import RevocationList, RevocationLists
from device_sdk.protocols.est.ca_certificates import spki
from device_sdk.wire.list_scope import list_scope
from device_sdk.wire.names import shown_name
from device_sdk.wire.revocation import Edition, edition_of, is_newer

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

    def editions(self) -> dict[str, Edition]:
        """Which ones are kept, for the time after they are gone: see merge_lists."""
        return {identity_of(one): edition_of(one.crl) for one in self.kept}


def merge_lists(
    held: RevocationLists, found: RevocationLists, gone: Mapping[str, Edition] = MappingProxyType({})
) -> MergedLists:
    """The newest list of each authority and key; those of authorities that are not trusted any more go.

    Args:
        held: what was kept, checked again now.
        found: an answer.
        gone: the newest that was ever kept of an authority, key and scope, also of those that went, by `identity_of`: an
            authority that comes back does not bring an older list with it.
    """
    kept: dict[_Authority, RevocationList] = {_authority(one.crl): one for one in held.accepted}
    notes = [f"dropped the revocation list of {issuer}: {reason}" for issuer, reason in held.rejected]
    notes += [f"rejected a revocation list of {issuer}: {reason}" for issuer, reason in found.rejected]
    for one in found.accepted:
        before, last = kept.get(_authority(one.crl)), gone.get(identity_of(one))
        if before is None and last is not None and not edition_of(one.crl).may_follow(last):
            notes.append(
                f"the server's revocation list of {shown_name(one.crl.issuer)} is older than one that was kept"
            )
        elif before is None or is_newer(one.crl, before.crl):
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


def identity_of(one: RevocationList) -> str:
    """SHA-256 of the name and key that signed a list, and its scope, hex: known when the list itself is gone."""
    scope = list_scope(one.crl)
    parts = (one.crl.issuer.public_bytes(), spki(one.issuer), scope.public_bytes() if scope else b"")
    return hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in parts)).hexdigest()


def _authority(crl: x509.CertificateRevocationList) -> _Authority:
    """By name, key and scope: in a rollover both keys of a CA have a list, and a CA may have lists for parts of its certificates."""
    try:
        key = crl.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier
    except x509.ExtensionNotFound:
        key = None
    scope = list_scope(crl)
    return crl.issuer.public_bytes(), key, scope.public_bytes() if scope else None
