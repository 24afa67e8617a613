"""The requests of devices without a network of their own, posted by a registration authority (RFC 7030 section 3.7).

with EstClient(url, trust, identity=ra) as client:
    relay = client.relay
    csr = device.request(relay.csrattrs())
    relayed = relay.enroll(csr, identity_of(facts, key, config), remember=keep)
    device.install(relayed.answer, relayed.ca_certificates)
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, TypeAlias

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtensionOID

from device_sdk.client.est.patience import Patience, Progress
from device_sdk.errors import ConfigurationError, HttpStatusError, LocalProtocolError, WireError, WrongDeviceError
from device_sdk.protocols.est.ca_certificates import CaCertificates
from device_sdk.protocols.est.issued import check_issued
from device_sdk.protocols.est.relayed import RelayedIdentity, check_relayed
from device_sdk.protocols.est.requests import csrattrs_request, enroll_request
from device_sdk.protocols.est.responses import Pending, read_csrattrs, read_enrolment
from device_sdk.protocols.est.urls import Operation
from device_sdk.state.fields import format_time
from device_sdk.wire.ber import children, contents_of
from device_sdk.wire.certs_only import write_certs_only
from device_sdk.wire.cmc.oids import CMC_RA
from device_sdk.wire.csrattrs import CsrAttributes
from device_sdk.wire.csrattrs_asn1 import oid_value
from device_sdk.wire.transfer import decode_body, encode_body

if TYPE_CHECKING:
    from device_sdk.client.est.full_cmc_transaction import Service

_NOT_LET = (
    "does the server take this certificate for a registration authority's? It has to be issued by the server's own CA, with "
    "id-kp-cmcRA, and its policy has to let such a one enrol others"
)

_UNBOUND = (
    "the server lists a binding to the TLS connection: if it demands that of registration authorities, too, it cannot be asked "
    "for devices that have no connection"
)


@dataclass(frozen=True)
class RelayRecord:
    """A request that the server has accepted and not decided: to be kept until it is, and posted again as it is (EST-164).

    Attributes:
        url: of /simpleenroll.
        csr: the request as it was sent, DER.
        serial_number: of the device.
        since: when it was sent first.
        retry_at: not before this time the server wants to be asked again.
    """

    url: str
    csr: bytes = field(repr=False)
    serial_number: str
    since: datetime
    retry_at: datetime

    def to_json(self) -> dict[str, str | None]:
        """The same as data; nothing in it is secret."""
        return {
            "url": self.url,
            "csr": base64.b64encode(self.csr).decode("ascii"),
            "serial_number": self.serial_number,
            "since": format_time(self.since),
            "retry_at": format_time(self.retry_at),
        }

    @classmethod
    def from_json(cls, kept: Mapping[str, object]) -> RelayRecord:
        """Read what `to_json` wrote.

        Raises:
            ConfigurationError: it is something else.
        """
        try:
            since, retry_at = (datetime.fromisoformat(str(kept[name])) for name in ("since", "retry_at"))
            if None in (since.tzinfo, retry_at.tzinfo):
                raise ValueError("a time without its zone")
            csr = base64.b64decode(str(kept["csr"]), validate=True)
            return cls(str(kept["url"]), csr, str(kept["serial_number"]), since, retry_at)
        except (KeyError, ValueError, binascii.Error) as error:
            raise ConfigurationError("this is not what a pending request of a device left behind") from error


@dataclass(frozen=True)
class Relayed:
    """What the device is to be given.

    Attributes:
        certificate: the one that was issued, checked.
        answer: DER certs-only CMS with it and the CAs between it and the anchor.
        ca_certificates: DER certs-only CMS with the checked CA certificates.
        differences: how it differs from the request, in words.
    """

    certificate: x509.Certificate
    answer: bytes = field(repr=False)
    ca_certificates: bytes = field(repr=False)
    differences: tuple[str, ...] = ()


Remember: TypeAlias = Callable[[RelayRecord], None]
"""Keeps the record of a request that waits; called before each wait, and durable when it returns."""


class Relay:
    """The operations of a registration authority; `EstClient.relay` makes one.

    Args:
        service: an EST client's, with the TLS identity of the registration authority.

    Raises:
        ConfigurationError: it has no identity, or its certificate is not that of a registration authority: what it posts
            would be refused, or taken for its own.
    """

    def __init__(self, service: Service) -> None:
        _require_authority(service)
        self._service = service
        self._wishes: CsrAttributes | None = None

    def ca_certificates(self, *, wait_s: float | None = None, progress: Progress | None = None) -> bytes:
        """The server's CA certificates, checked, as a certs-only message; raises as EstClient.cacerts."""
        return _message(self._service.ca(Patience(self._service.clock, wait_s, progress)))

    def csrattrs(self, *, wait_s: float | None = None, progress: Progress | None = None) -> bytes:
        """DER of what the server wants in requests; b"" if it has no wishes. Raises as EstClient.csrattrs.

        The server asks the station, not the device: a binding to the connection that it lists is met by nobody and left
        out by the device, as the station vouches for the request.
        """
        service = self._service
        patience = Patience(service.clock, wait_s, progress)
        response = service.exchanges.send(csrattrs_request(service.endpoint), patience)
        self._wishes = read_csrattrs(response, service.clock.now())
        return decode_body(response.body) if response.status_code == 200 and response.body.strip() else b""

    def enroll(
        self,
        request: bytes,
        identity: RelayedIdentity,
        *,
        record: RelayRecord | None = None,
        remember: Remember | None = None,
        wait_s: float | None = None,
        progress: Progress | None = None,
    ) -> Relayed:
        """Check a device's request, post it, and check the answer before the device gets it.

        After a 202 the same bytes are posted again: here, as long as `wait_s` lasts, and later, with the record that
        `remember` was given.

        Args:
            request: DER of the device's request.
            identity: what it may say; see `check_relayed`.
            record: of an earlier call for this device and key; its request is posted instead.
            remember: keeps the record while the server has not decided.
            wait_s: total seconds to wait while the server answers "later" (202, 429, 503); None does not wait.
            progress: told before each wait.

        Raises:
            WrongDeviceError, DeviceRequestError: see check_relayed; nothing was sent.
            ConfigurationError: the record is of another server.
            EnrolmentPendingError: 202, and `wait_s` is not set or too short.
            AuthenticationRequiredError, HttpStatusError: the server refused.
            CertificateMismatchError: the certificate is not for the device's key, one of a CA, or leads to no anchor.
            ClockError: it is not valid yet, by this machine's clock.
            RemoteProtocolError, TransportError, VerificationError: as for EstClient.enroll.
        """
        service = self._service
        patience, url = Patience(service.clock, wait_s, progress), service.endpoint.url(Operation.SIMPLE_ENROLL)
        identity = replace(identity, also=(*identity.also, *self._asked()), usages=(*identity.usages, *self._usages()))
        csr = check_relayed(request, identity)
        if record is not None:
            csr = self._again(record, identity, url)
            patience.wait_for_turn(record.retry_at, record.since, url)
        ca = service.ca(patience)
        der = csr.public_bytes(Encoding.DER)
        first = record or RelayRecord(url, der, identity.serial_number, service.clock.now(), service.clock.now())
        answer = self._posted(der, self._remembering(first, patience, remember))
        enrolled = check_issued(
            answer,
            csr,
            anchors=ca.anchors,
            intermediates=ca.intermediates,
            now=service.clock.now(),
            ignored=ca.ignored,
            url=url,
            lists=service.lists,
        )
        return Relayed(enrolled.certificate, write_certs_only(enrolled.chain), _message(ca), enrolled.differences)

    def _asked(self) -> tuple[str, ...]:
        """What the server itself asked for; names and passwords apart (check_relayed)."""
        if self._wishes is None:
            return ()
        parts = [part.oid for part in self._wishes.subject or ()]
        return (*(one.oid for one in self._wishes.elements), *(one.oid for one in self._wishes.extensions), *parts)

    def _usages(self) -> tuple[str, ...]:
        """The extended key usages that the server gave as the value to ask for; those of other values are read by nobody."""
        for one in self._wishes.extensions if self._wishes is not None else ():
            if one.oid == ExtensionOID.EXTENDED_KEY_USAGE.dotted_string and one.value is not None:
                with suppress(WireError):
                    found = (oid_value(element) for _, element, _ in children(contents_of(one.value)))
                    return tuple(oid for oid in found if oid)
        return ()

    def _again(self, record: RelayRecord, identity: RelayedIdentity, url: str) -> x509.CertificateSigningRequest:
        if record.url != url:
            raise ConfigurationError(
                f"{url}: the request that waits was sent to {record.url}",
                hint="finish it there, or drop its record to ask here",
            )
        if record.serial_number != identity.serial_number:
            raise WrongDeviceError(
                f"the request that waits is of {record.serial_number}, not of {identity.serial_number}",
                serial_number=identity.serial_number,
            )
        return check_relayed(record.csr, identity)

    def _remembering(self, record: RelayRecord, patience: Patience, remember: Remember | None) -> Patience:
        """The same deadline; each 202 goes into the record before the wait."""

        def told(pending: Pending) -> None:
            if pending.status_code == 202 and remember:
                retry_at = self._service.clock.now() + timedelta(seconds=pending.retry_after_s)
                remember(replace(record, retry_at=retry_at))

        return patience.telling(told)

    def _posted(self, der: bytes, patience: Patience) -> tuple[x509.Certificate, ...]:
        service = self._service
        request = enroll_request(service.endpoint, encode_body(der))
        try:
            response = service.exchanges.send(request, patience, may_pend=True)
            answer = read_enrolment(response, service.clock.now())
        except HttpStatusError as error:
            reason = self._reason(error.status_code)
            if reason:
                error.hint = f"{error.hint}; {reason}" if error.hint else reason
            raise
        if isinstance(answer, Pending):  # not reached: `may_pend` waits or raises
            raise LocalProtocolError("a pending answer was not waited for")
        return answer

    def _reason(self, status_code: int | None) -> str | None:
        """What a refusal may be about, as far as it is this side's affair."""
        if status_code in (401, 403):
            return _NOT_LET
        bound = self._wishes is not None and self._wishes.wants_binding
        return _UNBOUND if status_code == 400 and bound else None


def _require_authority(service: Service) -> None:
    leaf = service.identity.chain[0] if service.identity else None
    try:
        usages = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value if leaf else ()
    except (x509.ExtensionNotFound, ValueError):
        usages = ()
    if x509.ObjectIdentifier(CMC_RA) not in usages:
        raise ConfigurationError(
            f"{service.endpoint.origin}: to post requests of devices a certificate with id-kp-cmcRA is needed",
            hint="give the certificate that the server's CA issued to this station, and its key",
        )


def _message(ca: CaCertificates) -> bytes:
    return write_certs_only((*ca.anchors, *ca.intermediates))
