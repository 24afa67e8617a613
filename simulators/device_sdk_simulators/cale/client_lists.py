"""Revocation lists of the CAs whose TLS client certificates prove an identity at the edge device (RFC 5280 section 5)."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm

_MOST_BYTES = 64 * 1024 * 1024
_BEGIN = b"-----BEGIN X509 CRL-----"
_END = b"-----END X509 CRL-----"


class ListsUnusableError(Exception):
    """The file does not say who is revoked."""


class ClientLists:
    """Who is revoked, by a file that somebody else keeps up to date; it is read again when it has changed.

    What cannot be known counts as revoked: no list of the certificate's CA, one that is over, or a file that cannot be read.

    Args:
        file: complete lists in PEM, as `device-sdk-sim crl` prints them.
        anchors: the CAs.

    Raises:
        ListsUnusableError: it cannot be read now.
    """

    def __init__(self, file: Path, anchors: Sequence[x509.Certificate]) -> None:
        self._file = file
        self._anchors = anchors
        self._lock = threading.Lock()
        self._lists = self._read()

    def why_refused(self, certificate: x509.Certificate, now: datetime) -> str | None:
        """Why a certificate of one of the CAs does not count; None if it does."""
        try:
            with self._lock:
                if self._stamp() != self._seen:
                    self._lists = self._read()
                lists = self._lists
        except ListsUnusableError:
            return "the revocation lists cannot be read"
        current = [one for one in lists if one.issuer == certificate.issuer and _is_current(one, now)]
        if any(one.get_revoked_certificate_by_serial_number(certificate.serial_number) for one in current):
            return "the TLS client certificate is revoked"
        # a CA with several keys signs a list with each, and all of them are complete
        return None if current else "there is no current revocation list of the TLS client certificate's CA"

    def _stamp(self) -> tuple[int, int, int]:
        try:
            found = self._file.stat()
        except OSError as error:
            raise ListsUnusableError(f"{self._file}: {error.strerror}") from error
        return found.st_mtime_ns, found.st_size, found.st_ino

    def _read(self) -> list[x509.CertificateRevocationList]:
        # before reading: what changes meanwhile is read again
        self._seen: tuple[int, int, int] | None = None
        seen = self._stamp()
        try:
            with self._file.open("rb") as file:
                data = file.read(_MOST_BYTES + 1)
            if len(data) > _MOST_BYTES:
                raise ListsUnusableError(f"{self._file} has more than {_MOST_BYTES} bytes")
            found = [_load(one) for one in data.split(_BEGIN)[1:]]
        except OSError as error:
            raise ListsUnusableError(f"{self._file}: {error.strerror}") from error
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            raise ListsUnusableError(f"{self._file} holds no revocation lists in PEM") from error
        if not found:
            raise ListsUnusableError(f"{self._file} holds no revocation lists in PEM")
        self._seen = seen
        return [one for one in found if self._is_signed(one)]

    def _is_signed(self, crl: x509.CertificateRevocationList) -> bool:
        return any(crl.issuer == one.subject and _verifies(crl, one) for one in self._anchors)


def _load(text: bytes) -> x509.CertificateRevocationList:
    crl = x509.load_pem_x509_crl(_BEGIN + text.partition(_END)[0] + _END + b"\n")
    if any(one.critical for one in crl.extensions):
        # a delta list, or one about some of the certificates only: not who is revoked
        raise ValueError("not a complete list")
    return crl


def _verifies(crl: x509.CertificateRevocationList, anchor: x509.Certificate) -> bool:
    try:
        return crl.is_signature_valid(anchor.public_key())  # type: ignore[arg-type]  # other keys: TypeError
    except (TypeError, ValueError, UnsupportedAlgorithm):
        return False


def _is_current(crl: x509.CertificateRevocationList, now: datetime) -> bool:
    until = crl.next_update_utc
    return crl.last_update_utc <= now and until is not None and now <= until
