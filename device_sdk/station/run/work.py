"""The steps that make a device what its profile says, each of which may be repeated."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC

from cryptography import x509
from cryptography.hazmat.primitives import hashes

from device_sdk.client.bench import BenchDevice, BenchKey, DeviceFacts, KeyWish
from device_sdk.errors import ConfigurationError, DeviceRequestError, WrongDeviceError
from device_sdk.protocols.est.ca_certificates import spki
from device_sdk.station.profile import Hook
from device_sdk.station.run.checks import check_certificate, check_key, check_same_key, check_still
from device_sdk.station.run.desk import Desk
from device_sdk.station.run.hooks import arguments, checked, run_hook
from device_sdk.station.run.kept import Job
from device_sdk.station.run.proof import check_proof
from device_sdk.station.run.relay import RelayServer, Request
from device_sdk.station.run.states import Step
from device_sdk.wire.certs_only import parse_certs_only

_NONCE_BYTES = 32
MAX_ISSUED = 3
"""How many certificates a device may be issued until it has proved one: power cuts cost it one now and then."""
_BEFORE_PROOF = (Step.CONFIGURE, Step.KEY, Step.INSTALL, Step.ENROL)


class Work:
    """The steps of one device on one line.

    Args:
        desk: what the run has.
        line: the device's line.
        facts: what it said when it was met.
        job: what is kept of it.

    Attributes:
        job: as it is by now; on disk, too.
        about: what the ledger is told of the device when it is done.
    """

    def __init__(self, desk: Desk, line: str, facts: DeviceFacts, job: Job) -> None:
        self._desk, self._line, self._facts = desk, line, facts
        self.job = job
        self.about: dict[str, object] = dict(job.about or {})
        self.certificate: x509.Certificate | None = None
        self._steps: dict[str, Callable[[BenchDevice], dict[str, object]]] = {
            Step.CONFIGURE: self._configure,
            Step.KEY: self._key,
            Step.REQUEST: self._request,
            Step.ISSUE: self._issue,
            Step.INSTALL: self._install,
            Step.ENROL: self._enrol,
            Step.PROVE: self._prove,
        }

    def holds(self, step: str, facts: DeviceFacts) -> bool:
        """Whether a step was done by an earlier run, or before the line failed, and is not to be done again.

        Args:
            step: which.
            facts: what the device says now.
        """
        job = self.job
        if self._desk.profile.hook(step) is not None:
            return step in job.done
        if step == Step.REQUEST:
            return job.csr is not None
        if step == Step.ISSUE:
            return job.answer is not None
        return step in _BEFORE_PROOF and self._has_its_certificate(facts)

    def _has_its_certificate(self, facts: DeviceFacts) -> bool:
        """The device has what it was issued; it only did not come to be written down."""
        if facts.enrolled is None or self.job.public_key is None:
            return False
        if self._desk.profile.mode == "self":
            return facts.enrolled != self.job.enrolled_before
        if self.job.answer is None:
            return False
        issued = {one.fingerprint(hashes.SHA256()).hex() for one in parse_certs_only(self.job.answer)}
        return facts.enrolled in issued

    def do(self, step: str, device: BenchDevice) -> dict[str, object]:
        """Do a step; what the ledger is told of it. Raises DeviceSdkError."""
        hook = self._desk.profile.hook(step)
        if hook is None:
            return self._steps[step](device)
        found = self._hook(hook, device)
        self._keep(done=(*self.job.done, step))
        return found

    def words(self) -> dict[str, str]:
        """What stands for ${...} in the profile."""
        profile, facts = self._desk.profile, self._facts
        found = {
            "serial_number": facts.serial_number,
            "mac": facts.macs[0] if facts.macs else "",
            "model": facts.model,
            "line": self._line,
            "station": self._desk.station,
            "profile": profile.name,
            "version": profile.version,
            "key_uri": profile.key.uri or "",
        }
        if self.certificate is not None:
            found["certificate_sha256"] = self.certificate.fingerprint(hashes.SHA256()).hex()
            found["certificate_serial"] = f"{self.certificate.serial_number:x}"
        return found | {f"extra.{name}": value for name, value in facts.extra.items()}

    def _keep(self, **changes: object) -> None:
        job = replace(self.job, **changes)  # type: ignore[arg-type]  # fields of Job, named by the callers below
        self._desk.kept.save(job)
        self.job = job

    def _hook(self, hook: Hook, device: BenchDevice) -> dict[str, object]:
        if hook.on == "station":
            return run_hook(hook, self.words(), self._desk.cancelled)
        status, output = device.run(arguments(hook, self.words()), hook.timeout_s)
        return checked(hook, status, output)

    def _configure(self, device: BenchDevice) -> dict[str, object]:
        config, anchors = self._config(), self._desk.profile.device_anchors()
        device.configure(config, anchors)
        return {
            "config_sha256": hashlib.sha256(config).hexdigest(),
            "anchors_sha256": hashlib.sha256(anchors).hexdigest(),
        }

    def _key(self, device: BenchDevice) -> dict[str, object]:
        wanted = self._desk.profile.key
        key = device.create_key(
            KeyWish(wanted.uri or "", wanted.type, wanted.file_allowed, again=self.job.again or self.job.over)
        )
        if key.type is not wanted.type:
            raise WrongDeviceError(f"the device made a key of type {key.type.value}, and not {wanted.type.value}")
        check_key(key, wanted.attested)
        given_up = self.job.issued[-1:] if self.job.answer and key.public_key != self.job.public_key else ()
        self.about |= {"key_uri": key.uri, "key_type": key.type.value, "attestation": key.attestation}
        self._keep(**(vars(self.job.with_key(key.public_key)) | {"about": self.about}))
        found: dict[str, object] = {
            "key_uri": key.uri,
            "spki_sha256": hashlib.sha256(key.public_key).hexdigest(),
            "attestation": key.attestation,
        }
        return found | ({"certificate_given_up": given_up[0]} if given_up else {})

    def _request(self, device: BenchDevice) -> dict[str, object]:
        csr = device.request(self._server.csrattrs())
        self._keep(csr=csr, pending=None)
        return {"csr_sha256": hashlib.sha256(csr).hexdigest()}

    def _issue(self, _device: BenchDevice) -> dict[str, object]:
        self._refuse_one_more()
        job, wanted = self.job, self._desk.profile.key
        key = BenchKey(wanted.uri or "", wanted.type, job.public_key or b"", {})
        request = Request(job.csr or b"", self._facts, key, self._config(), job.pending)
        try:
            relayed = self._server.enrol(request, lambda record: self._keep(pending=record.to_json()))
        except (WrongDeviceError, DeviceRequestError):
            self._keep(csr=None, pending=None)  # nothing was sent, and the same request will never do
            raise
        self._keep(issued=(*job.issued, f"{relayed.certificate.serial_number:x}"))
        self._check_issued(relayed.certificate)
        self._keep(answer=relayed.answer, ca_certificates=relayed.ca_certificates, pending=None)
        return {
            "certificate_serial": f"{relayed.certificate.serial_number:x}",
            "differences": list(relayed.differences),
        }

    def _refuse_one_more(self) -> None:
        """A device that gives another key each time, or proves none, does not get certificates for ever."""
        issued = self.job.issued
        if len(issued) >= MAX_ISSUED:
            raise WrongDeviceError(
                f"{self._facts.serial_number} was issued {len(issued)} certificates ({', '.join(issued)}), and has proved none",
                hint="have the CA revoke them, and look at the device; remove "
                f"{self._desk.kept.path(self._facts.serial_number)} to let it begin anew",
                serial_number=self._facts.serial_number,
            )

    def _check_issued(self, certificate: x509.Certificate) -> None:
        """It names this device; otherwise nobody is given it."""
        try:
            check_certificate(certificate, self._facts.serial_number, self._desk.profile.identity)
        except WrongDeviceError as error:
            self._keep(csr=None, pending=None)
            raise WrongDeviceError(
                f"the certificate {certificate.serial_number:x}, which was issued, is not given to the device: {error.message}",
                hint=f"have the CA revoke it; {error.hint}",
                serial_number=self._facts.serial_number,
            ) from error

    def _install(self, device: BenchDevice) -> dict[str, object]:
        digest = device.install(self.job.answer or b"", self.job.ca_certificates or b"")
        return {"certificate_sha256": digest.hex()}

    def _enrol(self, device: BenchDevice) -> dict[str, object]:
        return {"certificate_sha256": device.enrol().hex()}

    def _prove(self, device: BenchDevice) -> dict[str, object]:
        """A device counts as done by this alone: it signs the station's nonce with the key that was made and asked for."""
        desk = self._desk
        certificate, nonce = proved(desk, device, self._facts)
        check_same_key(certificate, (self.job.public_key, _key_of(self.job.csr)))
        if self.job.answer is not None and certificate not in parse_certs_only(self.job.answer):
            raise WrongDeviceError("the device proved another certificate than the one that was issued for it")
        facts = device.facts()
        check_still(self._facts, facts, desk.profile, desk.allowed)
        self.certificate = certificate
        self.about |= {
            "certificate_serial": f"{certificate.serial_number:x}",
            "certificate_sha256": certificate.fingerprint(hashes.SHA256()).hex(),
            "issuer": certificate.issuer.rfc4514_string()[:500],
            "subject": certificate.subject.rfc4514_string()[:500],
            "not_after": certificate.not_valid_after_utc.astimezone(UTC).isoformat(),
            "public_key_sha256": hashlib.sha256(spki(certificate)).hexdigest(),
        }
        return {"certificate_sha256": self.about["certificate_sha256"], "nonce": nonce.hex()}

    def _config(self) -> bytes:
        template = self._desk.profile.device.config
        return template.render(self.words()) if template else b""

    @property
    def _server(self) -> RelayServer:
        if self._desk.server is None:
            raise ConfigurationError("this profile has no EST server")
        return self._desk.server


def proved(desk: Desk, device: BenchDevice, facts: DeviceFacts) -> tuple[x509.Certificate, bytes]:
    """Have a device prove a certificate that names it, with a fresh nonce.

    Args:
        desk: what the run has.
        device: is asked.
        facts: what it said.

    Returns:
        The certificate, and the nonce.

    Raises:
        DeviceSdkError: it cannot; see `check_proof` and `check_certificate`.
    """
    nonce = secrets.token_bytes(_NONCE_BYTES)
    certificate = check_proof(device.prove(nonce), nonce, desk.trust(), desk.clock.now())
    check_certificate(certificate, facts.serial_number, desk.profile.identity)
    return certificate, nonce


def _key_of(csr: bytes | None) -> bytes | None:
    return None if csr is None else spki(x509.load_der_x509_csr(csr))
