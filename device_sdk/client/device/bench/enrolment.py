"""An enrolment in steps: the same journal, keys and checks as `device-sdk enroll`, with somebody else asking the server."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from cryptography.hazmat.primitives.serialization import Encoding

from device_sdk.client.bench.facts import BenchKey, KeyWish
from device_sdk.client.device.bench.attestation import describe_key
from device_sdk.client.device.bench.bench import LOCK_WAIT_S
from device_sdk.client.device.bench.configuration import BenchSettings
from device_sdk.client.device.context import Context, locked_by
from device_sdk.client.device.enrol import Enrolment
from device_sdk.client.device.finish import finish, is_switched
from device_sdk.client.device.plan import EnrolmentPlan, Outcome
from device_sdk.client.device.provenance import is_made, open_journaled
from device_sdk.client.device.request import choose_key_type, keep_early, remember_issued
from device_sdk.client.est import OfflineEst
from device_sdk.client.est.offline_parts import roots_of, saved, unbound_csr
from device_sdk.errors import ConfigurationError, StateError
from device_sdk.keystores.keys import DeviceKey
from device_sdk.model.key_uri import KeyUri
from device_sdk.model.keys import KeyType
from device_sdk.protocols.est.responses import read_enrolment
from device_sdk.protocols.est.urls import Operation as EstOperation
from device_sdk.protocols.est.urls import parse_est_url
from device_sdk.state import DeviceState, Journal, Operation
from device_sdk.state.pem import fingerprint
from device_sdk.wire.csrattrs import CsrAttributes
from device_sdk.wire.key_uri import parse_key_uri

MAX_CSRATTRS_BYTES = 64 * 1024
MAX_ANSWER_BYTES = 1024 * 1024


@dataclass(frozen=True)
class BenchEnrolment:
    """The steps. Each takes the state's lock for itself; what is under way between them is in the journal.

    Attributes:
        context: the device; its keystores are closed by `running`.
        settings: what the configuration says now.
    """

    context: Context
    settings: BenchSettings

    def create_key(self, wish: KeyWish) -> BenchKey:
        """See DeviceBench.create_key."""
        uri = parse_key_uri(wish.uri)
        if uri.pin_value is not None:
            raise ConfigurationError(
                "the wish has a PIN, and others may have read it on the line",
                hint="the device's configuration names the file that holds it (key.pin_file), or its URI does (pin-source)",
            )
        if uri.scheme == "file" and not wish.file_allowed:
            raise ConfigurationError(
                f"{uri}: a key file can be copied, and the station's profile does not allow one",
                hint="name a TPM or token (tpm2:, pkcs11:), or allow key files",
            )
        with self._running():
            enrolment = self._enrolment(str(self._reachable(uri)), wish.type, again=wish.again)
            begun = self._begun(enrolment)
            if isinstance(begun, Outcome):
                key = self.context.open_key(begun.key_uri)
            else:
                self.context.require_certificate_place(begun[0].key_uri)
                key, _, _, _ = enrolment.key(*begun, CsrAttributes.none())
            with key:
                return describe_key(self.context, key)

    def request(self, csrattrs: bytes = b"") -> bytes:
        """See DeviceBench.request."""
        _require_size(csrattrs, MAX_CSRATTRS_BYTES, "the CSR attributes")
        with self._running():
            plan = self._plan_under_way()
            enrolment = Enrolment(self.context, plan)
            begun = self._begun(enrolment)
            if isinstance(begun, Outcome):  # the certificate was stored, and only cleaning up was left
                enrolment = Enrolment(self.context, replace(plan, again=True))
                begun = self._begun(enrolment)
            journal, state = _under_way(begun)
            self.context.require_certificate_place(journal.key_uri)
            with open_journaled(self.context, journal, state) as key:
                csr = self._csr(plan, key, csrattrs)
            self.context.state.write_journal(
                replace(journal, implicit=False, announce=False, mac_address=plan.spec.device.mac_address)
            )
            return csr

    def install(self, answer: bytes, ca_certificates: bytes) -> bytes:
        """See DeviceBench.install."""
        _require_size(answer, MAX_ANSWER_BYTES, "the answer")
        _require_size(ca_certificates, MAX_ANSWER_BYTES, "the CA certificates")
        with self._running():
            there = self._installed(answer)
            if there is not None:
                return there
            plan = self._plan_under_way()
            enrolment = Enrolment(self.context, plan)
            journal, state = _under_way(self._begun(enrolment))
            est = self._est(plan)
            ca = est.read_cacerts(ca_certificates, pins=plan.pins, anchors=roots_of(plan.anchors))
            with open_journaled(self.context, journal, state) as key, keep_early(self.context, journal, ca):
                enrolled = est.read_enrolment(answer, key, plan.spec, anchors=(*ca.anchors, *ca.intermediates))  # type: ignore[arg-type]  # every DeviceKey is one of cryptography's keys
            journal = remember_issued(self.context, journal, enrolled, ca)
            outcome = finish(self.context, journal, None)
            return bytes.fromhex(fingerprint(outcome.certificate))

    @contextmanager
    def _running(self) -> Iterator[None]:
        with self.context.state.exclusive(LOCK_WAIT_S), self.context.running():
            yield

    def _reachable(self, uri: KeyUri) -> KeyUri:
        """The same key, with the place of its PIN where only the configuration says it: a station knows of none."""
        configured = parse_key_uri(self.settings.key_uri) if self.settings.key_uri else None
        if configured is None or uri.pin_source is not None or locked_by(uri) != locked_by(configured):
            return uri
        return replace(uri, pin_source=configured.pin_source)  # type: ignore[type-var]  # every KeyUri is a dataclass

    def _enrolment(self, key_uri: str, key_type: KeyType | None, *, again: bool) -> Enrolment:
        return Enrolment(self.context, self.settings.relayed_plan(key_uri, key_type, again=again))

    def _begun(self, enrolment: Enrolment) -> Outcome | tuple[Journal, DeviceState]:
        """As Enrolment.begin; what was all but finished is finished first."""
        begun = enrolment.begin()
        if isinstance(begun, Outcome) or not is_switched(self.context, self.context.state.load(), begun[0]):
            return begun
        return finish(self.context, begun[0], None)

    def _plan_under_way(self) -> EnrolmentPlan:
        """The plan for the key that `create_key` gave: one that was made, or the one in use.

        Raises:
            StateError: there is none.
        """
        journal, state = self.context.state.journal(), self.context.state.load()
        uri = state.current.key_uri if state.current else None
        if journal is not None and journal.operation is Operation.ENROLL:
            uri = journal.key_uri if is_made(journal, state) else None
        if uri is None:
            raise StateError(
                f"{self.context.state.path}: no key was made to enrol with",
                hint="make one first: device-sdk bench create-key",
                path=str(self.context.state.path),
            )
        return self.settings.relayed_plan(uri, None, again=True)

    def _est(self, plan: EnrolmentPlan) -> OfflineEst:
        return OfflineEst(plan.url, label=plan.label, clock=self.context.clock, dialect=self.settings.dialect)

    def _csr(self, plan: EnrolmentPlan, key: DeviceKey, csrattrs: bytes) -> bytes:
        wishes = self._est(plan).read_csrattrs(csrattrs) if csrattrs else CsrAttributes.none()
        _, wishes, _ = choose_key_type(key.info.key_type, wishes, KeyType.EC_P256, plan.url)
        endpoint = parse_est_url(plan.url, plan.label, self.settings.dialect)
        body = unbound_csr(endpoint, EstOperation.SIMPLE_ENROLL, key, plan.spec, wishes.without_binding())  # type: ignore[arg-type]  # every DeviceKey is one of cryptography's keys
        return body.csr.public_bytes(Encoding.DER)

    def _installed(self, answer: bytes) -> bytes | None:
        """SHA-256 of the current certificate, if it is the one of the answer: nothing is to be done but cleaning up."""
        state = self.context.state.load()
        if state.current is None or state.endpoint is None:
            return None
        url, now = parse_est_url(state.endpoint.url).url(EstOperation.SIMPLE_ENROLL), self.context.clock.now()
        found = read_enrolment(saved(answer, url, now), now)
        names = {fingerprint(one) for one in found} if isinstance(found, tuple) else set()
        if state.current.certificate not in names:
            return None
        journal = self.context.state.journal()
        if journal is not None and is_switched(self.context, state, journal):
            finish(self.context, journal, None)
        return bytes.fromhex(state.current.certificate)


def _under_way(begun: Outcome | tuple[Journal, DeviceState]) -> tuple[Journal, DeviceState]:
    if isinstance(begun, Outcome):
        raise StateError("the enrolment ended meanwhile", hint="begin with create-key again")
    return begun


def _require_size(data: bytes, limit: int, what: str) -> None:
    if len(data) > limit:
        raise ConfigurationError(f"{what} are larger than {limit} bytes", hint="is it what was meant to be sent?")
