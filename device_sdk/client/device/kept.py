"""Revocation lists and certificates of peers, as the state directory has them: no server is asked."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from cryptography import x509

from device_sdk.errors import StateCorruptError
from device_sdk.protocols.crls import ended_with_its_authority
from device_sdk.state import KeptPackages
from device_sdk.state.fields import format_time
from device_sdk.wire.names import shown_name
from device_sdk.wire.path import validity_problem
from device_sdk.wire.revocation import ListsByIssuer, is_stale


@dataclass(frozen=True)
class Kept:
    """What is there.

    Attributes:
        lists: the revocation lists, stale ones, too.
        peers: certificates of peers, without those that ended or are on a list.
        now: the time that says so.
        signer_lists: the revocation lists that concern nobody but whoever signs packages.
        issuers: CA certificates that are kept with lists.
    """

    lists: tuple[x509.CertificateRevocationList, ...]
    peers: tuple[x509.Certificate, ...]
    now: datetime
    signer_lists: tuple[x509.CertificateRevocationList, ...] = ()
    issuers: tuple[x509.Certificate, ...] = ()

    @classmethod
    def read(cls, packages: KeptPackages, now: datetime) -> Kept:
        """All files.

        Raises:
            StateError: one of them cannot be read.
        """
        lists = packages.lists()
        found = dict.fromkeys(one.certificate for one in packages.peers())
        revoked = ListsByIssuer(lists).revoked
        peers = (one for one in found if not validity_problem(one, now) and revoked(one) is None)
        return cls(lists, tuple(peers), now, packages.signer_lists(), packages.issuers())

    @classmethod
    def readable(cls, packages: KeptPackages, now: datetime) -> Kept:
        """The same; nothing if the files are damaged, which is a finding of StateDirectory.check."""
        try:
            return cls.read(packages, now)
        except StateCorruptError:
            return cls((), (), now)

    @property
    def stale(self) -> tuple[x509.CertificateRevocationList, ...]:
        """The lists whose successor is overdue; not those of CAs that ended, which make none."""
        return tuple(one for one in (*self.lists, *self.signer_lists) if self._is_stale(one))

    def lists_to_json(self) -> list[dict[str, object]]:
        """The lists as data; times are RFC 3339."""
        return [self._to_json(one) for one in self.lists]

    def signer_lists_to_json(self) -> list[dict[str, object]]:
        """Those about who signs packages."""
        return [self._to_json(one) for one in self.signer_lists]

    def _is_stale(self, one: x509.CertificateRevocationList) -> bool:
        return is_stale(one, self.now) and not ended_with_its_authority(one, self.issuers, self.now)

    def _to_json(self, one: x509.CertificateRevocationList) -> dict[str, object]:
        return {
            "issuer": shown_name(one.issuer),
            "this_update": format_time(one.last_update_utc),
            "next_update": format_time(one.next_update_utc),
            "stale": self._is_stale(one),
            "entries": len(one),
        }
