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
from device_sdk_simulators.est.client_path import UnfitPathError, check_intermediates
from device_sdk_simulators.est.csr import CertificationRequest
from device_sdk_simulators.est.holders import holder_of
from device_sdk_simulators.est.lineage import identity_of, lineage_of
from device_sdk_simulators.est.login import HttpLogin
from device_sdk_simulators.est.makers import UnclearListError, is_listed
from device_sdk_simulators.http.messages import HttpError, Request
from device_sdk_simulators.policy import Policy


@dataclass(frozen=True)
class Client:
    """Who sent a request, as far as it proved it.

    Attributes:
        user: name of a user whose password was right, or None.
        certificate: a TLS client certificate that is in its validity and not revoked, or None.
        third_party: the certificate comes from a maker's CA, not from this one.
        registration_authority: the certificate comes from this CA and has id-kp-cmcRA (RFC 7030 section 3.7).
        srp_user: name of a user who knew the password of certificate-less TLS (RFC 7030 section 3.3.3), or None.
        scheme: "basic" or "digest": how HTTP showed the password.
        holder: the user on whose behalf certificates are issued to this client, as far as it is known.
        lineage: what the certificate shares with those it renewed, and with no others; "" without certificate.
        others: certificates that came along with it.
    """

    user: str | None = None
    certificate: x509.Certificate | None = None
    third_party: bool = False
    registration_authority: bool = False
    srp_user: str | None = None
    scheme: str = "basic"
    holder: str | None = None
    lineage: str = ""
    others: tuple[x509.Certificate, ...] = ()

    @property
    def authentication(self) -> str:
        """Either "none", or what there is of "basic" or "digest", "tls" and "srp", in this order: "digest+tls"."""
        known = ((self.scheme, self.user), ("tls", self.certificate), ("srp", self.srp_user))
        proofs = [name for name, proof in known if proof is not None]
        return "+".join(proofs) or "none"

    @property
    def identity(self) -> str:
        """A name for this client that stays the same over reconnects and renewals."""
        if self.certificate is not None:
            return identity_of(self.certificate, self.lineage)
        if self.srp_user is not None:
            return f"srp:{self.srp_user}"
        return f"user:{self.user}" if self.user is not None else "nobody"

    @property
    def knows_password(self) -> bool:
        """Whether there is a user, by HTTP or by TLS without certificates."""
        return self.user is not None or self.srp_user is not None


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
        login: HttpLogin,
        hierarchy: Callable[[], Hierarchy],
        policy: Policy,
        clock: Callable[[], datetime],
        *,
        neighbours: Callable[[], Sequence[x509.Certificate]] = tuple,
    ) -> None:
        self._database = database
        self._login = login
        self._hierarchy = hierarchy
        self._neighbours = neighbours
        self._policy = policy
        self._clock = clock

    def identify(self, request: Request) -> Client:
        """Who this is.

        Raises:
            HttpError: 401 for a wrong password, and for none where a certificate alone is not enough; 403 for a
                certificate that does not count any more, and where password and TLS speak of different users.
        """
        found = self._login.identify(request)
        user, scheme = (found.user, found.scheme) if found else (None, "basic")
        srp_user = request.tls.srp_user
        if not request.tls.client_chain:
            if None not in (user, srp_user) and user != srp_user:
                raise HttpError(403, "TLS and HTTP know the client by different names")
            return Client(user, srp_user=srp_user, scheme=scheme, holder=user if srp_user is None else srp_user)
        certificate = request.tls.client_chain[0]
        third_party = not self._is_ours(certificate)
        self._check_current(certificate, third_party=third_party)
        if third_party:
            self._check_way(request.tls.client_chain)
        trusted = self._policy.registration_authorities and not third_party and _has_cmc_ra(certificate)
        holder = user if third_party or trusted else self._holder(certificate, user)
        if user is None and self._policy.require_password:
            raise HttpError(401, "")
        lineage = lineage_of(certificate, self._database, third_party=third_party)
        holder = None if trusted else holder
        others = tuple(request.tls.client_chain[1:])
        return Client(user, certificate, third_party, trusted, None, scheme, holder, lineage, others)

    def _holder(self, certificate: x509.Certificate, user: str | None) -> str | None:
        """The user the certificate was issued for, if that is known; HttpError 403 if it is not this one."""
        row = self._database.row(
            "SELECT holder, issued_to FROM certificates WHERE serial = ?", f"{certificate.serial_number:x}"
        )
        if row is None:
            return user
        holder = holder_of(row)
        if user is not None and holder not in (None, user):
            raise HttpError(403, "the TLS client certificate was issued for another user")
        return user if holder is None else holder

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

    def _check_way(self, chain: Sequence[x509.Certificate]) -> None:
        try:
            check_intermediates(chain, self._clock())
        except UnfitPathError as error:
            raise HttpError(403, str(error)) from error

    def may_enroll(self, client: Client, request: CertificationRequest) -> None:
        """HttpError 401 or 403 unless this client may have this certificate by /simpleenroll."""
        if client.certificate is None:
            if not client.knows_password:
                raise HttpError(401, "")
            return
        if client.third_party:
            self._known_device(client.certificate, client.others)
            return
        if client.registration_authority:
            return
        if self._policy.enroll_with_certificate == "no":
            raise HttpError(403, "this server enrols with a password or a maker's certificate only")
        if self._policy.enroll_with_certificate == "same-subject":
            _check_own_names(client.certificate, request)

    def _known_device(self, certificate: x509.Certificate, others: Sequence[x509.Certificate]) -> None:
        try:
            listed = is_listed(certificate, others, self._policy)
        except UnclearListError as error:
            raise HttpError(403, str(error)) from error
        if not listed:
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
        if not client.knows_password:
            raise HttpError(401, "")
        if not self._policy.reenroll_with_password:
            raise HttpError(403, "a renewal needs the certificate that is to be renewed (RFC 7030 section 3.3.2)")
        rows = self._database.rows(
            "SELECT der FROM certificates WHERE issued_to = ? AND revoked_at IS NULL ORDER BY rowid DESC",
            client.identity,
        )
        for row in rows:
            certificate = x509.load_der_x509_certificate(row["der"])
            if same_name(certificate.subject, request.csr.subject) and self._is_issued_here(certificate):
                self._check_current(certificate, third_party=False)
                return certificate
        raise HttpError(403, "this user has no certificate of that subject")


def _check_own_names(own: x509.Certificate, request: CertificationRequest) -> None:
    """HttpError 403 for other names than those of the client's own certificate: the subject, and no or the same others."""
    if not same_name(own.subject, request.csr.subject):
        raise HttpError(403, "a certificate of this CA may ask for its own subject only")
    names = [one for one in request.extensions if isinstance(one.value, x509.SubjectAlternativeName)]
    if names and not same_alternative_names(own.extensions, request.extensions):
        raise HttpError(403, "a certificate of this CA may ask for its own subjectAltName only")
