"""A key that the server generates, into the hardware, with its certificate beside it (RFC 8295 section 8, types 0020 to 0022)."""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography import x509

from device_sdk.client.device.context import Context
from device_sdk.client.device.generated_keys import held_keys
from device_sdk.client.device.sync.deliveries import CLEAR, PKCS12, GeneratedDelivery
from device_sdk.client.device.sync.generated_places import Found, Place, Places, event_of, key_of
from device_sdk.client.device.sync.outcome import Done
from device_sdk.client.device.sync.report import StepState
from device_sdk.client.device.sync.session import Session
from device_sdk.client.device.sync.visit import Visit
from device_sdk.errors import (
    ClockError,
    CmcPendingError,
    ConfigurationError,
    DeviceSdkError,
    KeyStoreError,
    ServerKeyError,
    StateError,
    TransportError,
)
from device_sdk.model.csr import CsrSpec
from device_sdk.model.secret import Secret
from device_sdk.protocols.est.full_cmc_pending import PendingRequest
from device_sdk.protocols.est.returns import return_path
from device_sdk.protocols.est.server_key_request import DecryptionKey
from device_sdk.protocols.est.urls import Operation
from device_sdk.protocols.pal import SyncStep

if TYPE_CHECKING:
    from device_sdk.client.est.packages import Packages
    from device_sdk.client.est.server_key import ServerKey, ServerKeyForms
    from device_sdk.state.generated_keys import GeneratedRecords

_MADE_NONE = hashlib.sha256(b"the server certifies what it should generate").hexdigest()


