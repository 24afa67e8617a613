"""Accepting trust anchors that came by Full CMC: by hand, and only what is fresh (RFC 7030 section 4.1.1, EST-75)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from asn1crypto import cms
from cryptography import x509

from device_sdk.errors import CmcUntrustedError, ConfigurationError
from device_sdk.wire.cmc.trust_anchors import PublishedAnchors
from device_sdk.wire.cms.signed_data import SignedData
from device_sdk.wire.cms.signing import SIGNING_TIME
from device_sdk.wire.modest import ASN1CRYPTO_ERRORS

MAX_AGE = timedelta(minutes=15)


def signing_time(data: SignedData) -> datetime | None:
    """When the first signer says it signed, UTC; None if it does not say, or not readably."""
    values = data.signers[0].attributes.get(SIGNING_TIME, ()) if data.signers else ()
    try:
        moment = cms.Time.load(values[0], strict=True).native if len(values) == 1 else None
    except ASN1CRYPTO_ERRORS:
        return None
    return moment if isinstance(moment, datetime) else None


def accept_published(
    published: PublishedAnchors,
    signed_at: datetime | None,
    *,
    last_sequence: int,
    confirm: Callable[[x509.Certificate], bool],
    now: datetime,
) -> tuple[x509.Certificate, ...]:
    """The anchors to trust from now on; the signature was verified to a present anchor when the answer was read.

    RFC 5272 section 6.15 wants four things: a signature to a current anchor, a signer who may do that, a signing time
    near to now, and a rising number. RFC 7030 wants a person on top.

    Args:
        published: what the CA says.
        signed_at: of `signing_time`.
        last_sequence: the number of the last publication that was accepted; -1 for none.
        confirm: asked about each certificate; compares it with out-of-band data, or asks a person to.
        now: the present, with a time zone.

    Raises:
        CmcUntrustedError: old, of no time, or without the certificates.
        ConfigurationError: nobody confirmed one of them.
    """
    if signed_at is None or abs(now - signed_at) > MAX_AGE:
        raise _refused("they were not signed just now")
    if published.sequence <= last_sequence:
        raise _refused(f"number {published.sequence} does not come after {last_sequence}")
    if published.missing or not published.certificates:
        raise _refused("their certificates did not come along")
    for certificate in published.certificates:
        if not confirm(certificate):
            raise ConfigurationError("the published trust anchors were not confirmed; nothing changed")
    return published.certificates


def _refused(why: str) -> CmcUntrustedError:
    return CmcUntrustedError(f"the published trust anchors are not accepted: {why}", reason="anchors")
