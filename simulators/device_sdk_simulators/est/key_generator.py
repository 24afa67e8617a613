"""Who generates keys and answers for it: a signer of its own, which each CA certifies for that (id-kp-cmKGA, RFC 9480)."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from device_sdk_simulators.ca.hierarchy import Authority
from device_sdk_simulators.ca.issue import Wish, issue
from device_sdk_simulators.ca.keys import CaKey, new_key
from device_sdk_simulators.est.csr import CertificationRequest, key_name, spki_sha256

# by its numbers: a module with all of CMP takes longer to import than the rest of the server
KEY_GENERATION = x509.ObjectIdentifier("1.3.6.1.5.5.7.3.32")
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

    def generate_for(self, csr: CertificationRequest, types: Sequence[str]) -> tuple[CaKey, CertificationRequest]:
        """A new key for a request, and the request with that key in it.

        Args:
            csr: its own key is a hint at the type.
            types: what may be made; the first where the hint is none of them.
        """
        key = self.generate(kind_for(csr, types))
        public_key = key.public_key()
        return key, replace(csr, public_key=public_key, spki_sha256=spki_sha256(public_key))

    def signer(self, issuing: Authority, now: datetime) -> Authority:
        """The signer's certificate by this CA, and its key."""
        with self._lock:
            found = self._certificates.get(issuing.certificate)
            if found is None or not found.not_valid_before_utc <= now < found.not_valid_after_utc - _DAY:
                found = self._certificates[issuing.certificate] = appoint(issuing, self._key, now)
            return Authority(found, self._key)


def kind_for(csr: CertificationRequest, types: Sequence[str]) -> str:
    """What to make: the type of the request's own key, if it is among those that may be made, else the first of them."""
    kind = key_name(csr.public_key)
    return kind if kind in types else types[0]


def appoint(
    issuing: Authority, key: CaKey, now: datetime, *, usage: x509.ObjectIdentifier = KEY_GENERATION
) -> x509.Certificate:
    """A certificate that says that a key signs generated keys."""
    name = x509.Name.from_rfc4514_string("CN=Key Generation")
    usages = x509.Extensions(
        [x509.Extension(x509.ExtendedKeyUsage.oid, critical=False, value=x509.ExtendedKeyUsage([usage]))]
    )
    return issue(issuing, Wish(name, key.public_key(), usages, now - timedelta(minutes=5), now + _LIFETIME))
