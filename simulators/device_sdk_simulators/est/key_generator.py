"""Who generates keys and answers for it: a signer of its own, which each CA certifies for that (id-kp-cmKGA, RFC 9480)."""

from __future__ import annotations

import threading
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from pyasn1_alt_modules import rfc9480

from device_sdk_simulators.ca.hierarchy import Authority
from device_sdk_simulators.ca.issue import Wish, issue
from device_sdk_simulators.ca.keys import CaKey, new_key

KEY_GENERATION = x509.ObjectIdentifier(str(rfc9480.id_kp_cmKGA))
"""id-kp-cmKGA (RFC 9480)."""

_LIFETIME = timedelta(days=30)
_DAY = timedelta(days=1)


class KeyGenerator:
    """Generates keys with the operating system's randomness (RFC 4086), keeps none, and signs what it gives away."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._lock = threading.Lock()
        self._certificates: dict[x509.Certificate, x509.Certificate] = {}

    def generate(self, kind: str) -> CaKey:
        """A new key."""
        return new_key(kind)

    def signer(self, issuing: Authority, now: datetime) -> Authority:
        """The signer's certificate by this CA, and its key."""
        with self._lock:
            found = self._certificates.get(issuing.certificate)
            if found is None or not found.not_valid_before_utc <= now < found.not_valid_after_utc - _DAY:
                found = self._certificates[issuing.certificate] = appoint(issuing, self._key, now)
            return Authority(found, self._key)


def appoint(
    issuing: Authority, key: CaKey, now: datetime, *, usage: x509.ObjectIdentifier = KEY_GENERATION
) -> x509.Certificate:
    """A certificate that says that a key signs generated keys."""
    name = x509.Name.from_rfc4514_string("CN=Key Generation")
    usages = x509.Extensions(
        [x509.Extension(x509.ExtendedKeyUsage.oid, critical=False, value=x509.ExtendedKeyUsage([usage]))]
    )
    return issue(issuing, Wish(name, key.public_key(), usages, now - timedelta(minutes=5), now + _LIFETIME))
