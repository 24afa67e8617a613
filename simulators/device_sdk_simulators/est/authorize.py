"""Who is asking, and what that one may do: the authorization matrix of the reference server."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature

from device_sdk_simulators.ca.hierarchy import Hierarchy
from device_sdk_simulators.ca.issue import CMC_RA
from device_sdk_simulators.ca.names import same_alternative_names, same_name
from device_sdk_simulators.database import Database
from device_sdk_simulators.est.csr import CertificationRequest
from device_sdk_simulators.http.messages import HttpError, Request
from device_sdk_simulators.passwords import Users, basic_credentials
from device_sdk_simulators.policy import Policy

CHALLENGE = [("WWW-Authenticate", 'Basic realm="estrealm", charset="UTF-8"')]


@dataclass(frozen=True)
class Client:
    """Who sent a request, as far as it proved it.

    Attributes:
        user: name of a user whose password was right, or None.
        certificate: a TLS client certificate that is in its validity and not revoked, or None.
        third_party: the certificate comes from a maker's CA, not from this one.
        registration_authority: the certificate comes from this CA and has id-kp-cmcRA (RFC 7030 section 3.7).
    """

    user: str | None = None
    certificate: x509.Certificate | None = None
    third_party: bool = False
    registration_authority: bool = False

    @property
    def authentication(self) -> str:
        """Either "none", "basic", "tls" or "basic+tls"."""
        proofs = [name for name, proof in (("basic", self.user), ("tls", self.certificate)) if proof is not None]
        return "+".join(proofs) or "none"

    @property
    def identity(self) -> str:
        """A name for this client that stays the same over reconnects and renewals."""
        if self.certificate is not None:
            return f"tls:{self.certificate.subject.rfc4514_string()}"
        return f"user:{self.user}" if self.user is not None else "nobody"


def _has_cmc_ra(certificate: x509.Certificate) -> bool:
    try:
        usages = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return False
    return x509.ObjectIdentifier(CMC_RA) in usages


def _issued_by_any(certificate: x509.Certificate, issuers: Iterable[x509.Certificate]) -> bool:
    for issuer in issuers:
        try:
            certificate.verify_directly_issued_by(issuer)
        except (ValueError, TypeError, InvalidSignature):
            continue
        return True
    return False


class Gatekeeper:
    """Turns credentials into a Client, and a Client and an operation into yes or no."""

    def __init__(
        self,
        database: Database,
        users: Users,
        hierarchy: Callable[[], Hierarchy],
        policy: Policy,
        clock: Callable[[], datetime],
        *,
        neighbours: Callable[[], Sequence[x509.Certificate]] = tuple,
    ) -> None:
        self._database = database
        self._users = users
        self._hierarchy = hierarchy
        self._neighbours = neighbours
        self._policy = policy
        self._clock = clock

    def identify(self, request: Request) -> Client:
        """Who this is; HttpError 401 for a wrong password, 403 for a certificate that does not count any more."""
        user = None
        authorization = request.header("Authorization")
        if authorization is not None:
            credentials = basic_credentials(authorization)
            if credentials is None or not self._users.check(*credentials):
                raise HttpError(401, "", CHALLENGE)
            user = credentials[0]
        if not request.tls.client_chain:
            return Client(user)
        certificate = request.tls.client_chain[0]
        third_party = not self._is_ours(certificate)
        self._check_current(certificate, third_party=third_party)
        trusted = self._policy.registration_authorities and not third_party and _has_cmc_ra(certificate)
        return Client(user, certificate, third_party, trusted)

    def _is_ours(self, certificate: x509.Certificate) -> bool:
        """Issued by a generation in service; HttpError 403 if by a retired one, or by another CA of this server."""
        if self._is_issued_here(certificate):
            return True
        if _issued_by_any(certificate, self._hierarchy().retired):
            raise HttpError(403, "the TLS client certificate was issued with a CA key that is retired; enrol again")
        if _issued_by_any(certificate, self._neighbours()):
            raise HttpError(403, "the TLS client certificate is for another label of this server")
        return False

    def _is_issued_here(self, certificate: x509.Certificate) -> bool:
        return _issued_by_any(certificate, (issuer.certificate for issuer in self._hierarchy().issuers))

    def _check_current(self, certificate: x509.Certificate, *, third_party: bool) -> None:
        now = self._clock()
        grace = self._policy.reenroll_grace
        if now < certificate.not_valid_before_utc:
            raise HttpError(403, "the TLS client certificate is not valid yet")
        # IDevIDs end in the year 9999 (EST-32): the subtraction must be on this side
        if now - grace > certificate.not_valid_after_utc:
            raise HttpError(403, "the TLS client certificate has expired")
        if third_party:
            return
        row = self._database.row(
            "SELECT revoked_at FROM certificates WHERE serial = ?", f"{certificate.serial_number:x}"
        )
        if row is not None and row["revoked_at"]:
            raise HttpError(403, "the TLS client certificate is revoked")

    def may_enroll(self, client: Client, request: CertificationRequest) -> None:
        """HttpError 401 or 403 unless this client may have this certificate by /simpleenroll."""
        if client.certificate is None:
            if client.user is None:
                raise HttpError(401, "", CHALLENGE)
            return
        if client.third_party:
            self._known_device(client.certificate)
            return
        if client.registration_authority:
            return
        if self._policy.enroll_with_certificate == "no":
            raise HttpError(403, "this server enrols with a password or a maker's certificate only")
        same = same_name(client.certificate.subject, request.csr.subject)
        if self._policy.enroll_with_certificate == "same-subject" and not same:
            raise HttpError(403, "a certificate of this CA may ask for its own subject only")

    def _known_device(self, certificate: x509.Certificate) -> None:
        allowed = self._policy.third_party_serials
        if allowed is None:
            return
        serials = certificate.subject.get_attributes_for_oid(x509.NameOID.SERIAL_NUMBER)
        if not any(serial.value in allowed for serial in serials):
            raise HttpError(403, "this device's serial number is not on the list")

    def may_reenroll(self, client: Client, request: CertificationRequest) -> None:
        """HttpError 401, 403 or 400 unless this client may renew or rekey this certificate (EST-150..156)."""
        current = client.certificate
        if current is None:
            current = self._certificate_of_user(client, request)
        elif client.third_party:
            raise HttpError(403, "a maker's certificate is not renewed here; use simpleenroll")
        if not same_name(current.subject, request.csr.subject):
            raise HttpError(400, "the subject is not that of the certificate being renewed")
        if not same_alternative_names(current.extensions, request.extensions):
            raise HttpError(400, "the subjectAltName is not that of the certificate being renewed")
        if self._policy.forbid_key_reuse and current.public_key() == request.public_key:
            raise HttpError(400, "a new key is needed to renew here")

    def _certificate_of_user(self, client: Client, request: CertificationRequest) -> x509.Certificate:
        if client.user is None or not self._policy.reenroll_with_password:
            raise HttpError(401, "", CHALLENGE)
        rows = self._database.rows(
            "SELECT der FROM certificates WHERE issued_to = ? AND revoked_at IS NULL ORDER BY rowid DESC",
            client.identity,
        )
        for row in rows:
            certificate = x509.load_der_x509_certificate(row["der"])
            if same_name(certificate.subject, request.csr.subject) and self._is_issued_here(certificate):
                return certificate
        raise HttpError(403, "this user has no certificate of that subject")
