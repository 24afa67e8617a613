"""A key that the server generates, into the hardware, with its certificate beside it (RFC 8295 section 8, types 0020 to 0022)."""

from __future__ import annotations

import hashlib
import re
from contextlib import suppress
from dataclasses import dataclass
from glob import escape
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from device_sdk.client.device.context import Context
from device_sdk.client.device.sync.deliveries import GeneratedDelivery
from device_sdk.client.device.sync.session import Session
from device_sdk.client.device.sync.visit import Visit
from device_sdk.errors import ClockError, ConfigurationError, DeviceSdkError, KeyExistsError, KeyStoreError
from device_sdk.keystores import registry
from device_sdk.model.csr import CsrSpec
from device_sdk.model.secret import Secret
from device_sdk.protocols.est.returns import return_path
from device_sdk.protocols.est.server_key_request import DecryptionKey
from device_sdk.protocols.est.urls import Operation
from device_sdk.protocols.pal import SyncStep
from device_sdk.state.files import write

if TYPE_CHECKING:
    from device_sdk.client.est.packages import Packages
    from device_sdk.client.est.server_key import ServerKey, ServerKeyForms

_CLEAR, _PKCS12 = "0020", "0022"
_UNFINISHED = ".unfinished"
_PUBLIC = 0o644
_TEMPORARY = re.compile(r"(\.unfinished)?\.[0-9a-f]{16}\.tmp")


