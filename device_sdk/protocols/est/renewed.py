"""Telling the next certificate from the one it replaces, where both are for the same key (EST-139, EST-151)."""

from __future__ import annotations

from collections.abc import Iterable

from cryptography import x509

from device_sdk.errors import CertificateMismatchError
from device_sdk.protocols.est.ca_certificates import spki


def only_new(
    answer: Iterable[x509.Certificate],
    csr: x509.CertificateSigningRequest,
    current: x509.Certificate | None,
    *,
    url: str | None = None,
) -> tuple[x509.Certificate, ...]:
    """The answer to a renewal without the certificate that was to be replaced, and without older ones for its key.

    With a new key there is nothing to tell apart: a certificate for that key is new.

    Args:
        answer: the certificates of the answer, in any order.
        csr: what was sent.
        current: the certificate to replace; None if there is none, which leaves the answer as it is.
        url: the endpoint, for messages.

    Raises:
        CertificateMismatchError: the answer has nothing but old ones for that key; nothing was renewed.
    """
    bag = tuple(answer)
    if current is None or spki(csr) != spki(current):
        return bag
    old = {one for one in bag if _is_old(one, current)}
    new = tuple(one for one in bag if one not in old)
    if old and not any(spki(one) == spki(current) for one in new):
        at = f"{url}: " if url else ""
        raise CertificateMismatchError(
            f"{at}the answer is the certificate that was to be renewed, or an older one for the same key",
            hint="nothing was renewed: ask the CA's operator, or renew with a new key",
            url=url,
        )
    return new


def _is_old(one: x509.Certificate, current: x509.Certificate) -> bool:
    if spki(one) != spki(current):
        return False
    if (one.issuer, one.serial_number) == (current.issuer, current.serial_number):
        return True
    # CAs set one date back, or end it with their own; what is earlier at both ends was issued before
    begins_earlier = one.not_valid_before_utc < current.not_valid_before_utc
    return begins_earlier and one.not_valid_after_utc < current.not_valid_after_utc
