"""Whether this machine's clock can be right: devices wake up in 1970."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from cryptography import x509

from device_sdk.errors import ClockError

ALLOWANCE = timedelta(minutes=5)
"""How far clocks may differ before anybody complains."""


def check_clock(now: datetime, floor: datetime | None, anchors: Iterable[x509.Certificate] = ()) -> None:
    """Refuse a clock that shows a time that has certainly passed.

    Args:
        now: what the clock says.
        floor: the last known good time, or None.
        anchors: trust anchors; at least one of them must have begun to be valid.

    Raises:
        ClockError: the clock is behind by more than ALLOWANCE.
    """
    if floor is not None:
        _not_before(now, floor, "this device's last known good time is")
    begins = [anchor.not_valid_before_utc for anchor in anchors]
    if begins:
        _not_before(now, min(begins), "no trust anchor is valid before")


def check_not_before(now: datetime, certificate: x509.Certificate) -> None:
    """Refuse to use a certificate that is not valid yet.

    Raises:
        ClockError: notBefore is ahead by more than ALLOWANCE.
    """
    _not_before(now, certificate.not_valid_before_utc, "the issued certificate is valid from")


def _not_before(now: datetime, limit: datetime, what: str) -> None:
    if limit - now <= ALLOWANCE:
        return
    shown, earliest = (f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}" for moment in (now, limit))
    raise ClockError(
        f"this machine's clock says {shown}, but {what} {earliest}",
        hint="set the clock (NTP, RTC battery) and run the same command again; nothing was lost",
        now=shown,
        not_before=earliest,
    )
