"""What a revocation list is about: all certificates of its issuer, or some of them (RFC 5280 sections 5.2.5 and 6.3.3 (b)).

Whoever is on a list of his issuer is revoked, whatever the list is about. That somebody is not on it says something only
about those whom it covers.
"""

from __future__ import annotations

from collections.abc import Iterable

from cryptography import x509


def list_covers(found: x509.CertificateRevocationList, certificate: x509.Certificate) -> bool:
    """Whether a certificate would be on a list of its issuer if it had been revoked, for whatever reason."""
    scope = list_scope(found)
    if scope is None:
        return True
    if scope.only_some_reasons or scope.indirect_crl or scope.only_contains_attribute_certs:
        return False
    if scope.only_contains_user_certs if _is_ca(certificate) else scope.only_contains_ca_certs:
        return False
    wanted = _names(scope.full_name, scope.relative_name, found.issuer)
    return not wanted or not wanted.isdisjoint(_points(certificate))


def list_scope(found: x509.CertificateRevocationList) -> x509.IssuingDistributionPoint | None:
    """The extension that says so; None for a list about all certificates of its issuer."""
    try:
        return found.extensions.get_extension_for_class(x509.IssuingDistributionPoint).value
    except x509.ExtensionNotFound:
        return None


def _points(certificate: x509.Certificate) -> set[x509.GeneralName]:
    """Where a certificate says that lists about it are; without a word, by the name of its issuer."""
    try:
        points = certificate.extensions.get_extension_for_class(x509.CRLDistributionPoints).value
    except x509.ExtensionNotFound:
        return {x509.DirectoryName(certificate.issuer)}
    whole = (one for one in points if not one.crl_issuer)
    return set().union(*(_names(one.full_name, one.relative_name, certificate.issuer) for one in whole))


def _names(
    full: Iterable[x509.GeneralName] | None, relative: x509.RelativeDistinguishedName | None, issuer: x509.Name
) -> set[x509.GeneralName]:
    if relative is not None:
        return {x509.DirectoryName(x509.Name([*issuer.rdns, relative]))}
    return set(full or ())


def _is_ca(certificate: x509.Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return False
