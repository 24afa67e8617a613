"""Which CA is behind which label: the main one, or one of the label's own (EST-06)."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from cryptography import x509

from device_sdk_simulators.ca.authority import CertificationAuthority
from device_sdk_simulators.ca.directory import make_first
from device_sdk_simulators.ca.hierarchy import Hierarchy
from device_sdk_simulators.est.site import Site, Surroundings


def directory_of(state: Path, label: str) -> Path:
    """Where the CA of a label's own is kept; the main CA for the empty label."""
    # an encoded name is no hidden file, no parent directory, and the same on every file system
    return state / "labels" / quote(label, safe="").replace(".", "%2E") if label else state / "ca"


class Sites:
    """The CAs of one server; those of labels are made when they are first needed.

    Args:
        state: the server's state directory.
        key_type: of CAs that are made.
        shared: what they have in common.

    Attributes:
        main: the CA of the server without a label, and of labels without a CA of their own.
    """

    def __init__(self, state: Path, key_type: str, shared: Surroundings) -> None:
        self._state = state
        self._key_type = key_type
        self._shared = shared
        self._lock = threading.RLock()
        self._sites: dict[str, Site] = {}
        self.main = self._made("")
        for label in shared.policy.own_cas:
            self._made(label)

    def at(self, label: str) -> Site | None:
        """What a label leads to; None if it is not served. The empty label is the server without one."""
        policy = self._shared.policy
        if label in policy.own_cas:
            return self._made(label)
        return self.main if label == "" or label in policy.labels else None

    def all(self) -> list[Site]:
        """Every CA that is served, the main one first."""
        return [self.main, *(self._made(label) for label in sorted(self._shared.policy.own_cas))]

    def hierarchies(self) -> list[Hierarchy]:
        """Every CA that is served as it is now, the main one first; equal lists until something changes."""
        return [site.hierarchy for site in self.all()]

    def _made(self, label: str) -> Site:
        with self._lock:
            if label not in self._sites:
                directory = directory_of(self._state, label)
                directory.parent.mkdir(mode=0o700, exist_ok=True)
                make_first(directory, self._key_type, self._shared.clock(), f" {label}" if label else "")
                authority = CertificationAuthority(directory, label, self._shared.database)
                authority.hierarchy()
                self._sites[label] = Site(authority, self._shared, lambda: self._neighbours(label))
            return self._sites[label]

    def _neighbours(self, label: str) -> Sequence[x509.Certificate]:
        """Issuing CAs of all other sites, in service or not."""
        found: list[x509.Certificate] = []
        for site in self.all():
            if site.authority.name != label:
                hierarchy = site.hierarchy
                found += [*(issuer.certificate for issuer in hierarchy.issuers), *hierarchy.retired]
        return found
