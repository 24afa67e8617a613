"""Whom a /serverkeygen request wants the private key encrypted to (RFC 7030 section 4.4.1, EST-192, EST-193)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from pyasn1.codec.ber.decoder import decode
from pyasn1.error import PyAsn1Error
from pyasn1_alt_modules import rfc4108, rfc5751, rfc7030

from device_sdk_simulators.database import Database
from device_sdk_simulators.est.attributes import Attributes
from device_sdk_simulators.est.authorize import Client
from device_sdk_simulators.est.route import Route
from device_sdk_simulators.est.shared_secrets import SharedSecrets
from device_sdk_simulators.http.messages import HttpError
from device_sdk_simulators.policy import Policy

SHARED = str(rfc4108.id_aa_decryptKeyID)
ASYMMETRIC = str(rfc7030.id_aa_asymmDecryptKeyID)
CAPABILITIES = str(rfc5751.smimeCapabilities)
_OCTET_STRING, _SEQUENCE = 4, 0x30


@dataclass(frozen=True)
class Recipient:
    """To whom, and what that one can open.

    Attributes:
        identifier: as in the request.
        capabilities: object identifiers of SMIMECapabilities.
        secret: the shared secret, or None.
        certificate: whose key it is, or None.
    """

    identifier: bytes
    capabilities: tuple[str, ...]
    secret: bytes | None = field(default=None, repr=False)
    certificate: x509.Certificate | None = None


class Recipients:
    """Finds them.

    Args:
        database: where issued certificates are.
        secrets: keys by name.
        policy: which forms are served.
        clock: whether a certificate is still valid.
    """

    def __init__(
        self, database: Database, secrets: SharedSecrets, policy: Policy, clock: Callable[[], datetime]
    ) -> None:
        self._database = database
        self._secrets = secrets
        self._policy = policy
        self._clock = clock

    def find(self, attributes: Attributes, client: Client, route: Route) -> Recipient | None:
        """Whom the request names; None for nobody, where the policy gives keys in the clear; HttpError 400.

        Args:
            attributes: of the request.
            client: who asks; only keys of its own count.
            route: where; only certificates issued there, and the one shown to TLS.
        """
        forms = self._policy.serverkeygen
        if SHARED in attributes and ASYMMETRIC in attributes:
            raise HttpError(400, "the request names two keys to encrypt the private key to")
        if SHARED not in attributes and ASYMMETRIC not in attributes:
            if "clear" not in forms:
                raise HttpError(400, "this server gives private keys encrypted only: name a key to encrypt it to")
            return None
        capabilities = _capabilities(attributes)
        if SHARED in attributes:
            identifier = _identifier(attributes, SHARED)
            secret = self._secrets.get(identifier) if "secret" in forms else None
            if secret is None:
                raise HttpError(400, "no shared secret of that identifier")
            return Recipient(identifier, capabilities, secret=secret)
        identifier = _identifier(attributes, ASYMMETRIC)
        certificate = self._certificate(identifier, client, route) if "certificate" in forms else None
        if certificate is None:
            raise HttpError(400, "no valid certificate of that key identifier")
        _require_encipherment(certificate)
        return Recipient(identifier, capabilities, certificate=certificate)

    def _certificate(self, identifier: bytes, client: Client, route: Route) -> x509.Certificate | None:
        """HttpError 400 for an identifier of two keys: a key identifier is only as good as who wrote it."""
        rows = self._database.rows(
            "SELECT der FROM certificates WHERE revoked_at IS NULL AND ca = ? AND label = ?"
            " AND (holder = ? OR issued_to = ? OR coalesce(lineage, serial) = ?) ORDER BY rowid DESC",
            *(route.site.authority.name, route.label, client.holder, client.identity, client.lineage),
        )
        own = client.certificate
        issued = [x509.load_der_x509_certificate(row["der"]) for row in rows]
        candidates: list[x509.Certificate] = [*([own] if own is not None else []), *issued]
        now = self._clock()
        current = (one for one in candidates if one.not_valid_before_utc <= now <= one.not_valid_after_utc)
        found = [one for one in current if _key_identifier(one) == identifier]
        if any(one.public_key() != found[0].public_key() for one in found):
            raise HttpError(400, "two keys have that key identifier")
        return found[0] if found else None


def _key_identifier(certificate: x509.Certificate) -> bytes | None:
    try:
        return certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
    except x509.ExtensionNotFound:
        return None


def _require_encipherment(certificate: x509.Certificate) -> None:
    """RFC 7030 section 4.4.1.2: "MUST either explicitly support keyTransport or keyAgreement or its use MUST be unrestricted"."""
    key = certificate.public_key()
    if not isinstance(key, (ec.EllipticCurvePublicKey, rsa.RSAPublicKey)):
        raise HttpError(400, "the key of that certificate is neither RSA nor EC")
    try:
        usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound:
        return
    if not (usage.key_encipherment if isinstance(key, rsa.RSAPublicKey) else usage.key_agreement):
        raise HttpError(400, "the key of that certificate must not be used to encrypt (KeyUsage)")


def _identifier(attributes: Attributes, oid: str) -> bytes:
    tag, value = attributes[oid]
    if tag != _OCTET_STRING or not 1 <= len(value) <= 64:
        raise HttpError(400, f"attribute {oid} is not an OCTET STRING of 1 to 64 bytes")
    return value


def _capabilities(attributes: Attributes) -> tuple[str, ...]:
    """RFC 7030 section 4.4.1: "The client MUST also include an SMIMECapabilities attribute"."""
    tag, value = attributes.get(CAPABILITIES, (0, b""))
    if tag != _SEQUENCE:
        raise HttpError(400, "the request names a key to encrypt to and has no SMIMECapabilities")
    try:
        members = b"\x30\x84" + len(value).to_bytes(4, "big") + value
        found, _rest = decode(members, asn1Spec=rfc5751.SMIMECapabilities())
        return tuple(str(one["capabilityID"]) for one in found)
    except PyAsn1Error as error:
        raise HttpError(400, "SMIMECapabilities cannot be read") from error
