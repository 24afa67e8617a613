"""Revocation lists and certificates of peers, as the state directory has them: no server is asked."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from cryptography import x509

from device_sdk.errors import StateCorruptError
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
    """

    lists: tuple[x509.CertificateRevocationList, ...]
    peers: tuple[x509.Certificate, ...]
    now: datetime

    @classmethod
    def read(cls, packages: KeptPackages, now: datetime) -> Kept:
        """Both files.

        Raises:
            StateError: one of them cannot be read.
        """
        lists = packages.lists()
        found = dict.fromkeys(one.certificate for one in packages.peers())
        revoked = ListsByIssuer(lists).revoked
        peers = (one for one in found if not validity_problem(one, now) and revoked(one) is None)
        return cls(lists, tuple(peers), now)

    @classmethod
    def readable(cls, packages: KeptPackages, now: datetime) -> Kept:
        """The same; nothing if the files are damaged, which is a finding of StateDirectory.check."""
        try:
            return cls.read(packages, now)
        except StateCorruptError:
            return cls((), (), now)

    @property
    def stale(self) -> tuple[x509.CertificateRevocationList, ...]:
        """The lists whose successor is overdue."""
        return tuple(one for one in self.lists if is_stale(one, self.now))

    def lists_to_json(self) -> list[dict[str, object]]:
        """The lists as data; times are RFC 3339."""
        return [
            {
                "issuer": shown_name(one.issuer),
                "this_update": format_time(one.last_update_utc),
                "next_update": format_time(one.next_update_utc),
                "stale": one in self.stale,
                "entries": len(one),
            }
            for one in self.lists
        ]
