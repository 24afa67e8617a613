"""A simulated device without its line: who it is, what is in its flash, and the eight things a station can ask of it."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, pkcs7

from device_sdk_simulators.serial.board_keys import (
    BoardKey,
    KeyMaker,
    KeyRefusedError,
    MadeKey,
    SoftwareKeys,
    check_wish,
)
from device_sdk_simulators.serial.board_request import (
    ConfigurationRefusedError,
    build_request,
    read_configuration,
)
from device_sdk_simulators.serial.refusal import RefusalError
from device_sdk_simulators.softhsm import SimulatorError

PROOF_CONTEXT = b"device-sdk bench proof 1\0"
_MOST_CONFIG, _MOST_ANCHORS, _MOST_CERTIFICATES = 64 * 1024, 256 * 1024, 256 * 1024


@dataclass(frozen=True)
class Event:
    """Something that was done to a device: what, when (POSIX seconds), and what came of it."""

    what: str
    time: float
    detail: str = ""


@dataclass
class Board:
    """One device. Everything in it outlives resets; what is under way does not.

    Attributes:
        serial_number: what is printed on it, and what it says.
        macs: its MAC addresses.
        model: what it is.
        keys: where it makes keys.
        said_serial: what it says its serial number is, if that is not the truth.
        password: what it was given at the factory to enrol itself with, by `est.user`.
        enrol_itself: does what `enrol` asks for; takes the board and gives an answer of /simpleenroll and one of /cacerts.
        clock: what it takes for the time.
        allow_enrolled: whether it may be provisioned once more.
        allowed_commands: what `run` runs, with what it prints and its status.
        history: what happened to it.
        certificates: what was installed, in order.
        made: every key it made, in order.
    """

    serial_number: str
    macs: tuple[str, ...] = ()
    model: str = "Simulated board"
    keys: KeyMaker = field(default_factory=SoftwareKeys)
    said_serial: str | None = None
    password: str | None = None
    enrol_itself: Callable[[Board], tuple[bytes, bytes]] | None = None
    clock: Callable[[], float] = time.time
    allow_enrolled: bool = False
    allowed_commands: dict[tuple[str, ...], tuple[int, str]] = field(
        default_factory=lambda: {("self-test",): (0, "self test passed\n")}
    )
    extra: dict[str, str] = field(default_factory=dict)
    boot_id: str = ""
    history: list[Event] = field(default_factory=list)
    certificates: list[x509.Certificate] = field(default_factory=list)
    made: list[MadeKey] = field(default_factory=list)
    config: bytes | None = None
    anchors: bytes = b""
    pending: MadeKey | None = None
    current: MadeKey | None = None
    done_ids: dict[str, tuple[str, object]] = field(default_factory=dict)

    def note(self, what: str, detail: str = "") -> None:
        """Write down that something happened."""
        self.history.append(Event(what, time.time(), detail))

    @property
    def certificate(self) -> x509.Certificate | None:
        """The one it has now."""
        return self.certificates[-1] if self.certificates else None

    @property
    def enrolled(self) -> str | None:
        """SHA-256 of its certificate."""
        certificate = self.certificate
        return certificate.fingerprint(hashes.SHA256()).hex() if certificate else None

    def facts(self) -> dict[str, object]:
        """Who it says it is."""
        return {
            "serial_number": self.said_serial or self.serial_number,
            "macs": list(self.macs),
            "model": self.model,
            "sdk_version": "simulated",
            "clock": int(self.clock()),
            "keystores": list(self.keys.keystores),
            "enrolled": self.enrolled,
            "extra": dict(self.extra) | ({"boot_id": self.boot_id} if self.boot_id else {}),
        }

    def configure(self, config: bytes, anchors: bytes) -> None:
        """Keep the configuration and the anchors; RefusalError."""
        if len(config) > _MOST_CONFIG or len(anchors) > _MOST_ANCHORS:
            raise RefusalError("configuration", "the configuration or the anchors are too long", 2)
        self._configuration(config)
        if anchors:
            try:
                x509.load_pem_x509_certificates(anchors)
            except ValueError as error:
                raise RefusalError("configuration", f"the anchors cannot be read: {error}", 2) from error
            self.anchors = anchors
        self.config = config
        self.note("configured", hashlib.sha256(config).hexdigest())

    def _configuration(self, config: bytes | None) -> dict[str, object]:
        if config is None:
            raise RefusalError("configuration", "this device was not configured", 2)
        try:
            return read_configuration(config)
        except ConfigurationRefusedError as error:
            raise RefusalError("configuration", str(error), 2) from error

    def create_key(self, uri: str, key_type: str, *, file_allowed: bool, again: bool = False) -> MadeKey:
        """Make the key, or give the one that has no certificate yet; RefusalError.

        Args:
            uri: where.
            key_type: one of KEY_TYPES.
            file_allowed: whether a key file will do.
            again: whether a device that has a certificate is to make another key.
        """
        try:
            check_wish(uri, key_type, file_allowed)
            if self.current is not None and self.pending is None and not again:
                raise RefusalError("state", "this device is enrolled", 9)
            if self.pending is None or self.pending.type != key_type:
                self.pending = self.keys.make(uri, key_type, len(self.made))
                self.made.append(self.pending)
                self.note("key", hashlib.sha256(self.pending.public_key).hexdigest())
        except KeyRefusedError as error:
            raise RefusalError("configuration", str(error), 2) from error
        except (SimulatorError, OSError) as error:
            raise RefusalError("keystore", str(error)[:500], 3) from error
        return self.pending

    def request(self, csrattrs: bytes) -> bytes:
        """A DER CSR for the key that has no certificate yet; RefusalError."""
        if self.pending is None:
            raise RefusalError("state", "there is no key to ask a certificate for", 9)
        config = self._configuration(self.config)
        mac = self.macs[0] if self.macs else None
        try:
            csr = build_request(self.pending.key, config, self.serial_number, mac, csrattrs)
        except ConfigurationRefusedError as error:
            raise RefusalError("configuration", str(error), 2) from error
        self.note("requested", hashlib.sha256(csr).hexdigest())
        return csr

    def install(self, answer: bytes, ca_certificates: bytes) -> str:
        """Take the certificate for the key, if it is one; its SHA-256. RefusalError."""
        issued, chain = _certificates(answer), _certificates(ca_certificates)
        current = self.certificate
        if self.pending is None:
            if current is not None and current in issued:
                return str(self.enrolled)
            raise RefusalError("state", "there is no key that waits for a certificate", 9)
        wanted = self.pending.public_key
        mine = [one for one in issued if _public_bytes(one) == wanted]
        if len(mine) != 1:
            raise RefusalError("verification", "the answer has no certificate for the key of this device", 6)
        _check_issuer(mine[0], [*chain, *issued])
        self.certificates.append(mine[0])
        self.current, self.pending = self.pending, None
        self.note("installed", str(self.enrolled))
        return str(self.enrolled)

    def enrol(self) -> str:
        """Enrol over its own network, by its configuration; SHA-256 of the certificate. RefusalError."""
        if self.enrol_itself is None:
            raise RefusalError("transport", "this device has no network", 5)
        if self.pending is None and self.current is not None:
            return str(self.enrolled)
        answer, chain = self.enrol_itself(self)
        return self.install(answer, chain)

    def prove(self, nonce: bytes) -> tuple[bytes, bytes]:
        """DER of its certificate, and a signature of the nonce by its key; RefusalError."""
        if self.current is None or self.certificate is None:
            raise RefusalError("state", "this device has no certificate", 9)
        if len(nonce) != 32:
            raise RefusalError("bad-message", "a nonce has 32 octets", 12)
        der = self.certificate.public_bytes(Encoding.DER)
        signed = PROOF_CONTEXT + nonce + hashlib.sha256(der).digest()
        self.note("proved", str(self.enrolled))
        return der, sign(self.current.key, signed)

    def run(self, command: tuple[str, ...]) -> tuple[int, str]:
        """Status and output of a command; RefusalError for one that nobody allowed."""
        if command not in self.allowed_commands:
            raise RefusalError("command-not-allowed", f"{' '.join(command)[:100]}: this device does not allow it", 12)
        self.note("ran", " ".join(command)[:200])
        return self.allowed_commands[command]


def sign(key: BoardKey, data: bytes) -> bytes:
    """ECDSA or RSASSA-PKCS1-v1_5 with SHA-256."""
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return key.sign(data, ec.ECDSA(hashes.SHA256()))
    return key.sign(data, padding.PKCS1v15(), hashes.SHA256())


def _certificates(der: bytes) -> list[x509.Certificate]:
    if len(der) > _MOST_CERTIFICATES:
        raise RefusalError("malformed", "the certificates are too long", 7)
    try:
        return pkcs7.load_der_pkcs7_certificates(der)
    except (ValueError, TypeError) as error:
        raise RefusalError("malformed", f"no certs-only message: {str(error)[:200]}", 7) from error


def _public_bytes(certificate: x509.Certificate) -> bytes:
    return certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _check_issuer(certificate: x509.Certificate, others: list[x509.Certificate]) -> None:
    for one in others:
        try:
            certificate.verify_directly_issued_by(one)
        except (ValueError, TypeError, InvalidSignature):
            continue
        return
    raise RefusalError("verification", "the certificate was not issued by any of the CA certificates", 6)
