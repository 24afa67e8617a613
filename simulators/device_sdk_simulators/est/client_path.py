"""Whether a client's certificate leads to who vouches for it: what OpenSSL asks of TLS clients, by this server's clock."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.x509.oid import ExtendedKeyUsageOID
from OpenSSL import crypto

from device_sdk_simulators.ca.issue import CMC_RA

# X509_V_FLAG_NO_CHECK_TIME, which pyOpenSSL has no name for
_NO_CHECK_TIME = 0x200000


class UnfitPathError(Exception):
    """A certificate that may not sign for a client, or is vouched for by nobody known."""


def check_usage(certificate: x509.Certificate, *, authority: bool) -> None:
    """UnfitPathError unless a client may sign with it: digitalSignature and clientAuth, or nothing said about either.

    Args:
        certificate: the client's.
        authority: it is one of a registration authority; id-kp-cmcRA will do.
    """
    try:
        usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound:
        pass
    else:
        if not usage.digital_signature:
            raise UnfitPathError("the signer's certificate is not for signatures (key usage)")
    if not _may_be_client(certificate, authority=authority):
        raise UnfitPathError("the signer's certificate is not for clients (extended key usage)")


def check_path(
    certificate: x509.Certificate,
    others: Iterable[x509.Certificate],
    anchors: Sequence[x509.Certificate],
    now: datetime,
) -> None:
    """UnfitPathError unless an anchor issued it, directly or by CAs among the others; all of them current, and CAs for that.

    Signatures, validity, CA flags, path lengths, name constraints and unknown critical extensions are OpenSSL's affair.
    """
    store = crypto.X509Store()
    for anchor in anchors:
        store.add_cert(crypto.X509.from_cryptography(anchor))
    # as for TLS: an anchor need not be a root
    store.set_flags(crypto.X509StoreFlags.PARTIAL_CHAIN)
    store.set_time(now)
    untrusted = [crypto.X509.from_cryptography(one) for one in others if one != certificate]
    context = crypto.X509StoreContext(store, crypto.X509.from_cryptography(certificate), untrusted)
    try:
        context.verify_certificate()
        path = [one.to_cryptography() for one in context.get_verified_chain()]
    except crypto.X509StoreContextError as error:
        text = f"nobody known issued the signer's certificate, or not for now: {error}"
        raise UnfitPathError(text) from error
    if not all(_may_be_client(one, authority=False) for one in path[1:]):
        raise UnfitPathError("a CA of the signer's certificate is not one for clients (extended key usage)")


def leads_to(certificate: x509.Certificate, others: Iterable[x509.Certificate], anchor: x509.Certificate) -> bool:
    """Whether this anchor vouches for a certificate, directly or by CAs among the others; times are judged elsewhere."""
    store = crypto.X509Store()
    store.add_cert(crypto.X509.from_cryptography(anchor))
    store.set_flags(crypto.X509StoreFlags.PARTIAL_CHAIN | _NO_CHECK_TIME)
    untrusted = [crypto.X509.from_cryptography(one) for one in others if one != certificate]
    try:
        crypto.X509StoreContext(store, crypto.X509.from_cryptography(certificate), untrusted).verify_certificate()
    except crypto.X509StoreContextError:
        return False
    return True


def check_intermediates(chain: Sequence[x509.Certificate], now: datetime) -> None:
    """UnfitPathError if a client showed TLS a way that is only by CAs out of their validity.

    TLS lets them through, because it goes by another clock. Others of the same key and name make up for an old one.
    """
    below, rest = chain[0], list(chain[1:])
    while issuers := [one for one in rest if _issued(below, one)]:
        current = [one for one in issuers if one.not_valid_before_utc <= now <= one.not_valid_after_utc]
        if not current:
            raise UnfitPathError("a CA of the TLS client certificate is not in its validity")
        below = current[0]
        rest = [one for one in rest if one not in issuers]


def _may_be_client(certificate: x509.Certificate, *, authority: bool) -> bool:
    try:
        usages = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return True
    return ExtendedKeyUsageOID.CLIENT_AUTH in usages or (authority and x509.ObjectIdentifier(CMC_RA) in usages)


def _issued(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True
