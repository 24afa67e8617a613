"""Which certificates of a provisional /cacerts answer a fingerprint authorizes (EST-71, EST-76, EST-78)."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Sequence
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from device_sdk.errors import ClockError
from device_sdk.model.trust import Pin
from device_sdk.wire.fingerprint import matches
from device_sdk.wire.path import CLOCK_ALLOWANCE, ca_problem, is_self_signed, name_of


def pinned_anchors(bag: Iterable[x509.Certificate], pins: Sequence[Pin]) -> tuple[x509.Certificate, ...]:
    """The CA certificates of a bag that a pin names.

    A pin of the whole certificate names an anchor of any kind: whoever configured it saw those bytes. A pin of the
    public key names self-signed certificates only, since in all others somebody else chose the name and the validity
    around that key.
    """
    return tuple(
        certificate
        for certificate in dict.fromkeys(bag)
        if not ca_problem(certificate)
        and any(
            matches(pin, certificate) and (_is_whole(pin, certificate) or is_self_signed(certificate)) for pin in pins
        )
    )


def fingerprints(certificates: Iterable[x509.Certificate]) -> tuple[str, ...]:
    """SHA-256 of each DER certificate as a pin ("sha256:HEX"), for a person to compare."""
    return tuple(str(Pin("sha256", _digest("sha256", certificate))) for certificate in certificates)


def require_current(anchors: Iterable[x509.Certificate], now: datetime) -> None:
    """Refuse to go on with a clock that is before an accepted anchor's notBefore; no handshake could succeed.

    Raises:
        ClockError: the clock is wrong by more than the allowance.
    """
    for anchor in anchors:
        not_before = anchor.not_valid_before_utc
        if not_before - now > CLOCK_ALLOWANCE:
            raise ClockError(
                f"{name_of(anchor)}: valid from {not_before:%Y-%m-%dT%H:%M:%SZ}, "
                f"this machine's clock says {now:%Y-%m-%dT%H:%M:%SZ}",
                hint="set the clock and run the same command again",
                now=f"{now:%Y-%m-%dT%H:%M:%SZ}",
                not_before=f"{not_before:%Y-%m-%dT%H:%M:%SZ}",
            )


def _is_whole(pin: Pin, certificate: x509.Certificate) -> bool:
    return hmac.compare_digest(_digest(pin.algorithm, certificate), pin.digest)


def _digest(algorithm: str, certificate: x509.Certificate) -> bytes:
    return hashlib.new(algorithm, certificate.public_bytes(Encoding.DER)).digest()
