"""How many signatures OpenSSL has had made in this thread: whether a handshake used its client certificate.

OpenSSL does not tell a client whether the server asked for a certificate. A signature says more: there was a
CertificateVerify (RFC 8446 section 4.4.3), so the server has seen the certificate together with a proof of its key.
"""

from __future__ import annotations

import threading


class _Count(threading.local):
    made: int = 0


_count = _Count()


def count() -> None:
    """One more was made."""
    _count.made += 1


def so_far() -> int:
    """Signatures made in this thread until now."""
    return _count.made