@dataclass(frozen=True)
class GeneratedKey:
    """One offer of the server, until key and certificate are in their places.

    Attributes:
        context: the device.
        session: the connection.
        visit: what is noted on the way.
        wishes: where things go.
    """

    context: Context
    session: Session
    visit: Visit
    wishes: GeneratedDelivery

    def take(self, step: SyncStep) -> Done:
        """Ask for the key, check it and store it; says what came of it.

        Raises:
            KeyExistsError: the place is taken by another key, or all are.
            DeviceSdkError: as EstClient.serverkeygen; or key or certificate could not be stored.
        """
        found = Places(self.context, self.wishes).look(self._begun)
        finished = self._finish(found)
        if finished is not None or found.free is None:
            return finished or Done("nothing is there")
        place = found.free
        refusal = self.visit.still_refused(_MADE_NONE)
        if refusal is not None:
            words = f"refused before, and not asked for again while the entry does not change: {refusal.why}"
            return Done(words, state=StepState.SKIPPED)
        if (refusal := self.visit.still_refused(place.identifier)) is not None and not self.wishes.again:
            words = f"a key could not be stored; another one is asked for after a day, or by --again: {refusal.why}"
            return Done(words, state=StepState.FAILED)
        place.require_writable(self.context)
        packages = self.session.client.packages.returning(self.visit)
        try:
            key = self._ask(packages, step)
        except ClockError as early:
            self._keep_early(early, place)
            raise
        except DeviceSdkError as error:
            self._refused(step, error)
            raise
        event = event_of(key.certificate)
        if self.wishes.returns:
            packages.return_receipts(key, event=event, recipient=self._recipient)
        self.visit.begin(event)
        try:
            place.store(key.private_key, key.chain, self.context)
        except (KeyStoreError, ConfigurationError, StateError) as error:
            self._settle(event, happened=False)
            if self.wishes.returns:
                packages.return_key_error(key, error, recipient=self._recipient)
            self.visit.refused(error.message, place.identifier, daily=True)
            raise
        place.complete(key.chain, self.context)
        self.visit.done("the key is stored")
        self._settle(event, happened=True)
        return Done(_said(key.certificate, place.certificate))

    def _refused(self, step: SyncStep, error: DeviceSdkError) -> None:
        """Where a request by Full CMC is one like any other, each would cost the CA a certificate for a key of nobody."""
        if isinstance(error, CmcPendingError):
            self._pending.keep_pending(self.session.url(step.target), json.dumps(error.pending))
        elif not isinstance(error, TransportError):  # nothing is known then
            self._pending.keep_pending(self.session.url(step.target), None)
        if isinstance(error, ServerKeyError) and error.made_none:
            self.visit.wanted(bytes.fromhex(_MADE_NONE))
            self.visit.refused(error.message, _MADE_NONE)
        else:
            self.visit.refused()

    @property
    def _recipient(self) -> x509.Certificate | None:
        return self.wishes.policy.receipt_recipient if self.wishes.policy else None

    def _ask(self, packages: Packages, step: SyncStep) -> ServerKey:
        forms = self._forms(step)
        identity = self.session.identity
        encrypted = forms.pkcs12 is None and step.entry.type != CLEAR
        key = packages.generated_key(
            CsrSpec(identity.chain[0].subject),
            forms,
            decrypt=DecryptionKey(identity.chain[0], identity.key) if encrypted else None,
            allow_clear=step.entry.type == CLEAR,
            key_type=self.wishes.key_type,
            **self.session.waiting,
        )
        if key_of(key.certificate) in {key_of(one.certificate) for one in held_keys(self.context.state)}:
            url = self.session.url(step.target)
            raise ServerKeyError(f"{url}: this key is here already: an old answer, sent again", url=url)
        self._pending.keep_pending(self.session.url(step.target), None)
        self.visit.wanted(bytes.fromhex(event_of(key.certificate)))
        return key

    @property
    def _pending(self) -> GeneratedRecords:
        return self.context.state.generated

    def _forms(self, step: SyncStep) -> ServerKeyForms:
        from device_sdk.client.est.server_key import ServerKeyForms

        wishes, kind = self.wishes, step.entry.type
        pkcs12 = wishes.pkcs12 if kind == PKCS12 else None
        pending = _read_pending(self._pending.pending().get(self.session.url(step.target)))
        return ServerKeyForms(
            None if pkcs12 else wishes.policy, pkcs12=pkcs12, target=step.target, pending=pending, report=wishes.returns
        )

    def _finish(self, found: Found) -> Done | None:
        """What a power cut left: the key is there, and its certificate as well; None if there is none to finish."""
        if found.finished is None or found.certificate is None:
            if self._begun:  # the key never arrived, and will not come again
                self._settle(self._begun, happened=False)
            return None
        certificate = found.finished[0]
        self.visit.wanted(bytes.fromhex(event_of(certificate)))
        self.visit.done("the key is stored")
        self._settle(event_of(certificate), happened=True)
        return Done(_said(certificate, found.certificate))

    @property
    def _begun(self) -> str:
        before = self.visit.before
        return before.event if before is not None and before.result == "begun" else ""

    def _keep_early(self, early: ClockError, place: Place) -> None:
        """Nobody can ask for this key again: it and its certificate are kept for the time when they count."""
        if early.pem is None or not isinstance(early.private_key, Secret):
            return
        chain = tuple(x509.load_pem_x509_certificates(early.pem.encode()))
        self.visit.wanted(bytes.fromhex(event_of(chain[0])))
        self.visit.begin(event_of(chain[0]))
        place.store(early.private_key, chain, self.context)
        place.complete(chain, self.context)
        early.hint = f"key and certificate are in their places, {place.certificate} among them: wait"

    def _settle(self, event: str, *, happened: bool) -> None:
        self.visit.settle(return_path(Operation.SERVERKEYGEN), event, happened=happened)


def _read_pending(kept: str | None) -> PendingRequest | None:
    """What is not decided; None if nothing was kept, or somebody changed it: a key is asked for anew then."""
    with suppress(ValueError, ConfigurationError):
        found = json.loads(kept or "null")
        return PendingRequest.from_json(found) if isinstance(found, dict) else None
    return None


def _said(certificate: x509.Certificate, file: Path) -> str:
    until = f"{certificate.not_valid_after_utc:%Y-%m-%dT%H:%M:%SZ}"
    return f"a key of the server's making is stored; its certificate, until {until}, is in {file}"
