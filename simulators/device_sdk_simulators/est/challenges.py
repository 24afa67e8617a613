"""One-time and revocation passwords in a CSR (RFC 7894): each attribute is judged on its own (EST-103, EST-107)."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from collections.abc import Callable

from cryptography import x509

from device_sdk_simulators.database import Database
from device_sdk_simulators.est.attributes import MAX_CHARACTERS, directory_string
from device_sdk_simulators.est.csr import CertificationRequest
from device_sdk_simulators.http.messages import HttpError
from device_sdk_simulators.policy import Policy

OTP_CHALLENGE = "1.2.840.113549.1.9.16.2.56"
REVOCATION_CHALLENGE = "1.2.840.113549.1.9.16.2.57"


def challenge(csr: x509.CertificateSigningRequest, oid: str) -> str | None:
    """The text of a challenge attribute, or None; HttpError 400 for one that is no DirectoryString of 1 to 255 characters."""
    found = next((one for one in csr.attributes if one.oid.dotted_string == oid), None)
    if found is None:
        return None
    text = directory_string(found._type, found.value)
    if not text:
        raise HttpError(400, f"attribute {oid} is not a DirectoryString of 1 to {MAX_CHARACTERS} characters")
    return text


class Challenges:
    """The one-time passwords that were given out, and the revocation passwords that came back.

    Args:
        database: where they are kept, as hashes.
        policy: which ones a request must have.
    """

    def __init__(self, database: Database, policy: Policy) -> None:
        self._database = database
        self._policy = policy

    def new_one_time_password(self) -> str:
        """A password for one request, kept as a hash."""
        password = secrets.token_urlsafe(12)
        self._database.execute("INSERT INTO one_time_passwords (digest) VALUES (?)", self._digest(password))
        return password

    def check(self, request: CertificationRequest) -> None:
        """HttpError 400 unless every attribute that is there, or has to be, is right.

        A one-time password belongs to the first request that came with it: to its names, extensions and key. A client
        whose answer was lost, or that has to wait, can ask again.
        """
        revocation, otp = (challenge(request.csr, oid) for oid in (REVOCATION_CHALLENGE, OTP_CHALLENGE))
        if revocation is None and self._policy.require_revocation_challenge:
            raise HttpError(400, "a revocationChallenge is required")
        if otp is None and self._policy.require_otp:
            raise HttpError(400, "an otpChallenge is required")
        if otp is not None and not self._claim(otp, _fingerprint(request)):
            raise HttpError(
                400, "the otpChallenge is not a one-time password of this server, or was used for another request"
            )

    def issued(self, request: CertificationRequest) -> Callable[[x509.Certificate], None]:
        """What keeps the revocation password of a request's certificate; for the transaction that issues it.

        The slow hash is made now, so that nobody waits for it there.
        """
        text = challenge(request.csr, REVOCATION_CHALLENGE)
        if text is None:
            return lambda _certificate: None
        salt = os.urandom(16)
        kept = _slow_hash(text, salt)

        def keep(certificate: x509.Certificate) -> None:
            serial = f"{certificate.serial_number:x}"
            self._database.execute("INSERT OR REPLACE INTO revocation_challenges VALUES (?, ?, ?)", serial, salt, kept)

        return keep

    def may_revoke(self, serial: str, password: str) -> bool:
        """Whether this is the revocation password of the certificate with that serial number (lower-case hex)."""
        row = self._database.row("SELECT salt, hash FROM revocation_challenges WHERE serial = ?", serial)
        return row is not None and hmac.compare_digest(_slow_hash(password, row["salt"]), row["hash"])

    def _claim(self, password: str, request: str) -> bool:
        changed = self._database.execute(
            "UPDATE one_time_passwords SET spki_sha256 = ? WHERE digest = ? AND (spki_sha256 IS NULL OR spki_sha256 = ?)",
            request,
            self._digest(password),
            request,
        )
        return changed == 1

    def _digest(self, password: str) -> str:
        # made by this server with enough randomness, so a fast keyed hash will do
        return hmac.new(self._database.secret("one-time passwords"), password.encode(), "sha256").hexdigest()


def _fingerprint(request: CertificationRequest) -> str:
    """What copies of a request have in common: not its binding and signature, and no key where the server makes it."""
    digest = hashlib.sha256(request.spki_sha256.encode() + request.csr.subject.public_bytes())
    for extension in sorted(request.extensions, key=lambda one: one.oid.dotted_string):
        content = hashlib.sha256(extension.value.public_bytes()).hexdigest()
        digest.update(f"{extension.oid.dotted_string} {extension.critical} {content}\n".encode())
    return digest.hexdigest()


def _slow_hash(password: str, salt: bytes) -> bytes:
    return hashlib.scrypt(password.encode(), salt=salt, n=2**12, r=8, p=1, dklen=32)
