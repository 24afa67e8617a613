"""Retry-After: seconds or any of the three HTTP date forms (RFC 9110 sections 5.6.7 and 10.2.3, EST-162)."""

from __future__ import annotations

import re
from datetime import UTC, datetime

DEFAULT_RETRY_AFTER_S = 60.0
MAX_RETRY_AFTER_S = 24 * 3600.0

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_MONTH = "(?P<month>" + "|".join(_MONTHS) + ")"
_CLOCK = r"(?P<hour>\d{2}):(?P<minute>\d{2}):(?P<second>\d{2})"
_FORMS = (
    re.compile(rf"[A-Z][a-z]{{2}}, (?P<day>\d{{2}}) {_MONTH} (?P<year>\d{{4}}) {_CLOCK} GMT"),  # IMF-fixdate
    re.compile(rf"[A-Z][a-z]{{5,8}}, (?P<day>\d{{2}})-{_MONTH}-(?P<year>\d{{2}}) {_CLOCK} GMT"),  # RFC 850
    re.compile(rf"[A-Z][a-z]{{2}} {_MONTH} (?P<day>[ \d]\d) {_CLOCK} (?P<year>\d{{4}})"),  # asctime
)


def parse_retry_after(
    value: str | None,
    now: datetime,
    *,
    default_s: float = DEFAULT_RETRY_AFTER_S,
    cap_s: float = MAX_RETRY_AFTER_S,
) -> float:
    """Seconds to wait: what the server asked for, at most `cap_s`; `default_s` if it is missing or unreadable.

    Args:
        value: the header's value, or None.
        now: the present, with a time zone.
        default_s: seconds to wait without a usable value.
        cap_s: the longest wait in seconds.
    """
    asked_s = read_retry_after(value, now)
    return min(default_s if asked_s is None else asked_s, cap_s)


def read_retry_after(value: str | None, now: datetime) -> float | None:
    """Seconds from now that the header says, 0 for a time that is over; None if it is missing or unreadable.

    The number is the server's and may be absurd: whoever waits puts a bound to it.
    """
    text = (value or "").strip()
    if re.fullmatch(r"[0-9]{1,18}", text):
        return float(text)
    date = _parse_http_date(text, now)
    return None if date is None else max((date - now).total_seconds(), 0.0)


def _parse_http_date(text: str, now: datetime) -> datetime | None:
    match = next((found for form in _FORMS if (found := form.fullmatch(text))), None)
    if match is None:
        return None
    year = int(match["year"])
    if len(match["year"]) == 2:
        # RFC 9110: a two-digit year that looks more than 50 years ahead is in the past.
        year += now.year - now.year % 100
        year -= 100 if year > now.year + 50 else 0
    hour, minute, second = (int(match[part]) for part in ("hour", "minute", "second"))
    month, day = _MONTHS.index(match["month"]) + 1, int(match["day"])
    try:
        return datetime(year, month, day, hour, minute, min(second, 59), tzinfo=UTC)  # 60 is a leap second
    except ValueError:
        return None
