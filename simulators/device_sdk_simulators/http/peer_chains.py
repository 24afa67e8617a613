"""The CA certificates that clients sent along with their own: a session ticket keeps the client's certificate alone."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from cryptography import x509
from cryptography.hazmat.primitives import hashes

from device_sdk_simulators.http.parser import ConnectionEnded

_LIMIT = 4096
_LONGEST = 16


class PeerChains:
    """The way of each client's certificate as its last full handshake showed it; for all connections of a context.

    A resumed session is judged by it as that handshake was. Otherwise resuming would be a way round intermediates that are
    out of their validity, which the operations refuse (EST-21). Thread-safe.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: dict[bytes, tuple[x509.Certificate, ...]] = {}

    def whole(
        self, leaf: x509.Certificate, others: Sequence[x509.Certificate], *, resumed: bool
    ) -> tuple[x509.Certificate, ...]:
        """The client's certificate and what came with it, now or in the handshake that is resumed.

        Raises:
            ConnectionEnded: nobody remembers, and the client's next handshake is a full one; or more certificates came than
                any way has.
        """
        digest = leaf.fingerprint(hashes.SHA256())
        with self._lock:
            if not resumed:
                if len(others) > _LONGEST:
                    raise ConnectionEnded
                self._kept.pop(digest, None)
                self._kept[digest] = (leaf, *(one for one in others if one != leaf))
                while len(self._kept) > _LIMIT:
                    del self._kept[next(iter(self._kept))]
            if digest not in self._kept:
                raise ConnectionEnded
            return self._kept[digest]
