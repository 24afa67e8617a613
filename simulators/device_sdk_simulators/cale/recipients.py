"""Whom decoys are encrypted to: a GUID has one recipient, whatever goes wrong (CALE-36, CALE-68)."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import TypeAlias

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from device_sdk_simulators.cale.capabilities import extension_in
from device_sdk_simulators.cale.stand_ins import (
    DEFAULT_KIND,
    PublicKey,
    kind_of,
    mark_of,
    stand_in_certificate,
    stand_in_key,
)

_Recipient: TypeAlias = "tuple[PublicKey, x509.UnrecognizedExtension | None]"
"""A key, and what its owner decrypts."""

_UNREADABLE = (
    ValueError,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
)


class Recipients:
    """Remembers the key behind each GUID, a client's or nobody's, for times when the authorization server is not asked.

    Args:
        secret: keeps a stranger the same.
        clock: time of certificates.
        most: how many are remembered; what was not used for longest is forgotten, a client's key like a stranger's.
    """

    def __init__(self, secret: bytes, clock: Callable[[], datetime], most: int = 4096) -> None:
        self._secret = secret
        self._clock = clock
        self._most = most
        self._lock = threading.Lock()
        self._known: OrderedDict[bytes, _Recipient] = OrderedDict()

    def mark(self, guid: str) -> bytes:
        """What stands for a GUID in this process."""
        return mark_of(self._secret, guid)

    def remember(self, guid: str, certificate: x509.Certificate) -> None:
        """Remember what the authorization server gave for a GUID: key, and what its owner decrypts."""
        try:
            public_key, capabilities = certificate.public_key(), extension_in(certificate.extensions)
        except _UNREADABLE:
            return
        if isinstance(public_key, (ec.EllipticCurvePublicKey, rsa.RSAPublicKey)):
            mark = self.mark(guid)
            with self._lock:
                self._known[mark] = public_key, capabilities
                self._known.move_to_end(mark)
                if len(self._known) > self._most:
                    self._known.popitem(last=False)

    def of(self, guid: str, certificate: x509.Certificate | None) -> Iterator[x509.Certificate]:
        """Those a decoy may be made for, the best one first; the last one always serves.

        Args:
            guid: as it was sent.
            certificate: what the authorization server gave for this request; None if it was not asked, or gave none.
        """
        if certificate is not None:
            yield certificate
        mark, now = self.mark(guid), self._clock()
        with self._lock:
            known = self._known.get(mark) or self._like_the_next(mark)
        if known is not None:
            yield stand_in_certificate(known[0], now, known[1])
            yield stand_in_certificate(known[0], now)
        yield stand_in_certificate(stand_in_key(DEFAULT_KIND, mark), now)

    def _like_the_next(self, mark: bytes) -> _Recipient | None:
        """Nobody's key of the kind of somebody's who is known, with what that one decrypts; None if nobody is.

        A kind that no client has would tell that the edge device never saw this GUID, and who keeps the authorization
        server busy could ask that of any.
        """
        if not self._known:
            return None
        after = [one for one in self._known if one > mark]
        public_key, capabilities = self._known[min(after or self._known)]
        return stand_in_key(kind_of(public_key), mark), capabilities
