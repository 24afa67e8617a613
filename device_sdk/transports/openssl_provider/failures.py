"""What a key raised while OpenSSL was asking it for a signature; OpenSSL itself only knows that it failed."""

from __future__ import annotations

import threading


class _Last(threading.local):
    error: BaseException | None = None


_last = _Last()


def remember(error: BaseException) -> None:
    """Keep what happened in a callback of this thread until the TLS call has returned; the first one tells most."""
    if _last.error is None:
        _last.error = error


def take() -> BaseException | None:
    """What happened in this thread's callbacks since the last call, or None."""
    error, _last.error = _last.error, None
    return error


def raise_interrupt() -> None:
    """Raise what was remembered if it is no error, but an interrupt or the like; forget an error."""
    error = take()
    if error is not None and not isinstance(error, Exception):
        raise error
