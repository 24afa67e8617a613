"""When to renew."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from cryptography import x509

from device_sdk.client.device.plan import RenewalDecision
from device_sdk.errors import ConfigurationError
from device_sdk.state import DeviceState, Journal, Operation

DEFAULT_THRESHOLD = 2 / 3
"""The share of its lifetime after which a certificate is renewed."""


REFRESH_SHARE = 2 / 3
"""The share of the shortest remaining life of a CA certificate after which they are fetched again."""


def anchors_due(state: DeviceState, chain: Sequence[x509.Certificate], anchors: Iterable[x509.Certificate]) -> datetime:
    """When to fetch the CA certificates again: two thirds from the last time to the end of the first that ends (EST-113).

    Args:
        state: says when they were fetched; a state written by earlier versions does not, then the certificate does.
        chain: the current certificate, and the intermediates, which count like anchors.
        anchors: the Explicit trust anchors of the EST service; there are none left where messages removed them all.
    """
    ends = min((one.not_valid_after_utc for one in (*chain[1:], *anchors)), default=chain[0].not_valid_after_utc)
    since = state.anchors_checked or chain[0].not_valid_before_utc
    return since + (ends - since) * REFRESH_SHARE if ends > since else since


def decide(
    chain: Sequence[x509.Certificate],
    journal: Journal | None,
    now: datetime,
    threshold: float,
    refresh_at: datetime | None = None,
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
    ends, due = (_shown(moment) for moment in (not_after, renew_at))
    if now > not_after:
        return RenewalDecision(True, f"the certificate expired on {ends}", not_after, renew_at)
    if journal is not None and journal.operation is Operation.RENEW:
        since = _shown(journal.since)
        return RenewalDecision(True, f"a renewal is under way since {since} and not finished", not_after, renew_at)
    if now >= renew_at:
        return RenewalDecision(True, f"renewal was due on {due}; the certificate ends on {ends}", not_after, renew_at)
    if refresh_at is not None and now >= refresh_at:
        reason = f"renewal is due on {due}; the CA certificates were due to be fetched again on {_shown(refresh_at)}"
        return RenewalDecision(True, reason, not_after, renew_at, anchors_only=True)
    return RenewalDecision(False, f"renewal is due on {due}", not_after, renew_at)


def _shown(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"
