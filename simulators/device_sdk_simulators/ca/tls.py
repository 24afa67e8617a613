"""Certificates of the TLS server: good ones, and the bad ones a client must refuse."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

from cryptography import x509

from device_sdk_simulators.ca.hierarchy import Authority, Hierarchy, make_authority
from device_sdk_simulators.ca.issue import CMC_RA
from device_sdk_simulators.ca.keys import CaKey, digest_for, new_key
from device_sdk_simulators.http.tls import TlsSettings

SERVER_AUTH = "1.3.6.1.5.5.7.3.1"
__all__ = ["CMC_RA", "LOCAL_NAMES", "SERVER_AUTH", "TlsProfile", "tls_settings"]
LOCAL_NAMES = ("localhost", "127.0.0.1", "::1")
_DAY = timedelta(days=1)


@dataclass(frozen=True)
class TlsProfile:
    """What the server shows in its handshakes; the defaults are right.

    Attributes:
        names: further DNS names and addresses.
        local_names: whether the names of the loopback interface are in the certificate.
        usages: extended key usages as OIDs; `CMC_RA` for an EST server without a fitting name (RFC 7030 section 3.6.1).
        expired: ended a week ago.
        not_yet_valid: begins in a year.
        unknown_ca: issued by a CA that is not in ca_file.
        send_chain: whether the issuing CA's certificate is sent along.
        key_type: of the server's key.
        minimum: lowest TLS version.
        maximum: highest TLS version.
    """

    names: tuple[str, ...] = ()
    local_names: bool = True
    usages: tuple[str, ...] = (SERVER_AUTH,)
    expired: bool = False
    not_yet_valid: bool = False
    unknown_ca: bool = False
    send_chain: bool = True
    key_type: str = "ec-p256"
    minimum: str = "TLSv1.2"
    maximum: str = "TLSv1.3"


def tls_settings(
    hierarchy: Hierarchy, profile: TlsProfile, third_parties: Sequence[x509.Certificate], *others: Hierarchy
) -> TlsSettings:
    """A key and a certificate as the profile says, made now; clients of the CAs and of third parties are let in.

    Clients of retired generations, too: the handler tells them what a TLS alert could not.
    """
    now = datetime.now(UTC)
    issuer, intermediates = hierarchy.issuing, hierarchy.chain
    if profile.unknown_ca:
        issuer = make_authority("Unknown CA", new_key("ec-p256"), now)
        intermediates = (issuer.certificate,)
    key = new_key(profile.key_type)
    certificate = _server_certificate(issuer, profile, key, now)
    chain = [certificate, *intermediates] if profile.send_chain else [certificate]
    ours = [one for known in (hierarchy, *others) for one in (*known.bag, *known.retired)]
    return TlsSettings(chain, key, [*ours, *third_parties], profile.minimum, profile.maximum)


def _server_certificate(issuer: Authority, profile: TlsProfile, key: CaKey, now: datetime) -> x509.Certificate:
    begin, end = now - _DAY, now + 90 * _DAY
    if profile.expired:
        begin, end = now - 90 * _DAY, now - 7 * _DAY
    if profile.not_yet_valid:
        begin, end = now + 365 * _DAY, now + 455 * _DAY
    names = [*(LOCAL_NAMES if profile.local_names else ()), *profile.names]
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Reference Server")]))
        .issuer_name(issuer.certificate.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(end)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(
            x509.ExtendedKeyUsage([x509.ObjectIdentifier(usage) for usage in profile.usages]), critical=False
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.key.public_key()), critical=False)
    )
    if names:
        alternatives = x509.SubjectAlternativeName([_general_name(name) for name in names])
        builder = builder.add_extension(alternatives, critical=False)
    return builder.sign(issuer.key, digest_for(issuer.key))


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)
