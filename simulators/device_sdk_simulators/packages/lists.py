"""The revocation lists that are out: the same ones until something changes, so that clients see what is new."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography.hazmat.primitives import hashes

from device_sdk_simulators.ca.crl import revocation_lists
from device_sdk_simulators.database import Database
from device_sdk_simulators.est.site import Site
from device_sdk_simulators.packages.crls_only import crls_only

_RENEWED_AFTER = timedelta(days=1)


@dataclass(frozen=True)
class _Issue:
    reason: Hashable
    at: datetime
    message: bytes


class RevocationLists:
    """Of every CA of a server.

    Args:
        database: who was revoked.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._issues: dict[str, _Issue] = {}

    def of(self, site: Site, now: datetime) -> bytes:
        """DER of the crls-only message: with every key in service, a day old at most, and at once when somebody is revoked."""
        name, hierarchy = site.authority.name, site.hierarchy
        revoked = self._database.rows(
            "SELECT serial FROM certificates WHERE ca = ? AND revoked_at IS NOT NULL ORDER BY serial", name
        )
        keys = [one.certificate.fingerprint(hashes.SHA256()) for one in (*hierarchy.issuers, *hierarchy.roots)]
        reason = (tuple(keys), tuple(row["serial"] for row in revoked))
        issue = self._issues.get(name)
        if issue is None or issue.reason != reason or not timedelta() <= now - issue.at < _RENEWED_AFTER:
            message = crls_only(revocation_lists(hierarchy, self._database, name, now))
            issue = self._issues[name] = _Issue(reason, now, message)
        return issue.message