@dataclass(frozen=True)
class GeneratedKey:
    """One offer of the server, until key and certificate are in their places.

    The certificates wait in a file beside their place while the key is stored, as a power cut between the two would leave a
    key without a certificate, and the server makes another one each time it is asked.

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

    def take(self, step: SyncStep) -> str:
        """Ask for the key, check it and store it; says what came of it.

        Raises:
            ConfigurationError: it would come in a way that is not configured.
            KeyExistsError: the place is taken.
            DeviceSdkError: as EstClient.serverkeygen; or key or certificate could not be stored.
        """
        self._tidy()
        finished = self._finish()
        if finished is not None:
            return finished
        packages = self.session.client.packages.returning(self.visit)
        try:
            key = self._ask(packages, step)
        except ClockError as early:
            self._keep_early(early)
            raise
        except DeviceSdkError:
            self.visit.refused()
            raise
        event = _event(key.certificate)
        if self.wishes.returns:
            packages.return_receipts(key, event=event, recipient=self._recipient)
        self.visit.begin(event)
        try:
            self._store(key.private_key, _pem(key.chain))
        except (KeyStoreError, ConfigurationError):
            self._settle(event, happened=False)
            if self.wishes.returns:
                packages.return_key_error(key, recipient=self._recipient)
            self.visit.refused()
            raise
        self.visit.done()
        self._settle(event, happened=True)
        return self._said(key.certificate)

    @property
    def _recipient(self) -> x509.Certificate | None:
        return self.wishes.policy.receipt_recipient if self.wishes.policy else None

    def _ask(self, packages: Packages, step: SyncStep) -> ServerKey:
        forms = self._forms(step)
        identity = self.session.identity
        encrypted = forms.pkcs12 is None and step.entry.type != _CLEAR
        key = packages.generated_key(
            CsrSpec(identity.chain[0].subject),
            forms,
            decrypt=DecryptionKey(identity.chain[0], identity.key) if encrypted else None,
            allow_clear=step.entry.type == _CLEAR,
            key_type=self.wishes.key_type,
            **self.session.waiting,
        )
        self.visit.wanted(hashlib.sha256(key.certificate.public_bytes(Encoding.DER)).digest())
        return key

    def _forms(self, step: SyncStep) -> ServerKeyForms:
        from device_sdk.client.est.server_key import ServerKeyForms

        wishes, kind = self.wishes, step.entry.type
        if kind == _CLEAR and not wishes.allow_clear:
            raise ConfigurationError("the server offers a private key in the clear, which nobody allowed")
        if kind == _PKCS12 and wishes.pkcs12 is None:
            raise ConfigurationError("the server offers a PKCS#12 file, and there is no password for it")
        pkcs12 = wishes.pkcs12 if kind == _PKCS12 else None
        return ServerKeyForms(
            None if pkcs12 else wishes.policy, pkcs12=pkcs12, target=step.target, report=wishes.returns
        )

    def _store(self, private_key: Secret, certificates: bytes) -> None:
        """The private key goes where it cannot leave any more; nothing of it is in a file, but for a place that is one."""
        waiting = self.wishes.certificate.with_name(self.wishes.certificate.name + _UNFINISHED)
        write(waiting, certificates, _PUBLIC)
        try:
            registry.import_key(self.wishes.place, private_key, pin=self.context.pin).close()
        except BaseException:
            with suppress(OSError):
                waiting.unlink()
            raise
        self._move(certificates)

    def _move(self, certificates: bytes) -> None:
        write(self.wishes.certificate, certificates, _PUBLIC)
        with suppress(OSError):
            self.wishes.certificate.with_name(self.wishes.certificate.name + _UNFINISHED).unlink()

    def _finish(self) -> str | None:
        """What a power cut left: the key is there, and its certificate as well; None if nothing was begun.

        Raises:
            KeyExistsError: another key is there.
        """
        there = registry.list_keys(self.wishes.place, pin=self.context.pin)
        before = self.visit.before
        begun = before.event if before is not None and before.result == "begun" else ""
        if not there:
            if begun:  # the key never arrived, and will not come again
                self._settle(begun, happened=False)
            return None
        certificates = self._left(there[0].spki_sha256, begun)
        if certificates is None:
            raise KeyExistsError(
                f"{there[0].uri}: there is a key of this name already, so none is asked of the server",
                hint="name another place, or delete that key",
                uri=there[0].uri,
            )
        certificate = x509.load_pem_x509_certificates(certificates)[0]
        self._move(certificates)
        self.visit.wanted(hashlib.sha256(certificate.public_bytes(Encoding.DER)).digest())
        self.visit.done()
        self._settle(_event(certificate), happened=True)
        return self._said(certificate)

    def _left(self, spki_sha256: str | None, begun: str) -> bytes | None:
        """The certificates for the key that is there: those that wait, or in their place if only the last note is missing."""
        place = self.wishes.certificate
        for path, sure in ((place.with_name(place.name + _UNFINISHED), True), (place, False)):
            if not path.is_file():
                continue
            with suppress(ValueError, OSError):  # somebody else's file
                certificates = path.read_bytes()
                certificate = x509.load_pem_x509_certificates(certificates)[0]
                if _spki(certificate) == spki_sha256 and (sure or begun == _event(certificate)):
                    return certificates
        return None

    def _tidy(self) -> None:
        """Certificates that a power cut left under a name that nobody else uses."""
        place = self.wishes.certificate
        with suppress(OSError):
            for path in place.parent.glob(f".{escape(place.name)}*.tmp"):
                if _TEMPORARY.fullmatch(path.name.removeprefix(f".{place.name}")):
                    path.unlink()

    def _keep_early(self, early: ClockError) -> None:
        """Nobody can ask for this key again: it and its certificate are kept for the time when they count."""
        if early.pem is not None and isinstance(early.private_key, Secret):
            self._store(early.private_key, early.pem.encode())
            early.hint = f"key and certificate are in their places, {self.wishes.certificate} among them: wait"

    def _settle(self, event: str, *, happened: bool) -> None:
        self.visit.settle(return_path(Operation.SERVERKEYGEN), event, happened=happened)

    def _said(self, certificate: x509.Certificate) -> str:
        until = f"{certificate.not_valid_after_utc:%Y-%m-%dT%H:%M:%SZ}"
        return (
            f"a key of the server's making is stored; its certificate, until {until}, is in {self.wishes.certificate}"
        )


def _event(certificate: x509.Certificate) -> str:
    return hashlib.sha256(certificate.public_bytes(Encoding.DER)).hexdigest()


def _spki(certificate: x509.Certificate) -> str:
    from device_sdk.protocols.est.ca_certificates import spki

    return hashlib.sha256(spki(certificate)).hexdigest()


def _pem(chain: tuple[x509.Certificate, ...]) -> bytes:
    return b"".join(one.public_bytes(Encoding.PEM) for one in chain)
