"""A device at a glance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptography import x509

from device_sdk.state import DeviceState, Journal, StateDirectory
from device_sdk.state.fields import format_time
from device_sdk.state.pem import fingerprint
from device_sdk.wire.names import shown_name

if TYPE_CHECKING:
    from device_sdk.client.device.kept import Kept


@dataclass(frozen=True)
class DeviceStatus:
    """What the state directory says; no keystore and no network was asked.

    Attributes:
        directory: where it is.
        state: what is current.
        journal: what is under way, or None.
        chain: the current certificate and its intermediates, leaf first; empty if not enrolled.
        anchors: the Explicit trust anchors; empty if not enrolled.
        findings: what is not as it should be, in words.
        kept: revocation lists and certificates of peers; none if their files are damaged, which is a finding.
    """

    directory: StateDirectory
    state: DeviceState
    journal: Journal | None
    chain: tuple[x509.Certificate, ...]
    anchors: tuple[x509.Certificate, ...]
    findings: tuple[str, ...]
    kept: Kept

    @property
    def enrolled(self) -> bool:
        """Whether there is a certificate."""
        return bool(self.chain)

    def to_json(self) -> dict[str, object]:
        """The same as data for `--json`; times are RFC 3339, serial numbers hex."""
        current, endpoint, journal = self.state.current, self.state.endpoint, self.journal
        return {
            "enrolled": self.enrolled,
            "state_dir": str(self.directory.path),
            "key_uri": current.key_uri if current else None,
            "url": endpoint.url if endpoint else None,
            "label": endpoint.label if endpoint else None,
            "certificate": describe(self.chain[0]) if self.chain else None,
            "certificate_file": str(self.directory.current_file) if self.chain else None,
            "intermediates": [describe(certificate) for certificate in self.chain[1:]],
            "anchors": [describe(certificate) for certificate in self.anchors],
            "anchors_file": str(self.directory.anchors_file) if self.anchors else None,
            "revocation_lists": self.kept.lists_to_json(),
            "signer_revocation_lists": self.kept.signer_lists_to_json(),
            "peers": [describe(certificate) for certificate in self.kept.peers],
            "time_floor": format_time(self.state.time_floor),
            "under_way": None if journal is None else under_way(journal),
            "findings": list(self.findings),
        }


def describe(certificate: x509.Certificate) -> dict[str, object]:
    """A certificate as data."""
    return {
        "subject": shown_name(certificate.subject),
        "issuer": shown_name(certificate.issuer),
        "serial": f"{certificate.serial_number:x}",
        "not_before": format_time(certificate.not_valid_before_utc),
        "not_after": format_time(certificate.not_valid_after_utc),
        "sha256": fingerprint(certificate),
    }


def under_way(journal: Journal) -> dict[str, object]:
    """A journal as data."""
    return {
        "operation": journal.operation.value,
        "phase": journal.phase.value,
        "key_uri": journal.key_uri,
        "url": journal.url,
        "since": format_time(journal.since),
        "retry_at": format_time(journal.retry_at),
    }
