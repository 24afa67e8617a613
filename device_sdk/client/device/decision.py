"""When to renew."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from cryptography import x509

from device_sdk.client.device.plan import RenewalDecision
from device_sdk.errors import ConfigurationError
from device_sdk.state import Journal, Operation

DEFAULT_THRESHOLD = 2 / 3
"""The share of its lifetime after which a certificate is renewed."""


def decide(
    chain: Sequence[x509.Certificate], journal: Journal | None, now: datetime, threshold: float
) -> RenewalDecision:
    """Whether it is time to renew; see Device.needs_renewal.

    Raises:
        ConfigurationError: a threshold that is not above 0 and at most 1.
    """
    if not 0 < threshold <= 1:
        raise ConfigurationError(f"a renewal threshold of {threshold} is not above 0 and at most 1")
    # A chain is as good as its weakest link.
    not_after = min(certificate.not_valid_after_utc for certificate in chain)
    not_before = chain[0].not_valid_before_utc
    renew_at = not_before + (not_after - not_before) * threshold
    ends, due = (f"{moment:%Y-%m-%dT%H:%M:%SZ}" for moment in (not_after, renew_at))
    if now > not_after:
        return RenewalDecision(True, f"the certificate expired on {ends}", not_after, renew_at)
    if journal is not None and journal.operation is Operation.RENEW:
        since = f"{journal.since:%Y-%m-%dT%H:%M:%SZ}"
        return RenewalDecision(True, f"a renewal is under way since {since} and not finished", not_after, renew_at)
    if now >= renew_at:
        return RenewalDecision(True, f"renewal was due on {due}; the certificate ends on {ends}", not_after, renew_at)
    return RenewalDecision(False, f"renewal is due on {due}", not_after, renew_at)
