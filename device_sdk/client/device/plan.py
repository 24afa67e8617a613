"""What the owner of a device wants, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from cryptography import x509

from device_sdk.errors import ConfigurationError
from device_sdk.model.compatibility import STANDARD, Compatibility
from device_sdk.model.credentials import Credentials
from device_sdk.model.csr import CsrSpec, NewName, ValueSource
from device_sdk.model.keys import KeyType
from device_sdk.model.secret import Secret
from device_sdk.model.trust import Pin, TlsIdentity
from device_sdk.state.fields import format_time
from device_sdk.transports.base import Timeouts

if TYPE_CHECKING:
    # what only a conversation with a server needs is imported when there is one
    from device_sdk.client.est.bootstrapping import Confirm
    from device_sdk.client.est.patience import Progress
    from device_sdk.protocols.est.backoff import RetryPolicy
    from device_sdk.protocols.est.redirects import RedirectRule


@dataclass(frozen=True)
class EnrolmentPlan:
    """How a device gets its first certificate.

    Trust in the server comes from exactly one of `anchors`, `pins`, `confirm`, `implicit` and `srp`; anchors may be joined
    by implicit or srp.

    Attributes:
        url: EST base URL, https.
        key_uri: names the key to make completely (token and object, handle or file).
        spec: what goes into the CSR.
        label: CA label (RFC 7030 section 3.2.2), or None.
        key_type: what to generate; None lets the server's /csrattrs decide, and takes EC P-256 where it does not.
        anchors: Explicit trust anchors (EST-54).
        pins: fingerprints of the CA, for bootstrap (EST-76); any one of them may fit.
        confirm: asked about each root certificate that the server shows, for bootstrap by a person who compares (EST-71).
        implicit: let the operating system's store anchor the server (EST-55).
        srp: user and password for TLS without certificates (RFC 7030 section 3.3.3).
        renewal_url: EST base URL of everything after the first certificate; None for `url`. A service of SRP alone cannot
            renew, as renewals show a certificate.
        identity: a certificate of somebody else's for TLS (a factory's IDevID), or None.
        credentials: answer an HTTP challenge, or None.
        timeouts: limits of one exchange.
        proxy: "http://host:port", or None.
        wait_s: how long to wait in all before giving up for now, for a pending request (202) or an overloaded server, in
            seconds.
        retry: how soon to ask again after 429 and 503, and whether to when no connection came about.
        redirects: asked before a request other than GET goes to another origin (EST-29); None refuses.
        progress: told before each wait.
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
    confirm: Confirm | None = field(default=None, repr=False)
    implicit: bool = False
    srp: Credentials | None = None
    renewal_url: str | None = None
    identity: TlsIdentity | None = None
    credentials: Credentials | None = None
    timeouts: Timeouts = field(default_factory=Timeouts)
    proxy: str | None = None
    wait_s: float = 0.0
    retry: RetryPolicy | None = None
    redirects: RedirectRule | None = field(default=None, repr=False)
    progress: Progress | None = field(default=None, repr=False)
    reuse_key: bool = False
    again: bool = False
    compatibility: Compatibility = STANDARD

    def __post_init__(self) -> None:
        ways = (self.pins, self.confirm, self.srp or self.anchors or self.implicit)
        if sum(map(bool, ways)) != 1 or (self.srp and self.implicit):
            raise ConfigurationError(
                f"{self.url}: say whom to trust: trust anchors, or fingerprints of the CA, or the system's trust store",
                hint="give exactly one of them, or a password for TLS without certificates",
            )
        if self.srp and self.identity:
            raise ConfigurationError(f"{self.url}: TLS without certificates (SRP) shows no certificate of the device's")
        if self.srp and not (self.renewal_url or self.anchors):
            raise ConfigurationError(
                f"{self.url}: renewals need a server with a certificate, and nothing says where it is",
                hint="give the URL for renewals (--renew-url); if it is the same one, give it again",
            )

    @property
    def home(self) -> str:
        """EST base URL of the device once it is enrolled."""
        return self.renewal_url or self.url


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
        wait_s: as for EnrolmentPlan.
        retry: as for EnrolmentPlan.
        redirects: as for EnrolmentPlan.
        progress: as for EnrolmentPlan.
        implicit: whether the operating system's store may anchor this server from now on; None leaves it as it is. Once
            switched off, the Explicit anchors are named in every ClientHello (EST-58), and the renewal has to succeed so.
        compatibility: for servers that do not do as the standards say.
        values: asked for what the server's /csrattrs wants and the SDK does not know.
        new_name: asks for a certificate of another name (EST-153); what the server made of it is in the outcome's notes.
        otp_challenge: one-time password, sent only when the server lists otpChallenge (RFC 7894, EST-105).
        revocation_challenge: revocation password, sent only when the server lists revocationChallenge.
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
    retry: RetryPolicy | None = None
    redirects: RedirectRule | None = field(default=None, repr=False)
    progress: Progress | None = field(default=None, repr=False)
    implicit: bool | None = None
    compatibility: Compatibility = STANDARD
    values: ValueSource | None = field(default=None, repr=False)
    new_name: NewName | None = None
    otp_challenge: Secret | None = field(default=None, repr=False)
    revocation_challenge: Secret | None = field(default=None, repr=False)


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
        times = {"not_after": format_time(self.not_after), "renew_at": format_time(self.renew_at)}
        return {"needed": self.needed, "reason": self.reason, "anchors_only": self.anchors_only} | times
