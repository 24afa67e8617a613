"""What the owner of a device wants, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from cryptography import x509

from device_sdk.errors import ConfigurationError
from device_sdk.model.compatibility import STANDARD, Compatibility
from device_sdk.model.credentials import Credentials
from device_sdk.model.csr import CsrSpec, NewName, ValueSource
from device_sdk.model.keys import KeyType
from device_sdk.model.trust import Pin, TlsIdentity
from device_sdk.transports.base import Timeouts


@dataclass(frozen=True)
class EnrolmentPlan:
    """How a device gets its first certificate.

    Trust in the server comes from exactly one of `anchors`, `pins` and `implicit`; anchors may be joined by implicit.

    Attributes:
        url: EST base URL, https.
        key_uri: names the key to make completely (token and object, handle or file).
        spec: what goes into the CSR.
        label: CA label (RFC 7030 section 3.2.2), or None.
        key_type: what to generate; None lets the server's /csrattrs decide, and takes EC P-256 where it does not.
        anchors: Explicit trust anchors (EST-54).
        pins: fingerprints of the CA, for bootstrap (EST-76); any one of them may fit.
        implicit: let the operating system's store anchor the server (EST-55).
        identity: a certificate of somebody else's for TLS (a factory's IDevID), or None.
        credentials: answer an HTTP challenge, or None.
        timeouts: limits of one exchange.
        proxy: "http://host:port", or None.
        wait_s: how long to wait for a pending request (202) before giving up for now, in seconds.
        reuse_key: certify a key that was there before; such a key is never deleted by the SDK.
        again: enrol anew although there is a valid certificate.
        compatibility: for servers that do not do as the standards say.
    """

    url: str
    key_uri: str
    spec: CsrSpec
    label: str | None = None
    key_type: KeyType | None = None
    anchors: tuple[x509.Certificate, ...] = field(default=(), repr=False)
    pins: tuple[Pin, ...] = ()
    implicit: bool = False
    identity: TlsIdentity | None = None
    credentials: Credentials | None = None
    timeouts: Timeouts = field(default_factory=Timeouts)
    proxy: str | None = None
    wait_s: float = 0.0
    reuse_key: bool = False
    again: bool = False
    compatibility: Compatibility = STANDARD

    def __post_init__(self) -> None:
        if bool(self.pins) == bool(self.anchors or self.implicit):
            raise ConfigurationError(
                f"{self.url}: say whom to trust: trust anchors, or fingerprints of the CA, or the system's trust store",
                hint="give exactly one of them",
            )


@dataclass(frozen=True)
class RenewalPlan:
    """How a device gets its next certificate.

    Attributes:
        rekey: make a new key (EST-157's default); False renews with the same key.
        keep_old: keep the replaced key and certificate.
        key_uri: names the new key; None derives a name from the first one ("device" becomes "device-2", "device-3").
        key_type: type of the new key; None lets /csrattrs decide, and keeps the present type where it does not.
        mac_address: for the request; None repeats the one of the request before.
        credentials: answer an HTTP challenge, or None.
        timeouts: limits of one exchange.
        proxy: "http://host:port", or None.
        wait_s: how long to wait for a pending request (202) before giving up for now, in seconds.
        compatibility: for servers that do not do as the standards say.
        values: asked for what the server's /csrattrs wants and the SDK does not know.
        new_name: asks for a certificate of another name (EST-153); what the server made of it is in the outcome's notes.
    """

    rekey: bool = True
    keep_old: bool = False
    key_uri: str | None = None
    key_type: KeyType | None = None
    mac_address: str | None = None
    credentials: Credentials | None = None
    timeouts: Timeouts = field(default_factory=Timeouts)
    proxy: str | None = None
    wait_s: float = 0.0
    compatibility: Compatibility = STANDARD
    values: ValueSource | None = field(default=None, repr=False)
    new_name: NewName | None = None


@dataclass(frozen=True)
class Outcome:
    """What an enrolment or renewal left behind.

    Attributes:
        key_uri: the key in use now.
        chain: its certificate and the intermediates, leaf first.
        changed: False when there was nothing to do.
        notes: what a person should know: how the certificate differs from the request, what could not be cleaned up.
    """

    key_uri: str
    chain: tuple[x509.Certificate, ...]
    changed: bool = True
    notes: tuple[str, ...] = ()

    @property
    def certificate(self) -> x509.Certificate:
        """The leaf."""
        return self.chain[0]


@dataclass(frozen=True)
class RenewalDecision:
    """Whether it is time to renew.

    Attributes:
        needed: renew now.
        reason: why, or why not, in words.
        not_after: the end of the certificate's life, or of the intermediate that ends before it.
        renew_at: when renewal is due.
        anchors_only: the certificate is fine, the CA certificates are to be fetched again (Device.refresh_anchors).
    """

    needed: bool
    reason: str
    not_after: datetime
    renew_at: datetime
    anchors_only: bool = False

    def to_json(self) -> dict[str, object]:
        """The same as data for `--json`; times are RFC 3339."""
        times = {"not_after": self.not_after.isoformat(), "renew_at": self.renew_at.isoformat()}
        return {"needed": self.needed, "reason": self.reason, "anchors_only": self.anchors_only} | times
